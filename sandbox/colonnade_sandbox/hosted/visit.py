"""One visit of the portal: whose it is, and all that it may see and do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from colonnade_portal_page import messages
from colonnade_portal_page.messages import Language
from colonnade_sandbox.call import Call
from colonnade_sandbox.hosted import brand, pages, words
from colonnade_sandbox.hosted.brand import Brand
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import billing_portal_configurations as configurations
from colonnade_sandbox.resources import billing_portal_sessions as sessions
from colonnade_sandbox.resources import lifecycle, test_clocks
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import NOWHERE, Object

Result = TypeVar("Result")


@dataclass
class Visit:
    """A request with its open session. Configuration and customer are as they are at this moment."""

    request: Request
    sandbox: Sandbox
    token: str
    session: Object
    configuration: Object
    customer: Object
    account: Object

    @property
    def brand(self) -> Brand:
        return brand.of(self.account)

    @property
    def t(self) -> Language:
        """The session's language, else the customer's, else the browser's."""
        wished = None if self.session["locale"] == "auto" else self.session["locale"]
        accepted = self.request.headers.get("accept-language")
        return messages.chosen(wished, *(self.customer["preferred_locales"] or []), accepted)

    @property
    def return_url(self) -> str | None:
        return words.web_link(self.session["return_url"])

    def url(self, *parts: str) -> str:
        """The path of a page of this session; none for its first page."""
        return "/".join(["/p/session", self.token, *(quote(part, safe="") for part in parts)])

    def home(self, notice: str = "") -> str:
        return self.url("home") + (f"?notice={notice}" if notice else "")

    def call(self, **params: Any) -> Call:
        call = Call(self.sandbox, self.session["_account"], self.session["_platform"], params)
        call.moment = test_clocks.time_of(call, self.customer)
        return call

    def run(self, operation: Callable[[Call], Result], key: str = "", **params: Any) -> Result:
        """Do what the API does on the object `key`, with the same events but no request behind them."""
        call = self.call(**params)
        test_clocks.check_still(call, self.customer)
        return self.sandbox.run(operation, call.at(key) if key else call)

    def has(self, name: str) -> bool:
        return bool(self.configuration["features"][name]["enabled"])

    def feature(self, name: str) -> dict[str, Any]:
        """The settings of a feature.

        Raises Refused (403) where the configuration switches it off.
        """
        if not self.has(name):
            raise pages.Refused(403, "Not available", self.t("{name} does not offer this here.", name=self.brand.name))
        found: dict[str, Any] = self.configuration["features"][name]
        return found

    def _visible(self, value: Object) -> bool:
        """With `on_behalf_of`, only what was sold on its behalf (API reference, "Create a portal session")."""
        wanted = self.session["on_behalf_of"]
        return value["customer"] == self.customer["id"] and wanted in (None, value["on_behalf_of"])

    def subscriptions(self) -> list[Object]:
        """Those that have not ended, newest first."""
        return [row for row in lifecycle.of_customer(self.call(), self.customer["id"]) if self._visible(row)]

    def subscription(self, key: str) -> Object:
        """Raises Refused (404) for one that this session does not show, whether it exists or not."""
        for row in self.subscriptions():
            if row["id"] == key:
                return row
        raise pages.Refused(404, "Subscription not found", "There is no such subscription.")

    def invoices(self) -> list[Object]:
        """Those that were finalised, newest first."""
        rows = self.call().all("invoice")
        return [row for row in rows if row["status"] != "draft" and self._visible(row)]

    def payment_methods(self) -> list[Object]:
        return [row for row in self.call().all("payment_method") if row["customer"] == self.customer["id"]]

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        flow = self.session["flow"] or {}
        after = ((flow.get("after_completion") or {}).get("redirect") or {}).get("return_url")
        common: dict[str, Any] = {
            "visit": self,
            "brand": self.brand,
            "t": self.t,
            "csrf_token": pages.form_token(self.sandbox, self.token),
        }
        return pages.render(template, status=status, leads_to=[after], **(common | values))


class Expired(Exception):
    """The session is over; what is kept of it tells whether its customer may log in again."""

    def __init__(self, kept: Object) -> None:
        super().__init__(kept["session"])
        self.kept = kept


def open_visit(request: Request, sandbox: Sandbox, token: str) -> Visit:
    """Raises Refused (404) for an unknown token, Expired for a session that is over."""
    anyone = Call(sandbox, NOWHERE, NOWHERE)
    kept = sandbox.store.find(NOWHERE, sessions.TOKEN_KIND, token)
    if kept is None:
        raise pages.Refused(404, "Page not found", "This link is not valid.")
    session = sandbox.run(lambda call: sessions.open_session(call, token), anyone)
    visit = _visit(request, sandbox, token, session) if session is not None else None
    if visit is None:
        raise Expired(kept)
    return visit


def _visit(request: Request, sandbox: Sandbox, token: str, session: Object) -> Visit | None:
    """None where customer, configuration or the business behind the session is gone."""
    account, platform, seller = session["_account"], session["_platform"], session["on_behalf_of"]
    customer = sandbox.store.find(account, "customer", session["customer"])
    configuration = sandbox.store.find(account, configurations.KIND, session["configuration"])
    if not is_connected(sandbox, platform, account, seller):
        return None
    shown = sandbox.store.find(seller or account, "account", seller or account)
    if customer is None or configuration is None or shown is None:
        return None
    return Visit(request, sandbox, token, session, configuration, customer, shown)


def is_connected(sandbox: Sandbox, platform: str, *accounts: str | None) -> bool:
    """Whether the platform may still act for the accounts; for itself it always may."""
    return all(platform in sandbox.platforms_of(account) for account in accounts if account and account != platform)
