"""Event destinations: where snapshot or thin events go. Webhook endpoints of the V1 API are shown as well."""

from typing import Any

from colonnade_sandbox import errors, ids, lists, owing, targets, thin
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes, source
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources.webhook_endpoints import check_url
from colonnade_sandbox.store import Object

PATH = "/v2/core/event_destinations"
INCLUDE_URL, INCLUDE_SECRET = "webhook_endpoint.url", "webhook_endpoint.signing_secret"
SCOPES = (targets.OWN, targets.CONNECTED, *targets.SCOPES)


def _found(call: Call) -> Object:
    value = targets.stored(call.sandbox.store, call.account, call.id)
    if value is None:
        raise errors.no_such(targets.DESTINATION, call.id)
    return value


def _shown(call: Call, value: Object) -> Object:
    """The destination with what `include` asks for."""
    include = call.params.get("include", [])
    target = targets.of(call.account, value)
    if value["object"] == targets.ENDPOINT:
        value = _of_endpoint(value, target)
    parts = {"url": target.url if INCLUDE_URL in include else None, "signing_secret": None}
    return value | {"webhook_endpoint": parts if include else None}


def _of_endpoint(endpoint: Object, target: targets.Target) -> Object:
    values = {
        "id": endpoint["id"],
        "created": thin.moment(endpoint["created"]),
        "updated": thin.moment(endpoint["created"]),
        "description": endpoint["description"] or "",
        "enabled_events": endpoint["enabled_events"],
        "event_payload": "snapshot",
        "events_from": sorted(target.scopes),
        "metadata": endpoint["metadata"],
        "name": endpoint["description"] or endpoint["id"],
        "object": targets.DESTINATION,
        "snapshot_api_version": endpoint["api_version"],
        "status": endpoint["status"],
        "type": "webhook_endpoint",
    }
    return shapes.complete(targets.DESTINATION, values)


@operation(
    "POST",
    PATH,
    takes="description enabled_events event_payload events_from include metadata name snapshot_api_version type "
    "webhook_endpoint",
)
def create(call: Call) -> Object:
    """The secret is told in this reply alone, and only if it is asked for."""
    params = call.params
    url = _checked_url(params)
    is_thin, secret, now = params["event_payload"] == "thin", targets.new_secret(), thin.moment(call.now)
    _check(params, is_thin=is_thin)
    values = {
        "id": f"ed_test_{ids.token(24)}",
        "object": targets.DESTINATION,
        "created": now,
        "updated": now,
        "livemode": False,
        "status": "enabled",
        "description": params.get("description", ""),
        "metadata": params.get("metadata", {}),
        "events_from": params.get("events_from", [targets.OWN]),
        "snapshot_api_version": None if is_thin else params.get("snapshot_api_version", source.api_version()),
    }
    values |= {name: params[name] for name in ("enabled_events", "event_payload", "name", "type")}
    made = call.put(shapes.complete(targets.DESTINATION, values) | {"_url": url, "_secrets": [secret]})
    shown = _shown(call, made)
    if INCLUDE_SECRET in params.get("include", []):
        shown["webhook_endpoint"]["signing_secret"] = secret["secret"]
    return shown


def _checked_url(params: dict[str, Any]) -> str:
    if params["type"] != "webhook_endpoint":
        text = "Only destinations of the type webhook_endpoint are implemented by this sandbox."
        raise errors.StripeError(501, text, type="api_error", param="type")
    if "webhook_endpoint" not in params:
        raise errors.missing_parameter("webhook_endpoint")
    check_url(params["webhook_endpoint"]["url"], "webhook_endpoint[url]")
    return str(params["webhook_endpoint"]["url"])


def _check(params: dict[str, Any], *, is_thin: bool) -> None:
    for scope in params.get("events_from", []):
        if scope not in SCOPES:
            raise errors.invalid_choice("events_from", scope, SCOPES[:2])
    if not is_thin:
        return
    if "snapshot_api_version" in params:
        raise errors.invalid("Thin events have no API version.", "snapshot_api_version")
    for type_ in params["enabled_events"]:
        if not thin.exists(type_):
            raise errors.invalid(f"There is no thin event {type_}.", "enabled_events")


@operation("GET", PATH, takes="include limit page")
def list_all(call: Call) -> Object:
    rows = [*call.all(targets.DESTINATION), *call.all(targets.ENDPOINT)]
    return lists.v2_answer(call, [_public(_shown(call, row)) for row in rows])


def _public(value: Object) -> Object:
    return {name: part for name, part in value.items() if not name.startswith("_")}


@operation("GET", f"{PATH}/{{id}}", takes="include")
def retrieve(call: Call) -> Object:
    return _shown(call, _found(call))


@operation("POST", f"{PATH}/{{id}}", takes="description enabled_events include metadata name webhook_endpoint")
def update(call: Call) -> Object:
    value, params = _found(call), call.params
    changes: dict[str, Any] = {name: params[name] for name in ("description", "enabled_events") if name in params}
    if "metadata" in params:
        merged = value["metadata"] | params["metadata"]
        changes["metadata"] = {name: text for name, text in merged.items() if text is not None}
    if (url := params.get("webhook_endpoint", {}).get("url")) is not None:
        check_url(url, "webhook_endpoint[url]")
        changes["url" if value["object"] == targets.ENDPOINT else "_url"] = url
    if value["object"] == targets.DESTINATION:
        changes |= {"name": params.get("name", value["name"]), "updated": thin.moment(call.now)}
        _check({"enabled_events": value["enabled_events"]} | changes, is_thin=value["event_payload"] == "thin")
    return _shown(call, call.put(value | changes))


@operation("DELETE", f"{PATH}/{{id}}")
def delete(call: Call) -> Object:
    call.remove(_found(call), event=None)
    return {"id": call.id, "object": targets.DESTINATION}


@operation("POST", f"{PATH}/{{id}}/enable")
def enable(call: Call) -> Object:
    return _switch(call, "enabled", None)


@operation("POST", f"{PATH}/{{id}}/disable")
def disable(call: Call) -> Object:
    """No event goes there any more, nor is a failed one tried again."""
    return _switch(call, "disabled", {"disabled": {"reason": "user"}})


def _switch(call: Call, status: str, details: dict[str, Any] | None) -> Object:
    value = _found(call)
    changes: dict[str, Any] = {"status": status}
    if value["object"] == targets.DESTINATION:
        changes |= {"status_details": details, "updated": thin.moment(call.now)}
    return _shown(call, call.put(value | changes))


@operation("POST", f"{PATH}/{{id}}/ping")
def ping(call: Call) -> Object:
    """Sends the destination, whatever it is enabled for, an event about itself; answers that event."""
    value = _found(call)
    event: Object = {
        "id": thin.PREFIX + ids.token(28),
        "object": thin.KIND,
        "type": "v2.core.event_destination.ping",
        "created": thin.moment(call.now),
        "_created": call.now,
        "livemode": False,
        "context": None,
        "reason": None,
        "changes": None,
        "snapshot_event": None,
        "related_object": {"id": value["id"], "type": targets.DESTINATION, "url": f"{PATH}/{value['id']}"},
    }
    call.put(event)
    owing.add(call.sandbox, targets.of(call.account, value), call.account, thin.KIND, event["id"])
    return event
