"""One visit of a Checkout session's page."""

from dataclasses import dataclass
from typing import Any

from colonnade_portal_page import messages
from colonnade_portal_page.messages import Language
from colonnade_sandbox.call import Call
from colonnade_sandbox.hosted import brand, pages
from colonnade_sandbox.hosted.brand import Brand
from colonnade_sandbox.hosted.visit import is_connected
from colonnade_sandbox.http import Request
from colonnade_sandbox.resources import checkout_quotes, test_clocks
from colonnade_sandbox.resources import checkout_sessions as sessions
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object

DAY = 24 * 3600


@dataclass
class Purchase:
    """A request with its open session."""

    request: Request
    sandbox: Sandbox
    account: str
    session: Object

    def call(self) -> Call:
        call = Call(self.sandbox, self.account, self.session["_platform"])
        call.moment = test_clocks.time_of(call, self.customer) if self.customer else None
        return call

    @property
    def customer(self) -> Object | None:
        key = self.session["customer"]
        return self.sandbox.store.find(self.account, "customer", key) if key else None

    @property
    def email(self) -> str | None:
        """The address that is known before the page is filled in."""
        known = (self.customer or {}).get("email")
        return str(known or self.session["customer_email"] or "") or None

    @property
    def brand(self) -> Brand:
        return brand.of_account(self.sandbox, self.session["_data"].get("on_behalf_of") or self.account)

    @property
    def t(self) -> Language:
        wished = None if self.session["locale"] == "auto" else self.session["locale"]
        return messages.chosen(wished, self.request.headers.get("accept-language"))

    @property
    def url(self) -> str:
        return f"/c/pay/{self.session['id']}"

    @property
    def needs_card(self) -> bool:
        return bool(self.session["payment_method_collection"] != "if_required" or self.session["amount_total"] > 0)

    @property
    def trial_days(self) -> int | None:
        """Days until the trial ends, begun ones counted."""
        data = self.session["_data"]
        if "trial_end" in data:
            return -(-(int(data["trial_end"]) - self.call().now) // DAY)
        days: int | None = data.get("trial_period_days")
        return days

    @property
    def success_url(self) -> str:
        return str(self.session["success_url"]).replace("{CHECKOUT_SESSION_ID}", self.session["id"])

    def change(self, changes: dict[str, Any]) -> None:
        """Store and count again what is due today. Raises StripeError where that cannot be."""
        session = self.session | changes

        def store(call: Call) -> Object:
            return call.put(session | checkout_quotes.totals(call, session))

        self.session = self.sandbox.run(store, self.call())


def open_purchase(request: Request, sandbox: Sandbox, token: str) -> Purchase:
    """Raises Refused: 404 for an unknown session, 410 for one that is over."""
    for account, session in sandbox.store.everywhere(sessions.KIND):
        if session["id"] == token:
            purchase = Purchase(request, sandbox, account, session)
            _check_open(purchase)
            return purchase
    raise pages.Refused(404, "Page not found", "This link is not valid.")


def _check_open(purchase: Purchase) -> None:
    session = purchase.session
    if session["status"] == "complete":
        raise pages.Refused(410, "All done", "This purchase is complete.")
    if session["status"] == "expired" or session["expires_at"] <= purchase.sandbox.clock.now():
        raise pages.Refused(410, "This link has expired", "Go back to the business to start again.")
    seller = session["_data"].get("on_behalf_of")
    connected = is_connected(purchase.sandbox, session["_platform"], purchase.account, seller)
    if not connected or (session["customer"] and purchase.customer is None):
        raise pages.Refused(410, "This link has expired", "Go back to the business to start again.")
