"""Downgrades that wait for the end of the period, shown meanwhile and taken back on request."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from colonnade_sandbox.hosted import pages
from colonnade_sandbox.hosted.offers import FEATURE, length
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.resources import schedule_rules, schedule_work, subscription_schedules
from colonnade_sandbox.resources.invoice_lines import amount_of
from colonnade_sandbox.store import Object


@dataclass(frozen=True, slots=True)
class Pending:
    """A change that will happen: to `price` and `quantity` at `moment`."""

    price: Object
    quantity: int
    moment: int


def pending(visit: Visit, subscription: Object) -> Pending | None:
    call = visit.call()
    schedule = schedule_rules.of(call, subscription)
    phases = schedule_rules.future(schedule, call.now) if schedule is not None else []
    if not phases:
        return None
    item = phases[0]["items"][0]
    price = call.get("price", item["price"], "price")
    return Pending(price, item.get("quantity") or 1, phases[0]["start_date"])


def waits(visit: Visit, subscription: Object, price: Object, quantity: int) -> bool:
    """Whether a change is a downgrade that the configuration puts off (Stripe docs, "Configure the customer portal").

    Only between prices of one product; a trial is not put off, because nothing was paid for it.
    """
    item = subscription["items"]["data"][0]
    conditions = visit.feature(FEATURE)["schedule_at_period_end"]["conditions"]
    kinds = {condition["type"] for condition in conditions}
    if price["product"] != item["price"]["product"] or subscription["status"] == "trialing":
        return False
    currency = subscription["currency"]
    cheaper = amount_of({"price": price, "quantity": quantity}, currency) < amount_of(item, currency)
    shorter = length(price) < length(item["price"])
    return ("decreasing_item_amount" in kinds and cheaper) or ("shortening_interval" in kinds and shorter)


def defer(visit: Visit, subscription: Object, price: Object, quantity: int) -> None:
    items: list[dict[str, Any]] = [{"price": price["id"], "quantity": quantity}]
    visit.run(partial(subscription_schedules.defer, subscription=subscription, items=items))


def withdraw(visit: Visit, key: str) -> Response:
    """Keep the plan as it is."""
    visit.feature(FEATURE)
    subscription = visit.subscription(key)
    if pending(visit, subscription) is None:
        raise pages.Refused(409, "Nothing to undo", "No change is planned for this subscription.")
    release(visit, subscription)
    return pages.redirect(visit.home("change-withdrawn"))


def release(visit: Visit, subscription: Object) -> None:
    """End the subscription's schedule, if it has one."""
    schedule = schedule_rules.of(visit.call(), subscription)
    if schedule is not None:
        visit.run(partial(schedule_work.release, schedule=schedule))
