"""Events: what happened, as the API lists it and webhooks deliver it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from colonnade_sandbox import ids, owing
from colonnade_sandbox.contract import source
from colonnade_sandbox.expansion import public
from colonnade_sandbox.store import Object

if TYPE_CHECKING:
    from colonnade_sandbox.call import Call

# What follows from every event of a kind, by the beginning of its type.
FOLLOWED: dict[str, Callable[["Call", Object], None]] = {}


def emit(call: "Call", type: str, value: Object, previous: dict[str, Any] | None) -> Object:  # noqa: A002
    """Store an event of the call's account, and a delivery for every target that wants it."""
    data: dict[str, Any] = {"object": public(value)}
    if previous is not None:
        data["previous_attributes"] = previous
    event: Object = {
        "id": ids.new("evt"),
        "object": "event",
        "api_version": source.api_version(),
        # The sandbox's time, even where a test clock made it: what is listed by time must not hide or overtake.
        "created": call.sandbox.clock.now(),
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
        "type": type,
    }
    if call.sandbox.platforms_of(call.account):
        event["account"] = call.account
    if call.sandbox.store.rehearsing:
        return event
    event["pending_webhooks"] = owing.owe(call.sandbox, call.account, event)
    call.put(event)
    call.sandbox.listeners.tell(call.account, event)
    for prefix, follow in FOLLOWED.items():
        if type.startswith(prefix):
            follow(call, value)
    return event


def previous_attributes(old: Object, new: Object) -> dict[str, Any]:
    """Old values of what changed: within objects by key, arrays as a whole; null for what is new."""
    return _difference(public(old), public(new))


def _difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        both = isinstance(before, dict) and isinstance(after, dict)
        found[name] = _difference(before, after) if both else before  # type: ignore[arg-type]
    return found
