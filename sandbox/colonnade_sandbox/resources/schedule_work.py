"""Subscription schedules as time passes: phases begin, and the schedule ends."""

from typing import Any

from colonnade_sandbox.call import Call
from colonnade_sandbox.clock import DAY
from colonnade_sandbox.resources import lifecycle, schedule_phases, subscriptions
from colonnade_sandbox.store import Object

# Stripe tells of a schedule's end this long before (Events reference, `subscription_schedule.expiring`).
NOTICE = 7 * DAY


def due_at(schedule: Object) -> int | None:
    """When a schedule's next work falls due."""
    if schedule["status"] == "not_started":
        return int(schedule["phases"][0]["start_date"])
    if schedule["status"] != "active":
        return None
    moments = [schedule["current_phase"]["end_date"]]
    if not schedule.get("_noticed"):
        moments.append(max(schedule["phases"][-1]["end_date"] - NOTICE, schedule["phases"][-1]["start_date"]))
    return int(min(moments))


def work(call: Call, schedule: Object) -> None:
    """Do what is due now; called with the clock at the moment that `due_at` gave."""
    if schedule["status"] == "not_started":
        begin(call, schedule)
    elif schedule["current_phase"]["end_date"] <= call.now:
        _next_phase(call, schedule)
    else:
        call.emit("subscription_schedule.expiring", call.put(schedule | {"_noticed": True}))


def begin(call: Call, schedule: Object) -> Object:
    """The first phase starts: the subscription is made."""
    phase = schedule["phases"][0]
    items = [{name: item[name] for name in ("price", "quantity", "metadata")} for item in phase["items"]]
    wishes = schedule_phases.wishes_of(schedule, phase, call.now)
    if phase["discounts"]:
        wishes["discounts"] = [{k: v for k, v in each.items() if v} for each in phase["discounts"]]
    mode = {"type": schedule["billing_mode"]["type"]}
    wanted = {
        "customer": schedule["customer"],
        "items": items,
        "metadata": phase["metadata"] or {},
        "billing_mode": mode,
    }
    created = subscriptions.start(call.to(**wanted, **wishes), billed_later=True)
    changes = {"status": "active", "subscription": created["id"], "current_phase": span(phase)}
    started = call.change(schedule, changes)
    attach(call, started)
    return started


def attach(call: Call, schedule: Object) -> None:
    """The subscription says which schedule it has, and when that will cancel it."""
    subscription = call.get("subscription", schedule["subscription"], "subscription")
    changes: dict[str, Any] = {"schedule": schedule["id"]}
    if schedule["end_behavior"] == "cancel":
        changes |= {"cancel_at": schedule["phases"][-1]["end_date"], "canceled_at": call.now}
    elif subscription["cancel_at"] is not None:
        changes |= lifecycle.KEPT
    lifecycle.change(call, subscription, changes)


def span(phase: Object) -> dict[str, int]:
    return {"start_date": phase["start_date"], "end_date": phase["end_date"]}


def _next_phase(call: Call, schedule: Object) -> None:
    following = [phase for phase in schedule["phases"] if phase["start_date"] >= schedule["current_phase"]["end_date"]]
    if not following:
        _finish(call, schedule)
        return
    schedule_phases.apply(call, schedule, following[0])
    call.change(schedule, {"current_phase": span(following[0])})


def _finish(call: Call, schedule: Object) -> None:
    if schedule["end_behavior"] != "cancel":
        release(call, schedule)
        return
    changes = {"status": "completed", "completed_at": call.now, "current_phase": None}
    completed = call.put(schedule | changes)
    lifecycle.end(call, call.get("subscription", schedule["subscription"], "subscription"), {})
    call.emit("subscription_schedule.completed", completed)


def release(call: Call, schedule: Object, *, keep_cancellation: bool = False) -> Object:
    """Leave the subscription as it is now, without a schedule."""
    changes = {
        "status": "released",
        "released_at": call.now,
        "released_subscription": schedule["subscription"],
        "subscription": None,
        "current_phase": None,
    }
    subscription = call.find("subscription", schedule["subscription"] or "")
    if subscription is not None:
        kept = {} if keep_cancellation or schedule["end_behavior"] != "cancel" else lifecycle.KEPT
        lifecycle.change(call, subscription, {"schedule": None} | kept)
    released = call.put(schedule | changes)
    call.emit("subscription_schedule.released", released)
    return released
