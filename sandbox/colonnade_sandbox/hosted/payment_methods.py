"""The customer's payment methods: add a test card, choose the default, remove."""

from dataclasses import dataclass

from colonnade_portal_page.forms import CARDS
from colonnade_sandbox.errors import StripeError
from colonnade_sandbox.hosted import flows, pages
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.resources import collection, customers, lifecycle, payment_methods
from colonnade_sandbox.store import Object

FEATURE = "payment_method_update"


@dataclass(frozen=True, slots=True)
class Row:
    method: Object
    is_default: bool
    removable: bool


def rows(visit: Visit) -> list[Row]:
    default = visit.customer["invoice_settings"]["default_payment_method"]
    return [Row(method, method["id"] == default, _removable(visit, method["id"])) for method in visit.payment_methods()]


def _removable(visit: Visit, key: str) -> bool:
    """A method that a running subscription is charged to stays, and so does the last one while any runs.

    All of the customer's subscriptions count, also those that this session does not show.
    """
    running = lifecycle.of_customer(visit.call(), visit.customer["id"])
    used = {method["id"] for row in running if (method := collection.chargeable(visit.call(), row))}
    return not running or (key not in used and len(visit.payment_methods()) > 1)


def ask(visit: Visit, alert: str = "", chosen: str = "visa", status: int = 200) -> Response:
    visit.feature(FEATURE)
    return visit.page(
        "payment_method.html",
        status=status,
        alert=alert,
        cards=CARDS,
        chosen=chosen,
        always_default=flows.is_step(visit, (FEATURE,)),
        back=flows.way_back(visit, FEATURE),
    )


def add(visit: Visit) -> Response:
    """Attach a new card; it becomes the default if it is the first, the form says so, or a flow asked for it."""
    visit.feature(FEATURE)
    card = visit.request.form.get("card", "")
    if card not in CARDS:
        return ask(visit, "Choose one of the test cards.", status=400)
    first = not visit.payment_methods()
    try:
        added = visit.run(payment_methods.attach, f"pm_card_{card}", customer=visit.customer["id"])
    except StripeError as error:
        return ask(visit, str(error), card, status=error.status)
    if first or "default" in visit.request.form or flows.is_step(visit, (FEATURE,)):
        _set_default(visit, added["id"])
    return flows.finish(visit, FEATURE, notice="payment-method-added")


def make_default(visit: Visit, key: str) -> Response:
    _set_default(visit, _own(visit, key)["id"])
    return pages.redirect(visit.home("payment-method-default"))


def _set_default(visit: Visit, method: str) -> None:
    visit.run(customers.update, visit.customer["id"], invoice_settings={"default_payment_method": method})


def remove(visit: Visit, key: str) -> Response:
    method = _own(visit, key)
    if not _removable(visit, method["id"]):
        text = "Your subscription is paid with this payment method. Make another one the default first."
        raise pages.Refused(409, "Still in use", text)
    visit.run(payment_methods.detach, method["id"])
    return pages.redirect(visit.home("payment-method-removed"))


def _own(visit: Visit, key: str) -> Object:
    visit.feature(FEATURE)
    for method in visit.payment_methods():
        if method["id"] == key:
            return method
    raise pages.Refused(404, "Payment method not found", "There is no such payment method.")
