"""Random clicks in the portal among random API calls: every invariant of the histories, and nobody else's objects."""

import random
import re
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.sandbox.browser import Form, Page, page_of
from tests.sandbox.test_histories import Histories

FEATURES: dict[str, dict[str, Any]] = {
    "customer_update": {"enabled": "true", "allowed_updates": ["name", "email", "address", "tax_id"]},
    "invoice_history": {"enabled": "true"},
    "payment_method_update": {"enabled": "true"},
    "subscription_update": {"enabled": "true", "default_allowed_updates": ["price", "quantity"]},
}
ADJUSTABLE = {"enabled": "true", "minimum": 1, "maximum": 3}
CARDS = ("visa", "amex", "chargeCustomerFail", "chargeDeclined")
# What a page may name of its own customer alone, by the kind of its ids.
OWNED = {"sub": "subscription", "pm": "payment_method", "in": "invoice", "txi": "tax_id"}


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested parameters as a form's."""
    if isinstance(value, dict):
        inner = [(f"{name}[{key}]" if name else str(key), part) for key, part in value.items()]
    elif isinstance(value, list):
        inner = [(f"{name}[{place}]", part) for place, part in enumerate(value)]
    else:
        return {name: value}
    return {key: part for at, given in inner for key, part in flat(given, at).items()}


class Clicks(Histories):
    """The histories of the API, with customers who use the portal meanwhile."""

    def start(self) -> None:
        """Two customers and two plans in every account: clicks lead nowhere without."""
        self.sold_for: dict[str, Any] = {}
        self.done: set[str] = set()
        self.connect()
        for account in range(3):
            for amount in (1000, 2000):
                self.make_price(account, amount)
                self.make_customer(account, card=True)
            self.subscribe(account, 0, 0, trial=False)
            self.subscribe(account, 1, 0, trial=True)

    def subscribe_for(self, customer: int, price: int, seller: int) -> None:
        who, what = self.one(0, "customer", customer), self.one(0, "price", price)
        if who and what:
            form = {"customer": who, "items[0][price]": what, "on_behalf_of": self.accounts[seller]}
            self.call(0, "POST", "/v1/subscriptions", **form)

    def click(self, account: int, customer: int, mode: str, clicks: list[int]) -> None:
        if who := self.one(account, "customer", customer):
            page = self.open(account, who, mode)
            for pick in clicks:
                self.check_page(account, who, page)
                page = self.step(account, page, pick)

    def switch(self, account: int, customer: int, pick: int) -> None:
        """The way to another plan: too long for a walk to find it often."""
        if who := self.one(account, "customer", customer):
            page = self.open(account, who, "at_period_end")
            update = next((url for url in page.links.values() if url.endswith("/update")), None)
            if update is not None:
                page = self.get(update)
                for _ in range(2):
                    page = self.submit(account, page.forms[0], pick) if page.forms else page
                    self.check_page(account, who, page)

    def click_across(self, owner: int, other: int, mine: int, theirs: int, deed: str) -> None:
        who, key = self.one(owner, "customer", mine), self.one(other, "subscription", theirs)
        found = self.sandbox.store.find(self.accounts[other], "subscription", key) if key else None
        if who and found and found["customer"] != who:
            base = self.open(owner, who, "immediately").url.removesuffix("/home")
            new = self.get(f"{base}/payment-methods/new")
            fields = {"csrf_token": new.forms[0].fields["csrf_token"]}
            assert self.post(f"{base}/subscriptions/{key}/{deed}", fields).status == 404

    def open(self, account: int, customer: str, mode: str) -> Page:
        features: dict[str, Any] = FEATURES | {"subscription_cancel": {"enabled": "true", "mode": mode}}
        prices = [row for row in self.sandbox.store.all(self.accounts[account], "price") if row["active"]][:5]
        products = [
            {"product": row["product"], "prices": [row["id"]], "adjustable_quantity": ADJUSTABLE} for row in prices
        ]
        features |= {"subscription_update": FEATURES["subscription_update"] | {"products": products}}
        if not products:
            features.pop("subscription_update")
        form = flat({"features": features})
        status, made = self.call(account, "POST", "/v1/billing_portal/configurations", **form)
        assert status == 200, made
        form = {"customer": customer, "configuration": made["id"], "return_url": "https://shop.example/"}
        status, session = self.call(account, "POST", "/v1/billing_portal/sessions", **form)
        assert status == 200, session
        return self.get(urlsplit(session["url"]).path)

    def get(self, url: str) -> Page:
        return self.read("GET", url, "")

    def post(self, url: str, fields: dict[str, str]) -> Page:
        return self.read("POST", url, urlencode(fields))

    def read(self, method: str, url: str, body: str) -> Page:
        parts = urlsplit(url)
        deed = f"{parts.path.split('/')[4]} {parts.path.rpartition('/')[2]}" if method == "POST" else ""
        status, headers, html = self.local.send(method, parts.path, body, parts.query)
        assert status < 500, html
        if status == 303:
            self.done.add(deed)
        if status == 303 and headers["location"].startswith("/p/session/"):
            return self.get(headers["location"])
        return page_of(parts.path, status, headers, html)

    def step(self, account: int, page: Page, pick: int) -> Page:
        """Follow a link or send a form of the page; from a dead end back to the first page."""
        links = [url for url in page.links.values() if url.startswith("/p/session/")]
        ways: list[str | Form] = [*links, *page.forms, *page.forms, *page.forms]
        if not ways:
            return self.get("/".join(page.url.split("/")[:4]) + "/home")
        way = ways[pick % len(ways)]
        if isinstance(way, str):
            return self.get(way)
        return self.submit(account, way, pick)

    def submit(self, account: int, form: Form, pick: int) -> Page:
        fields = form.fields | self.choices(account, form, pick)
        if form.method == "GET":
            return self.get(f"{form.action}?{urlencode(fields)}")
        return self.post(form.action, fields)

    def choices(self, account: int, form: Form, pick: int) -> dict[str, str]:
        """What a customer enters; some of it is refused."""
        entered = {
            "card": CARDS[pick % len(CARDS)],
            "email": "bob@example.com",
            "name": f"Bob {pick}",
            "quantity": str(pick % 4 + 1),
            "value": "DE123456789",
        }
        if form.method == "GET" and (price := self.one(account, "price", pick // 7)):
            entered["price"] = price
        return {name: value for name, value in entered.items() if name in form.fields}

    def check_page(self, account: int, customer: str, page: Page) -> None:
        assert set(re.findall(r"\bcus_\w+", page.html)) <= {customer}
        for prefix, kind in OWNED.items():
            for key in re.findall(rf"\b{prefix}_[A-Za-z0-9]{{8,}}", page.html):
                found = self.sandbox.store.find(self.accounts[account], kind, key) or {}
                assert found.get("customer") == customer, (page.url, key)

    def a_subscription_stays_with_whom_it_was_sold_for(self) -> None:
        for account in self.accounts:
            for row in self.sandbox.store.all(account, "subscription"):
                assert self.sold_for.setdefault(row["id"], row["on_behalf_of"]) == row["on_behalf_of"]


def walk(seed: int, steps: int = 30) -> set[str]:
    """What was done on the way."""
    world, chance = Clicks(), random.Random(seed)
    world.start()
    for _ in range(steps):
        account, other = chance.randrange(3), chance.randrange(3)
        pick, more = chance.randrange(1000), chance.randrange(1000)
        clicks = [chance.randrange(1000) for _ in range(8)]
        mode = chance.choice(["immediately", "at_period_end"])
        world.click(account, pick, mode, clicks)
        world.switch(account, more, pick)
        world.click_across(account, other, pick, more, chance.choice(["cancel", "keep", "update"]))
        chance.choice(
            [
                partial(world.subscribe_for, pick, more, 1),
                partial(world.subscribe, account, pick, more, trial=False),
                partial(world.wait, chance.randrange(20)),
                partial(world.change_plan, account, pick, more, 2),
                partial(world.add_card, account, pick),
            ]
        )()
        world.nothing_is_orphaned()
        world.events_replayed_in_order_rebuild_the_state()
        world.a_subscription_stays_with_whom_it_was_sold_for()
    world.teardown()
    return world.done


def test_random_clicks_keep_every_invariant() -> None:
    assert {deed.rpartition(" ")[2] for deed in walk(5, steps=15)} >= {"cancel", "update"}


@pytest.mark.slow
def test_longer_walks_keep_them_too_and_reach_all_that_the_portal_offers() -> None:
    deeds = set().union(*(walk(seed) for seed in range(5)))
    wanted = {"cancel", "keep", "update", "customer", "payment-methods", "default", "remove"}
    assert wanted <= {deed.rpartition(" ")[2] for deed in deeds}
