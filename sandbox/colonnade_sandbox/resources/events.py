"""Events: read them, and have one delivered again."""

from typing import Any

from colonnade_sandbox import deliveries, errors, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation, retrievable
from colonnade_sandbox.store import Object

KEPT = 30 * 24 * 3600

retrievable("event", "/v1/events/{id}")


def _type(event: Object, wanted: str) -> bool:
    """`customer.*` names a whole group."""
    if wanted.endswith("*"):
        return str(event["type"]).startswith(wanted[:-1])
    return bool(event["type"] == wanted)


def _types(event: Object, wanted: list[str]) -> bool:
    return any(_type(event, each) for each in wanted)


def _delivered(event: Object, wanted: Any) -> bool:
    return bool((event["pending_webhooks"] == 0) is wanted)


@operation("GET", "/v1/events", takes=f"{lists.PAGING} created delivery_success type types")
def list_all(call: Call) -> Object:
    """The last 30 days, newest first."""
    if "type" in call.params and "types" in call.params:
        raise errors.invalid("You may only specify one of these parameters: type, types.", "type")
    filters: dict[str, lists.Filter] = {
        "created": lists.within("created"),
        "type": _type,
        "types": _types,
        "delivery_success": _delivered,
    }
    oldest = call.now - KEPT
    rows = (event for event in call.all("event") if event["created"] >= oldest)
    return lists.answer(call, "event", rows, filters, "/v1/events")


@operation("POST", "/v1/events/{event}/retry", takes="webhook_endpoint account")
def retry(call: Call) -> Object:
    """Send an event again, to one endpoint or to all that want it; automatic tries go on besides."""
    event = call.get("event", call.id)
    chosen = call.params.get("webhook_endpoint")
    if chosen is not None:
        call.on(call.platform).get("webhook_endpoint", chosen, "webhook_endpoint")
    for owner, endpoint in deliveries.endpoints_for(call.sandbox, call.account, event["type"]):
        if chosen in (None, endpoint["id"]):
            deliveries.add(call.sandbox, owner, endpoint, call.account, event)
    return event
