"""Events: read them, and have one delivered again."""

from typing import Any

from colonnade_sandbox import errors, lists, owing, targets
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.store import Object

KEPT = 30 * 24 * 3600
MOST_TYPES = 20


def _kept(call: Call, key: str) -> Object:
    event = call.get("event", key)
    if event["created"] < call.now - KEPT:
        raise errors.no_such("event", key)
    return event


@operation("GET", "/v1/events/{id}")
def retrieve(call: Call) -> Object:
    """One of the last 30 days."""
    return _kept(call, call.id)


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
    if len(call.params.get("types", ())) > MOST_TYPES:
        raise errors.invalid(f"You may specify at most {MOST_TYPES} types.", "types")
    filters: dict[str, lists.Filter] = {
        "created": lists.within("created"),
        "type": _type,
        "types": _types,
        "delivery_success": _delivered,
    }
    oldest = call.now - KEPT
    rows = (event for event in call.all("event") if event["created"] >= oldest)
    return lists.answer(call, "event", rows, filters, "/v1/events")


@operation("POST", "/v1/events/{event}/retry", takes="account for_stripecli webhook_endpoint")
def retry(call: Call) -> Object:
    """Send an event again; automatic tries go on besides.

    To one endpoint, to the CLIs that listen (what `stripe events resend` asks for when it names no endpoint), or to
    all endpoints that want it. `account` is the connected account that a platform's event is about.
    """
    params = call.params
    about = call.on(params.get("account", call.account))
    if about.account != call.account and call.platform not in call.sandbox.platforms_of(about.account):
        raise errors.no_such("account", about.account, "account")
    event = _kept(about, call.id)
    if (chosen := params.get("webhook_endpoint")) is not None:
        target = targets.find(call.sandbox.store, call.platform, chosen)
        if target is None:
            raise errors.no_such("webhook_endpoint", chosen, "webhook_endpoint")
        owing.add(call.sandbox, target, about.account, "event", event["id"])
    elif params.get("for_stripecli"):
        call.sandbox.listeners.tell(about.account, event)
    else:
        owing.owe(call.sandbox, about.account, event)
    return event
