"""Which schedules and subscriptions may be changed directly."""

from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.store import Object

KIND = "subscription_schedule"
# What the phases of a schedule decide, so that a direct change would be lost with the next one.
OWNED = ("items", "trial_end", "billing_cycle_anchor")
CANCELLATION = ("cancel_at", "cancel_at_period_end")


def of(call: Call, subscription: Object) -> Object | None:
    """The running schedule of a subscription."""
    return call.find(KIND, subscription["schedule"]) if subscription["schedule"] else None


def future(schedule: Object, now: int) -> list[Object]:
    """The phases that have not begun."""
    return [phase for phase in schedule["phases"] if phase["start_date"] > now]


def check_direct(call: Call, subscription: Object, params: dict[str, Any]) -> None:
    """Raises StripeError (400) for a change that belongs to the subscription's schedule."""
    schedule = of(call, subscription)
    if schedule is None:
        return
    for name in params:
        if name in CANCELLATION:
            text = (
                f"The subscription is managed by the subscription schedule `{schedule['id']}`, and updating any "
                "cancelation behavior directly is not allowed. Please update the schedule instead."
            )
            raise errors.invalid(text, name)
        if name in OWNED and future(schedule, call.now):
            text = (
                f"The subscription is managed by the subscription schedule `{schedule['id']}`, which has future "
                "phases. Update or release the schedule instead."
            )
            raise errors.invalid(text, name)


def check_pausable(call: Call, subscription: Object) -> None:
    """Raises StripeError (400) for a subscription that cannot be paused."""
    if subscription["schedule"]:
        raise errors.invalid("A subscription that is managed by a subscription schedule cannot be paused.")
    if subscription["billing_mode"]["type"] != "flexible":
        raise errors.invalid("Only subscriptions with `billing_mode[type]=flexible` can be paused.")
    if subscription["status"] not in ("active", "past_due", "trialing"):
        raise errors.invalid(f"A subscription with the status {subscription['status']} cannot be paused.")
