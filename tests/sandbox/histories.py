"""A platform and two connected accounts in this process, and what must hold whatever they do."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from colonnade_sandbox.app import App
from colonnade_sandbox.expansion import public
from colonnade_sandbox.sandbox import Sandbox

# What each object refers to: field and kind.
REFERENCES = {
    "customer": {"invoice_settings.default_payment_method": "payment_method"},
    "invoice": {"customer": "customer", "parent.subscription_details.subscription": "subscription"},
    "payment_method": {"customer": "customer"},
    "price": {"product": "product"},
    "subscription": {
        "customer": "customer",
        "default_payment_method": "payment_method",
        "items.data.price.id": "price",
        "latest_invoice": "invoice",
        "schedule": "subscription_schedule",
    },
    "subscription_schedule": {
        "customer": "customer",
        "subscription": "subscription",
        "phases.items.price": "price",
    },
    "tax_id": {"customer": "customer"},
}
# What goes with its customer: it may not refer to one that was deleted.
PERSONAL = ("payment_method", "tax_id")
# The kinds whose every change is told by an event.
TOLD = (
    "account",
    "customer",
    "invoice",
    "payment_method",
    "price",
    "product",
    "subscription",
    "subscription_schedule",
    "tax_id",
)
# Their last event says `deleted`, `released` or the like, and they stay readable all the same.
KEPT = ("subscription", "subscription_schedule")


def values_at(value: Any, path: str) -> Iterator[Any]:
    """Every value at a path, through arrays; none where it leads nowhere."""
    if isinstance(value, list):
        for part in value:
            yield from values_at(part, path)
    elif not path:
        yield value
    elif isinstance(value, dict):
        head, _, rest = path.partition(".")
        yield from values_at(value.get(head), rest)


class Local:
    """A sandbox in this process."""

    def __init__(self) -> None:
        self.sandbox = Sandbox(check_replies=True)
        self.app = App(self.sandbox)
        self.loop = asyncio.new_event_loop()

    def send(self, method: str, path: str, body: str = "", query: str = "", **headers: str) -> tuple[int, Any, str]:
        """Status, headers and body of the answer."""
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body.encode(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": encoded}
        self.loop.run_until_complete(self.app(scope, receive, send))
        status, answered = sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        text = sent[1]["body"].decode("utf-8", "replace")
        return status, answered, text


class World(RuleBasedStateMachine):
    """The platform is account 0."""

    def __init__(self) -> None:
        super().__init__()
        self.local = Local()
        self.sandbox = self.local.sandbox
        self.accounts: list[str] = []
        self.born: dict[str, Any] = {}

    def teardown(self) -> None:
        self.local.loop.close()

    def call(self, account: int, method: str, path: str, **form: Any) -> tuple[int, Any]:
        headers = {"authorization": "Bearer sk_test_histories"}
        if account:
            headers["stripe_account"] = self.accounts[account]
        status, _, text = self.local.send(method, path, urlencode(form), **headers)
        assert status < 500, text
        return status, json.loads(text)

    def one(self, account: int, kind: str, pick: int) -> str | None:
        rows = [row["id"] for row in self.sandbox.store.all(self.accounts[account], kind)]
        return rows[pick % len(rows)] if rows else None

    @initialize()
    def connect(self) -> None:
        self.accounts = [self.call(0, "GET", "/v1/account")[1]["id"]]
        for _ in range(2):
            made = self.call(0, "POST", "/v1/accounts", type="custom")[1]["id"]
            self.accounts.append(made)
        # Nothing tells that an account was made: its story begins with what the API answered.
        self.born = {key: public(self.sandbox.store.find(key, "account", key) or {}) for key in self.accounts}

    @invariant()
    def nothing_is_orphaned(self) -> None:
        store = self.sandbox.store
        for account in self.accounts:
            for kind, references in REFERENCES.items():
                for row in store.all(account, kind):
                    for path, target in references.items():
                        for key in values_at(row, path):
                            known = key is None or store.find(account, target, key)
                            left = kind not in PERSONAL and store.find(account, f"_deleted_{target}", key)
                            assert known or left, (row["id"], path, key)

    @invariant()
    def events_replayed_in_order_rebuild_the_state(self) -> None:
        for account in self.accounts:
            rebuilt: dict[tuple[str, str], Any] = {("account", account): self.born[account]}
            for event in reversed(list(self.sandbox.store.all(account, "event"))):
                value = event["data"]["object"]
                if event["type"].endswith(".deleted") and value["object"] not in KEPT:
                    rebuilt.pop((value["object"], value.get("id", "")), None)
                # The invoice of `invoice.upcoming` is none yet.
                elif value["object"] in TOLD and "id" in value:
                    rebuilt[value["object"], value["id"]] = value
            for kind in TOLD:
                found = {row["id"]: public(row) for row in self.sandbox.store.all(account, kind)}
                assert found == {key: value for (of, key), value in rebuilt.items() if of == kind}
