"""Pauses that a customer chose in the portal: when each ends by itself.

The subscription has no field for that moment, so it is kept beside it.
"""

from typing import Any

from colonnade_sandbox import periods
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import pausing
from colonnade_sandbox.store import Object

KIND = "_portal_pause"
# The period that was paid for goes on where it still runs.
RESUMED = {"billing_cycle_anchor": {"type": "unchanged"}}


def pause(call: Call, duration: dict[str, Any] | None) -> Object:
    """Pause the subscription at the call's id for `interval` and `interval_count`, or without end."""
    paused = pausing.pause(call.to().at(call.id))
    if duration is not None:
        until = periods.step(call.now, duration, 1)
        kept = {"id": paused["id"], "object": KIND, "resumes_at": until, "test_clock": paused["test_clock"]}
        call.put(kept | {"since": _since(paused)})
    return paused


def resume(call: Call) -> Object:
    call.sandbox.store.delete(call.account, KIND, call.id)
    return pausing.resume(call.to(**RESUMED).at(call.id))


def of(call: Call, subscription: Object) -> Object | None:
    """The pause that a paused subscription is in, if it has an end."""
    kept = call.find(KIND, subscription["id"])
    same = kept is not None and subscription["status"] == "paused" and kept["since"] == _since(subscription)
    return kept if same else None


def _since(subscription: Object) -> int:
    return int(subscription["status_details"]["paused"]["transitioned_at"])


def due_at(kept: Object) -> int:
    return int(kept["resumes_at"])


def work(call: Call, kept: Object) -> None:
    """Resume, unless the pause was ended or begun anew by other means."""
    subscription = call.find("subscription", kept["id"])
    if subscription is not None and of(call, subscription) is not None:
        resume(call.at(kept["id"]))
    else:
        call.sandbox.store.delete(call.account, KIND, kept["id"])
