"""Phases of subscription schedules: made from parameters or from a subscription, and applied at their time."""

from typing import Any

from colonnade_sandbox import errors, periods
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.resources import (
    discounts,
    lifecycle,
    subscription_lines,
    subscription_updates,
    subscription_values,
)
from colonnade_sandbox.store import Object

COPIED = (
    "application_fee_percent",
    "billing_cycle_anchor",
    "collection_method",
    "default_payment_method",
    "description",
    "discounts",
    "on_behalf_of",
    "transfer_data",
    "trial",
)
# Of a phase, what its subscription takes over when it begins.
APPLIED = (
    "application_fee_percent",
    "collection_method",
    "default_payment_method",
    "description",
    "on_behalf_of",
    "transfer_data",
    "trial_end",
)
PARAMETERS = (
    "application_fee_percent billing_cycle_anchor collection_method currency default_payment_method description "
    "discounts duration end_date iterations items][metadata items][plan items][price items][price_data "
    "items][quantity metadata on_behalf_of proration_behavior start_date transfer_data trial trial_end"
)
TAKEN = " ".join(f"phases[{name}]" for name in PARAMETERS.split())


def from_subscription(subscription: Object) -> Object:
    """The phase that a subscription is in: until its period or its cancellation."""
    return {
        "currency": subscription["currency"],
        "start_date": min(item["current_period_start"] for item in subscription["items"]["data"]),
        "end_date": subscription["cancel_at"] or lifecycle.period_end(subscription),
        "items": [_shown(item["price"], item) for item in subscription["items"]["data"]],
        "discounts": [{"discount": key} for key in subscription["discounts"]],
        "proration_behavior": "create_prorations",
        "trial_end": subscription["trial_end"] if subscription["status"] == "trialing" else None,
        "metadata": {},
        **{name: subscription[name] for name in ("application_fee_percent", "on_behalf_of", "transfer_data")},
    }


def defaults_of(subscription: Object) -> dict[str, Any]:
    """The `default_settings` of a schedule made from a subscription."""
    return {name: subscription[name] for name in APPLIED if name != "trial_end"}


def _shown(price: Object, given: dict[str, Any]) -> dict[str, Any]:
    shown = {"price": price["id"], "plan": price["id"], "metadata": given.get("metadata") or {}, "tax_rates": []}
    return shown | {"quantity": given.get("quantity", 1), "discounts": []}


def from_params(call: Call, given: list[dict[str, Any]], start: int) -> list[Object]:
    """Phases that follow one another without gaps from `start` on.

    Raises StripeError (400) naming the phase's parameter.
    """
    phases = []
    for index, wish in enumerate(given):
        phase = _phase(call, wish, start, f"phases[{index}]")
        phases.append(phase)
        start = phase["end_date"]
    return phases


def _phase(call: Call, wish: dict[str, Any], start: int, param: str) -> Object:
    named = call.now if wish.get("start_date") == "now" else wish.get("start_date", start)
    if named != start:
        raise errors.invalid("Each phase must start when the one before it ends.", f"{param}[start_date]")
    prices = [
        subscription_lines.price_of(call, item, f"{param}[items][{index}]") for index, item in enumerate(wish["items"])
    ]
    if not prices:
        raise errors.missing_parameter(f"{param}[items]")
    end = _end(call, wish, start, prices[0])
    if end <= start:
        raise errors.invalid("A phase must end after it starts.", f"{param}[end_date]")
    subscription_values.account_of(call, wish.get("on_behalf_of") or None, f"{param}[on_behalf_of]")
    destination = (wish.get("transfer_data") or {}).get("destination")
    subscription_values.account_of(call, destination, f"{param}[transfer_data][destination]")
    trial_end = end if wish.get("trial") else wish.get("trial_end")
    return {
        **{name: wish[name] or None for name in COPIED if name in wish},
        "currency": (wish.get("currency") or prices[0]["currency"]).lower(),
        "discounts": wish.get("discounts") or [],
        "end_date": end,
        "items": [_shown(price, item) for price, item in zip(prices, wish["items"], strict=True)],
        "metadata": merged_metadata({}, wish.get("metadata")),
        "proration_behavior": wish.get("proration_behavior", "create_prorations"),
        "start_date": start,
        "trial_end": call.now if trial_end == "now" else trial_end,
    }


def _end(call: Call, wish: dict[str, Any], start: int, price: Object) -> int:
    """By `end_date` or `duration`; else after one interval of the first price, or `iterations` of older versions."""
    if "end_date" in wish:
        return call.now if wish["end_date"] == "now" else int(wish["end_date"])
    duration: dict[str, Any] = wish.get("duration") or price["recurring"]
    return periods.step(start, {"interval_count": 1, **duration}, wish.get("iterations", 1))


def wishes_of(schedule: Object, phase: Object, now: int) -> dict[str, Any]:
    """A phase as parameters of its subscription; what it leaves open, the schedule's defaults say."""
    merged = {name: phase.get(name) or schedule["default_settings"].get(name) for name in APPLIED}
    wishes = {name: value for name, value in merged.items() if value is not None}
    if wishes.get("trial_end", now) <= now:
        wishes.pop("trial_end", None)
    return wishes


def apply(call: Call, schedule: Object, phase: Object) -> Object:
    """The subscription becomes what the phase says."""
    subscription = call.get("subscription", schedule["subscription"], "subscription")
    wishes = wishes_of(schedule, phase, call.now)
    inner = call.to(**wishes, metadata=phase["metadata"] or {}, proration_behavior=phase["proration_behavior"])
    changes = subscription_values.values(inner, subscription["customer"], subscription)
    data = subscription_lines.edited(inner, subscription, _edits(subscription, phase))
    changes |= subscription_updates.items_changes(inner, subscription, data)
    if phase["discounts"]:
        owner = {"customer": subscription["customer"], "subscription": subscription["id"]}
        wanted = [{name: value for name, value in each.items() if value} for each in phase["discounts"]]
        changes["discounts"] = discounts.take(inner, wanted, owner, subscription["discounts"])
    return subscription_updates.apply(inner, subscription, changes)


def _edits(subscription: Object, phase: Object) -> list[dict[str, Any]]:
    """The phase's items as edits: same price, same item; then old items take new prices, in order."""
    old = {item["price"]["id"]: item for item in subscription["items"]["data"]}
    edits, new = [], []
    for wish in phase["items"]:
        kept = old.pop(wish["price"], None)
        edit = {"quantity": wish["quantity"], "metadata": wish["metadata"] or {}}
        if kept is not None:
            edits.append({"id": kept["id"], **edit})
        else:
            new.append({"price": wish["price"], **edit})
    left = [item["id"] for item in old.values()]
    for wish in new:
        edits.append({"id": left.pop(0), **wish} if left else wish)
    return edits + [{"id": key, "deleted": True} for key in left]
