"""What can happen at Stripe, each as a deed that a history is made of. A deed that is impossible now does nothing."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.convergence import model
from tests.convergence.model import DAY, Model
from tests.tenants import billing
from tests.tenants.payloads import START

Deed = Callable[[Model], None]
UPDATED = "customer.subscription.updated"


def _live(stripe: Model, name: str = "sub_1") -> bool:
    return name in stripe and stripe[name]["status"] not in {"canceled", "incomplete_expired"}


def subscribed(status: str, name: str = "sub_1") -> Deed:
    def deed(stripe: Model) -> None:
        if name not in stripe and "cus_1" in stripe:
            stripe.create(model.subscription(name, status), "customer.subscription.created")

    return deed


def changed(**changes: Any) -> Deed:
    def deed(stripe: Model) -> None:
        if _live(stripe):
            stripe.update("sub_1", UPDATED, **changes)

    return deed


def has_items(*items: dict[str, Any]) -> Deed:
    def deed(stripe: Model) -> None:
        if _live(stripe):
            stripe.items("sub_1", *items)

    return deed


def told(event_type: str, **changes: Any) -> Deed:
    """An event without previous attributes."""

    def deed(stripe: Model) -> None:
        if _live(stripe):
            stripe.end("sub_1", event_type, **changes)

    return deed


def ends(name: str = "sub_1") -> Deed:
    def deed(stripe: Model) -> None:
        if _live(stripe, name):
            gone = {"status": "canceled", "cancel_at": None, "canceled_at": stripe.now, "ended_at": stripe.now}
            stripe.end(name, "customer.subscription.deleted", **gone)

    return deed


def made(thing: dict[str, Any], event_type: str) -> Deed:
    def deed(stripe: Model) -> None:
        known = any(event["data"]["object"].get("id") == thing["id"] for event in stripe.events)
        if not known and "cus_1" in stripe:
            stripe.create(thing, event_type)

    return deed


def edited(name: str, event_type: str, /, **changes: Any) -> Deed:
    def deed(stripe: Model) -> None:
        if name in stripe and stripe[name].get("customer", name):
            stripe.update(name, event_type, **changes)

    return deed


def removed(name: str, event_type: str) -> Deed:
    def deed(stripe: Model) -> None:
        if name in stripe:
            stripe.remove(name, event_type)

    return deed


def invoice_moves(status: str, event_type: str, *, since: set[str]) -> Deed:
    """An invoice's status is never gone back."""

    def deed(stripe: Model) -> None:
        if "in_1" in stripe and stripe["in_1"]["status"] in since:
            stripe.update("in_1", event_type, **billing.invoice(status))

    return deed


def schedule_ends(status: str) -> Deed:
    def deed(stripe: Model) -> None:
        if "sub_sched_1" in stripe and stripe["sub_sched_1"]["status"] == "active":
            freed = {"released_subscription": "sub_1", "subscription": None} if status == "released" else {}
            stripe.end("sub_sched_1", f"subscription_schedule.{status}", status=status, current_phase=None, **freed)

    return deed


def schedule_edited(stripe: Model) -> None:
    """Another price in the next phase."""
    if "sub_sched_1" in stripe and stripe["sub_sched_1"]["status"] == "active":
        first, last = stripe["sub_sched_1"]["phases"]
        items = [last["items"][0] | {"quantity": 2 + last["items"][0]["quantity"]}]
        stripe.update("sub_sched_1", "subscription_schedule.updated", phases=[first, last | {"items": items}])


def customer_removed(stripe: Model) -> None:
    """With its subscriptions, which end by events of their own."""
    for name in ("sub_1", "sub_2"):
        ends(name)(stripe)
    removed("cus_1", "customer.deleted")(stripe)


MANY = [model.item("sub_1", number) for number in range(12)]

ACCESS: dict[str, Deed] = {
    "starts incomplete": subscribed("incomplete"),
    "starts": subscribed("active"),
    "starts a trial": subscribed("trialing"),
    "a second one": subscribed("active", "sub_2"),
    "is paid": changed(status="active"),
    "three seats": has_items(model.item("sub_1", 0, quantity=3)),
    "one seat": has_items(model.item("sub_1", 0)),
    "switches": has_items(model.item("sub_1", 0, "price_gold")),
    "an add-on": has_items(model.item("sub_1", 0), model.item("sub_1", 1, "price_gold", 2)),
    "twelve items": has_items(*MANY),
    "cancels at the period's end": changed(cancel_at_period_end=True, cancel_at=START + 30 * DAY),
    "cancels in the portal": changed(cancel_at=START + 30 * DAY),
    "reactivates": changed(cancel_at_period_end=False, cancel_at=None),
    "falls past due": changed(status="past_due"),
    "has a schedule": changed(schedule="sub_sched_1"),
    "pauses": told("customer.subscription.paused", status="paused"),
    "resumes": told("customer.subscription.resumed", status="active"),
    "is announced to end its trial": told("customer.subscription.trial_will_end"),
    "is deleted": ends(),
    "the second is deleted": ends("sub_2"),
}
CUSTOMER: dict[str, Deed] = {
    "moves": edited("cus_1", "customer.updated", address={"country": "FR", "city": "Paris"}),
    "moves back": edited("cus_1", "customer.updated", address=None),
    "is renamed": edited("cus_1", "customer.updated", name="Bo", email="bo@example.com"),
    "chooses a card": edited("cus_1", "customer.updated", invoice_settings={"default_payment_method": "pm_1"}),
    "is deleted": customer_removed,
    "gives a tax id": made(billing.tax_id(), "customer.tax_id.created"),
    "tax id verified": edited("txi_1", "customer.tax_id.updated", verification={"status": "verified"}),
    "tax id not verified": edited("txi_1", "customer.tax_id.updated", verification={"status": "unverified"}),
    "takes the tax id back": removed("txi_1", "customer.tax_id.deleted"),
    "adds a card": made(billing.payment_method(), "payment_method.attached"),
    "card renewed": edited("pm_1", "payment_method.automatically_updated", card={"exp_year": 2034, "brand": "visa"}),
    "card corrected": edited("pm_1", "payment_method.updated", card={"exp_year": 2031, "brand": "visa"}),
    "removes the card": edited("pm_1", "payment_method.detached", customer=None),
}
BILLS: dict[str, Deed] = {
    "drafted": made(billing.invoice("draft"), "invoice.created"),
    "amount changes": edited("in_1", "invoice.updated", amount_due=400, amount_remaining=400),
    "finalised": invoice_moves("open", "invoice.finalized", since={"draft"}),
    "payment fails": edited("in_1", "invoice.payment_failed", attempt_count=2),
    "given up": invoice_moves("uncollectible", "invoice.marked_uncollectible", since={"open"}),
    "paid": invoice_moves("paid", "invoice.paid", since={"open", "uncollectible"}),
    "voided": invoice_moves("void", "invoice.voided", since={"open", "uncollectible"}),
    "deferred": made(billing.schedule(), "subscription_schedule.created"),
    "deferred otherwise": schedule_edited,
    "released": schedule_ends("released"),
    "schedule cancelled": schedule_ends("canceled"),
}
EVERYTHING: dict[str, Deed] = {
    f"{kind}: {name}": deed
    for kind, deeds in (("access", ACCESS), ("customer", CUSTOMER), ("bills", BILLS))
    for name, deed in deeds.items()
}


def beginning(skew: Mapping[str, int] | None = None) -> Model:
    """There is a customer, and nothing happened yet."""
    stripe = Model(skew)
    stripe.objects["cus_1"] = billing.customer()
    return stripe


def history(*steps: tuple[Deed, int]) -> Model:
    """What is so after these deeds, each so many seconds after the one before."""
    stripe = beginning()
    for deed, pause in steps:
        stripe.now += pause
        deed(stripe)
    return stripe


def possible(stripe: Model) -> list[str]:
    """What would make a difference now."""
    return [name for name, deed in EVERYTHING.items() if _tells(deed, stripe.copy())]


def _tells(deed: Deed, stripe: Model) -> bool:
    before = len(stripe.events)
    deed(stripe)
    return len(stripe.events) > before
