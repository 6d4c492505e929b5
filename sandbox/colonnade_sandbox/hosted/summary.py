"""A subscription in words: what it is, what it costs, what happens next."""

from dataclasses import dataclass

from colonnade_sandbox.hosted import deferral, words
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.resources import collection, lifecycle, portal_pauses, price_amounts
from colonnade_sandbox.store import Object

# What each status is called, and the tone it is shown in.
STATUSES = {
    "active": ("Active", "good"),
    "trialing": ("Trial", "good"),
    "past_due": ("Past due", "bad"),
    "unpaid": ("Unpaid", "bad"),
    "incomplete": ("Incomplete", "bad"),
    "paused": ("Paused", "plain"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a subscription. `detail` is the price's own name, `quantity` says how the price adds up."""

    title: str
    detail: str | None
    price: str
    quantity: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    id: str
    lines: list[Line]
    label: str
    tone: str
    when: str
    method: Object | None
    planned: str | None = None

    @property
    def title(self) -> str:
        return ", ".join(line.title for line in self.lines)


def of(visit: Visit, subscription: Object) -> Summary:
    label, tone = STATUSES.get(subscription["status"], (subscription["status"], "plain"))
    if subscription["cancel_at"] is not None:
        label, tone = "Cancellation scheduled", "warn"
    return Summary(
        id=subscription["id"],
        lines=[line(visit, item) for item in subscription["items"]["data"]],
        label=visit.t(label),
        tone=tone,
        when=when(visit, subscription),
        method=collection.chargeable(visit.call(), subscription),
        planned=_planned(visit, subscription),
    )


def _planned(visit: Visit, subscription: Object) -> str | None:
    """`Changes to Gold on November 22, 2026`, where a change waits for the end of the period."""
    pending = deferral.pending(visit, subscription)
    if pending is None:
        return None
    t, price = visit.t, words.total_price(pending.price, pending.quantity, visit.t)
    name = product_name(visit, pending.price)
    return t("Changes to {name} ({price}) on {date}.", name=name, price=price, date=t.date(pending.moment))


def line(visit: Visit, item: Object) -> Line:
    subscription = visit.call().get("subscription", item["subscription"], "subscription")
    price = price_amounts.in_currency(item["price"], subscription["currency"]) or item["price"]
    quantity = item.get("quantity", 1)
    several = f"{quantity} × {words.unit_price(price, visit.t)}" if quantity != 1 else None
    return Line(
        product_name(visit, price), nickname(visit, price), words.total_price(price, quantity, visit.t), several
    )


def product_name(visit: Visit, price: Object) -> str:
    product = visit.call().find("product", price["product"]) or {}
    return str(product.get("name") or price["nickname"] or "Subscription")


def nickname(visit: Visit, price: Object) -> str | None:
    """The price's own name where it says more than the product's."""
    given: str | None = price["nickname"]
    return given if given and given != product_name(visit, price) else None


def when(visit: Visit, subscription: Object) -> str:
    """What happens next, and on which day."""
    t = visit.t
    if subscription["cancel_at"] is not None:
        return t("Your plan ends on {date}.", date=t.date(subscription["cancel_at"]))
    if subscription["status"] == "paused":
        pause = portal_pauses.of(visit.call(), subscription)
        return t("Resumes on {date}.", date=t.date(pause["resumes_at"])) if pause else t("Your plan is paused.")
    if subscription["status"] == "trialing":
        return t("Your trial ends on {date}.", date=t.date(subscription["trial_end"]))
    if subscription["status"] == "incomplete":
        return t("Your first payment is not complete.")
    if subscription["status"] in ("past_due", "unpaid"):
        return t("Your last payment failed. Update your payment method to keep your plan.")
    return t("Your plan renews on {date}.", date=t.date(lifecycle.period_end(subscription)))
