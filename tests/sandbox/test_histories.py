"""Random sequences of API calls: no orphan, nothing of another account, and events that tell the whole story."""

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from colonnade_sandbox.app import App
from colonnade_sandbox.expansion import public
from colonnade_sandbox.sandbox import Sandbox

ACCOUNTS = st.integers(0, 2)
PICK = st.integers(0, 1000)
# What each object refers to: field and kind.
REFERENCES = {
    "invoice": {"customer": "customer"},
    "payment_method": {"customer": "customer"},
    "price": {"product": "product"},
    "subscription": {"customer": "customer", "default_payment_method": "payment_method"},
    "tax_id": {"customer": "customer"},
}
# The kinds whose every change is told by an event.
TOLD = ("customer", "payment_method", "price", "product", "tax_id")
PATHS = {
    "customer": "/v1/customers",
    "payment_method": "/v1/payment_methods",
    "price": "/v1/prices",
    "product": "/v1/products",
    "subscription": "/v1/subscriptions",
}


class Histories(RuleBasedStateMachine):
    """A platform (0) and two connected accounts, called at random."""

    def __init__(self) -> None:
        super().__init__()
        self.sandbox = Sandbox(check_replies=True)
        self.app = App(self.sandbox)
        self.loop = asyncio.new_event_loop()
        self.accounts: list[str] = []

    def teardown(self) -> None:
        self.loop.close()

    def call(self, account: int, method: str, path: str, **form: Any) -> tuple[int, Any]:
        headers = [(b"authorization", b"Bearer sk_test_histories")]
        if account:
            headers.append((b"stripe-account", self.accounts[account].encode()))
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": urlencode(form).encode(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
        self.loop.run_until_complete(self.app(scope, receive, send))
        status = sent[0]["status"]
        assert status < 500, sent[1]["body"]
        return status, json.loads(sent[1]["body"])

    def one(self, account: int, kind: str, pick: int) -> str | None:
        rows = [row["id"] for row in self.sandbox.store.all(self.accounts[account], kind)]
        return rows[pick % len(rows)] if rows else None

    @initialize()
    def connect(self) -> None:
        self.accounts = [self.call(0, "GET", "/v1/account")[1]["id"]]
        for _ in range(2):
            made = self.call(0, "POST", "/v1/accounts", type="custom")[1]["id"]
            self.accounts.append(made)

    @rule(account=ACCOUNTS, card=st.booleans())
    def make_customer(self, account: int, card: bool) -> None:
        form = {"name": "Ann"} | ({"payment_method": "pm_card_visa"} if card else {})
        assert self.call(account, "POST", "/v1/customers", **form)[0] == 200

    @rule(account=ACCOUNTS, amount=st.integers(0, 5000))
    def make_price(self, account: int, amount: int) -> None:
        product = self.call(account, "POST", "/v1/products", name="Gold")[1]["id"]
        form = {"product": product, "currency": "usd", "unit_amount": amount, "recurring[interval]": "month"}
        assert self.call(account, "POST", "/v1/prices", **form)[0] == 200

    @rule(account=ACCOUNTS, kind=st.sampled_from(sorted(PATHS)), pick=PICK, value=st.sampled_from(["", "a", "b"]))
    def change(self, account: int, kind: str, pick: int, value: str) -> None:
        if key := self.one(account, kind, pick):
            self.call(account, "POST", f"{PATHS[kind]}/{key}", **{"metadata[k]": value})

    @rule(account=ACCOUNTS, customer=PICK, price=PICK, trial=st.booleans())
    def subscribe(self, account: int, customer: int, price: int, trial: bool) -> None:
        who, what = self.one(account, "customer", customer), self.one(account, "price", price)
        if who and what:
            form = {"customer": who, "items[0][price]": what} | ({"trial_period_days": 3} if trial else {})
            self.call(account, "POST", "/v1/subscriptions", **form)

    @rule(account=ACCOUNTS, customer=PICK, value=st.sampled_from(["DE123456789", "DE111111111", "x"]))
    def tell_tax_id(self, account: int, customer: int, value: str) -> None:
        if who := self.one(account, "customer", customer):
            self.call(account, "POST", f"/v1/customers/{who}/tax_ids", type="eu_vat", value=value)

    @rule(account=ACCOUNTS, customer=PICK)
    def add_card(self, account: int, customer: int) -> None:
        if who := self.one(account, "customer", customer):
            self.call(account, "POST", "/v1/payment_methods/pm_card_visa/attach", customer=who)

    @rule(account=ACCOUNTS, pick=PICK)
    def detach(self, account: int, pick: int) -> None:
        if method := self.one(account, "payment_method", pick):
            self.call(account, "POST", f"/v1/payment_methods/{method}/detach")

    @rule(account=ACCOUNTS, kind=st.sampled_from(["customer", "product", "subscription"]), pick=PICK)
    def delete(self, account: int, kind: str, pick: int) -> None:
        if key := self.one(account, kind, pick):
            self.call(account, "DELETE", f"{PATHS[kind]}/{key}")

    @rule(days=st.integers(0, 40))
    def wait(self, days: int) -> None:
        self.sandbox.shift(days * 86400 + 5)

    @rule(owner=ACCOUNTS, other=ACCOUNTS, kind=st.sampled_from(sorted(PATHS)), pick=PICK)
    def look_across(self, owner: int, other: int, kind: str, pick: int) -> None:
        key = self.one(owner, kind, pick)
        if key and owner != other:
            for method, form in (("GET", {}), ("POST", {"metadata[k]": "stolen"})):
                assert self.call(other, method, f"{PATHS[kind]}/{key}", **form)[0] == 404

    @rule(owner=ACCOUNTS, other=ACCOUNTS, customer=PICK, price=PICK)
    def subscribe_across(self, owner: int, other: int, customer: int, price: int) -> None:
        who, what = self.one(owner, "customer", customer), self.one(other, "price", price)
        if who and what and owner != other:
            form = {"customer": who, "items[0][price]": what}
            assert self.call(owner, "POST", "/v1/subscriptions", **form)[0] == 400

    @invariant()
    def nothing_is_orphaned(self) -> None:
        store = self.sandbox.store
        for account in self.accounts:
            for kind, references in REFERENCES.items():
                for row in store.all(account, kind):
                    for field, target in references.items():
                        key = row.get(field)
                        known = key is None or store.find(account, target, key)
                        assert known or store.find(account, f"_deleted_{target}", key), (row["id"], field, key)

    @invariant()
    def events_replayed_in_order_rebuild_the_state(self) -> None:
        for account in self.accounts:
            rebuilt: dict[tuple[str, str], Any] = {}
            for event in reversed(list(self.sandbox.store.all(account, "event"))):
                value = event["data"]["object"]
                if event["type"].endswith(".deleted"):
                    rebuilt.pop((value["object"], value.get("id", "")), None)
                elif value["object"] in TOLD:
                    rebuilt[value["object"], value["id"]] = value
            for kind in TOLD:
                found = {row["id"]: public(row) for row in self.sandbox.store.all(account, kind)}
                assert found == {key: value for (of, key), value in rebuilt.items() if of == kind}


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
