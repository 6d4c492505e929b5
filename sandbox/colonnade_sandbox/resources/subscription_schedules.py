"""Subscription schedules: phases of a subscription that begin by themselves."""

from typing import Any

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.resources import (
    lifecycle,
    schedule_phases,
    schedule_work,
    subscription_values,
    subscriptions,
)
from colonnade_sandbox.resources.schedule_rules import KIND
from colonnade_sandbox.store import Object

TAKEN = f"default_settings end_behavior metadata {schedule_phases.TAKEN}"
RUNNING = ("not_started", "active")
END_BEHAVIORS = ("cancel", "release")

retrievable(KIND, "/v1/subscription_schedules/{schedule}")


listable(
    KIND,
    "/v1/subscription_schedules",
    {
        "canceled_at": lists.within("canceled_at"),
        "completed_at": lists.within("completed_at"),
        "customer": lists.equal("customer"),
        "released_at": lists.within("released_at"),
        "scheduled": lambda row, wanted: (row["status"] == "not_started") is wanted,
    },
)


@operation("POST", "/v1/subscription_schedules", takes=f"{TAKEN} billing_mode customer from_subscription start_date")
def create(call: Call) -> Object:
    """From a running subscription, or from phases that make a new one now or later."""
    params = call.params
    if "from_subscription" in params:
        return _from_subscription(call, params["from_subscription"])
    for name in ("customer", "phases"):
        if name not in params:
            raise errors.missing_parameter(name)
    customer = call.get("customer", params["customer"], "customer")
    start = call.now if params.get("start_date", "now") == "now" else int(params["start_date"])
    if start < call.now:
        raise errors.invalid("A schedule cannot start in the past.", "start_date")
    phases = schedule_phases.from_params(call, params["phases"], start)
    values = {
        "billing_mode": subscription_values.billing_mode(params),
        "customer": customer["id"],
        "phases": phases,
        "status": "not_started",
        "test_clock": customer["test_clock"],
    }
    schedule = call.add(KIND, "sub_sched", values | _settings(call, {"metadata": {}}))
    return schedule_work.begin(call, schedule) if start <= call.now else schedule


def _settings(call: Call, current: dict[str, Any]) -> dict[str, Any]:
    params = call.params
    behaviour = params.get("end_behavior", current.get("end_behavior", "release"))
    if behaviour not in END_BEHAVIORS:
        raise errors.parameter_not_implemented("end_behavior")
    found = {"end_behavior": behaviour, "metadata": merged_metadata(current["metadata"], params.get("metadata"))}
    if "default_settings" in params:
        account = params["default_settings"].get("on_behalf_of") or None
        subscription_values.account_of(call, account, "default_settings[on_behalf_of]")
        found["default_settings"] = current.get("default_settings", {}) | params["default_settings"]
    return found


def _from_subscription(call: Call, key: str) -> Object:
    others = call.params.keys() - {"from_subscription", "billing_mode"}
    if others:
        text = f"You cannot set `{min(others)}` if `from_subscription` is set."
        raise errors.invalid(text, min(others))
    subscription = call.get("subscription", key, "from_subscription")
    if subscription["schedule"]:
        text = f"The subscription is already attached to a schedule: `{subscription['schedule']}`."
        raise errors.invalid(text, "from_subscription")
    if subscription["status"] in lifecycle.ENDED | {"incomplete", "paused"}:
        text = f"A schedule cannot be made from a subscription with the status {subscription['status']}."
        raise errors.invalid(text, "from_subscription")
    phase = schedule_phases.from_subscription(subscription)
    values = {
        "application": subscription["application"],
        "billing_mode": subscription["billing_mode"],
        "current_phase": schedule_work.span(phase),
        "customer": subscription["customer"],
        "default_settings": schedule_phases.defaults_of(subscription),
        "end_behavior": "cancel" if subscription["cancel_at"] else "release",
        "metadata": {},
        "phases": [phase],
        "status": "active",
        "subscription": subscription["id"],
        "test_clock": subscription["test_clock"],
    }
    schedule = call.add(KIND, "sub_sched", values)
    schedule_work.attach(call, schedule)
    return schedule


@operation("POST", "/v1/subscription_schedules/{schedule}", takes=f"{TAKEN} proration_behavior")
def update(call: Call) -> Object:
    """New phases replace those from the current one on; a change of the current one applies at once."""
    schedule = _running(call)
    changes = _settings(call, schedule)
    current = None
    if "phases" in call.params:
        begins = (schedule["current_phase"] or schedule["phases"][0])["start_date"]
        phases = schedule_phases.from_params(call, _anchored(call, begins), begins)
        running = [phase for phase in phases if phase["start_date"] <= call.now < phase["end_date"]]
        if schedule["status"] == "active" and not running:
            raise errors.invalid("One of the phases must be the current one.", "phases[0][end_date]")
        past = [phase for phase in schedule["phases"] if phase["end_date"] <= begins]
        changes |= {"phases": past + phases, "_noticed": False}
        current = running[0] if schedule["status"] == "active" else None
    if current is not None:
        changes["current_phase"] = schedule_work.span(current)
    changed = call.change(schedule, shapes.complete(KIND, schedule | changes))
    if schedule["status"] == "active":
        _apply(call, schedule, changed)
    return call.get(KIND, schedule["id"])


def _anchored(call: Call, begins: int) -> list[dict[str, Any]]:
    """The given phases; the first must say that it starts where the current one does."""
    given: list[dict[str, Any]] = call.params["phases"] or [{}]
    if given[0].get("start_date") != begins:
        text = (
            "You can not modify the start date of the current phase; `start_date` of the first phase must be its own."
        )
        raise errors.invalid(text, "phases[0][start_date]")
    return given


def _apply(call: Call, before: Object, after: Object) -> None:
    """Where the current phase says something else than before, the subscription follows now."""
    schedule_work.attach(call, after)
    old, new = (_current(schedule) for schedule in (before, after))
    if old["items"] != new["items"]:
        wanted = new | {"proration_behavior": call.params.get("proration_behavior", "create_prorations")}
        schedule_phases.apply(call, after, wanted)


def _current(schedule: Object) -> Object:
    starts = schedule["current_phase"]["start_date"]
    return next(phase for phase in schedule["phases"] if phase["start_date"] == starts)


def _running(call: Call) -> Object:
    schedule = call.get(KIND, call.id)
    if schedule["status"] not in RUNNING:
        raise errors.invalid(f"You cannot change a subscription schedule that is {schedule['status']}.")
    return schedule


@operation("POST", "/v1/subscription_schedules/{schedule}/release", takes="preserve_cancel_date")
def release(call: Call) -> Object:
    keep = bool(call.params.get("preserve_cancel_date"))
    return schedule_work.release(call, _running(call), keep_cancellation=keep)


@operation("POST", "/v1/subscription_schedules/{schedule}/cancel", takes="invoice_now prorate")
def cancel(call: Call) -> Object:
    """Cancels its subscription with it; both `invoice_now` and `prorate` are true unless told otherwise."""
    schedule = _running(call)
    if schedule["status"] == "active":
        wishes = {"invoice_now": True, "prorate": True} | call.params
        subscriptions.cancel(call.to(**wishes).at(schedule["subscription"]))
        return call.get(KIND, schedule["id"])
    canceled = call.put(schedule | {"status": "canceled", "canceled_at": call.now})
    call.emit("subscription_schedule.canceled", canceled)
    return canceled


def defer(call: Call, subscription: Object, items: list[dict[str, Any]]) -> Object:
    """Let the subscription have `items` (price and quantity) from the end of its period on: a portal's downgrade."""
    schedule = call.find(KIND, subscription["schedule"] or "")
    if schedule is None:
        schedule = create(call.to(from_subscription=subscription["id"]))
    now = _current(schedule)
    phase = {"start_date": now["start_date"], "end_date": now["end_date"]}
    kept = [{name: item[name] for name in ("price", "quantity")} for item in now["items"]]
    phases = [phase | {"items": kept}, {"items": items, "proration_behavior": "none"}]
    return update(call.to(phases=phases, end_behavior="release").at(schedule["id"]))
