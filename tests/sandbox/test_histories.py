"""Random sequences of API calls: no orphan, nothing of another account, and events that tell the whole story."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.sandbox.histories import World

ACCOUNTS = st.integers(0, 2)
PICK = st.integers(0, 1000)
PATHS = {
    "customer": "/v1/customers",
    "payment_method": "/v1/payment_methods",
    "price": "/v1/prices",
    "product": "/v1/products",
    "subscription": "/v1/subscriptions",
}


class Histories(World):
    """A platform (0) and two connected accounts, called at random."""

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

    @rule(
        account=st.integers(1, 2),
        capability=st.sampled_from(["card_payments", "transfers"]),
        name=st.sampled_from(["A", "B"]),
    )
    def tell_of_account(self, account: int, capability: str, name: str) -> None:
        form = {f"capabilities[{capability}][requested]": "true", "business_profile[name]": name}
        assert self.call(0, "POST", f"/v1/accounts/{self.accounts[account]}", **form)[0] == 200

    @rule(account=ACCOUNTS, pick=PICK, deed=st.sampled_from(["finalize", "pay", "void", "mark_uncollectible"]))
    def work_on_invoice(self, account: int, pick: int, deed: str) -> None:
        if key := self.one(account, "invoice", pick):
            self.call(account, "POST", f"/v1/invoices/{key}/{deed}")

    @rule(account=ACCOUNTS, pick=PICK, price=PICK, quantity=st.integers(1, 3))
    def change_plan(self, account: int, pick: int, price: int, quantity: int) -> None:
        key, what = self.one(account, "subscription", pick), self.one(account, "price", price)
        if key and what:
            item = self.call(account, "GET", f"/v1/subscriptions/{key}")[1]["items"]["data"][0]["id"]
            form = {"items[0][id]": item, "items[0][price]": what, "items[0][quantity]": quantity}
            self.call(account, "POST", f"/v1/subscriptions/{key}", **form)

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


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
