"""Webhook endpoints. `connect` is taken and never told again; the secret is told once."""

from typing import Any

from colonnade_sandbox import errors, ids, targets
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.contract import source
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.store import Object

retrievable("webhook_endpoint", "/v1/webhook_endpoints/{webhook_endpoint}")
listable("webhook_endpoint", "/v1/webhook_endpoints")


@operation(
    "POST",
    "/v1/webhook_endpoints",
    takes="api_version connect description enabled_events metadata url",
)
def create(call: Call) -> Object:
    """The only reply that carries the secret."""
    params = call.params
    check_url(params["url"])
    secret = targets.new_secret()
    connect = params.get("connect", False)
    values = {
        # What marks a Connect endpoint for `stripe listen --load-from-webhooks-api`.
        "application": ids.derived("ca", call.platform) if connect else None,
        "api_version": params.get("api_version", source.api_version()),
        "description": unset(params.get("description")),
        "enabled_events": params["enabled_events"],
        "metadata": merged_metadata({}, params.get("metadata")),
        "status": "enabled",
        "url": params["url"],
        "_connect": connect,
        "_secrets": [secret],
    }
    endpoint = call.add("webhook_endpoint", "we", values, event=None)
    return endpoint | {"secret": secret["secret"]}


@operation(
    "POST",
    "/v1/webhook_endpoints/{webhook_endpoint}",
    takes="description disabled enabled_events metadata url",
)
def update(call: Call) -> Object:
    endpoint = call.get("webhook_endpoint", call.id)
    params = call.params
    changes: dict[str, Any] = {name: params[name] for name in ("enabled_events", "url") if name in params}
    if "url" in changes:
        check_url(changes["url"])
    if "description" in params:
        changes["description"] = unset(params["description"])
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    changes["metadata"] = merged_metadata(endpoint["metadata"], params.get("metadata"))
    return call.change(endpoint, changes, event=None)


@operation("DELETE", "/v1/webhook_endpoints/{webhook_endpoint}")
def delete(call: Call) -> Object:
    return call.remove(call.get("webhook_endpoint", call.id), event=None)


def check_url(url: str, param: str = "url") -> None:
    if not url.startswith(("http://", "https://")):
        raise errors.invalid("Invalid URL: An explicit scheme (such as https) must be provided.", param, "url_invalid")
