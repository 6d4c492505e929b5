"""Portal configurations: what a customer may do in the portal."""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.resources import billing_portal_rules as rules
from colonnade_sandbox.store import Object

KIND = "billing_portal.configuration"

# What a configuration says where its maker says nothing (API reference, "Create a portal configuration").
DEFAULTS: dict[str, Any] = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {
            "enabled": False,
            "feedback_options": None,
            "options": [
                "too_expensive",
                "missing_features",
                "switched_service",
                "unused",
                "other",
            ],
        },
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_pause": {
        "duration": {"interval_options": [{"interval": "month", "interval_count": 1}], "type": "interval_options"},
        "enabled": False,
    },
    "subscription_update": {
        "billing_cycle_anchor": "unchanged",
        "default_allowed_updates": [],
        "enabled": False,
        "products": [],
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}
TAKEN = "business_profile default_return_url features login_page metadata name"
# Lists among the features: an empty text empties them, everything else empty becomes null.
LISTS = {"allowed_updates", "options", "interval_options", "default_allowed_updates", "products", "conditions"}
# What the Dashboard's first save switches on (Stripe docs, "Configure the customer portal").
DASHBOARD: dict[str, Any] = {
    "customer_update": {"allowed_updates": ["name", "email", "address", "phone"], "enabled": True},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True, "cancellation_reason": {"enabled": True}},
}

retrievable(KIND, "/v1/billing_portal/configurations/{configuration}")
listable(
    KIND,
    "/v1/billing_portal/configurations",
    {"active": lists.equal("active"), "is_default": lists.equal("is_default")},
)


@operation("POST", "/v1/billing_portal/configurations", takes=TAKEN)
def create(call: Call) -> Object:
    return _create(call, is_default=False)


def create_default(call: Call) -> Object:
    """The default configuration, which only the Dashboard makes; at most one per account."""
    existing = default(call)
    return existing or _create(call.to(features=DASHBOARD), is_default=True)


def default(call: Call) -> Object | None:
    return next((row for row in call.all(KIND) if row["is_default"]), None)


def _create(call: Call, *, is_default: bool) -> Object:
    params = call.params
    features = _merged(DEFAULTS, params["features"])
    profile = {name: unset(value) for name, value in params.get("business_profile", {}).items()}
    values = {
        "active": True,
        "business_profile": profile,
        "default_return_url": unset(params.get("default_return_url")),
        "features": features,
        "is_default": is_default,
        "login_page": _login_page(call, params.get("login_page", {}), {"enabled": False}),
        "metadata": merged_metadata({}, params.get("metadata")),
        "name": unset(params.get("name")),
        "updated": call.now,
    }
    rules.check(call, values, params["features"])
    return call.add(KIND, "bpc", values)


@operation("POST", "/v1/billing_portal/configurations/{configuration}", takes=f"{TAKEN} active")
def update(call: Call) -> Object:
    """A partial merge; a list is replaced as a whole."""
    old, params = call.get(KIND, call.id), call.params
    changes: dict[str, Any] = {"metadata": merged_metadata(old["metadata"], params.get("metadata"))}
    for name in ("name", "default_return_url", "active"):
        if name in params:
            changes[name] = unset(params[name])
    if old["is_default"] and changes.get("active") is False:
        raise errors.invalid("You cannot deactivate the default configuration.", "active")
    if "business_profile" in params:
        given = {name: unset(value) for name, value in params["business_profile"].items()}
        changes["business_profile"] = old["business_profile"] | given
    if "features" in params:
        changes["features"] = _merged(old["features"], params["features"])
    if "login_page" in params:
        changes["login_page"] = _login_page(call, params["login_page"], old["login_page"])
    rules.check(call, old | changes, params.get("features", {}))
    if any(old[name] != value for name, value in changes.items()):
        changes["updated"] = call.now
    return call.change(old, changes)


def _login_page(call: Call, given: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Switching it on makes a new URL; one that is on keeps its own."""
    enabled = given.get("enabled", False)
    if enabled and old["enabled"]:
        return old
    return {"enabled": enabled, "url": f"{call.sandbox.base_url}/p/login/test_{ids.token(20)}" if enabled else None}


def _merged(old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in given.items():
        if name == "products":
            merged[name] = [_product(product) for product in value or []]
        elif value == "":
            merged[name] = [] if name in LISTS else None
        elif isinstance(value, dict) and isinstance(old.get(name), dict):
            merged[name] = _merged(old[name], value)
        elif name == "interval_options":
            merged[name] = [{"interval_count": 1} | option for option in value]
        else:
            merged[name] = value
    if merged.get("type") == "indefinite":
        merged["interval_options"] = []
    return merged


def _product(given: dict[str, Any]) -> dict[str, Any]:
    quantity = {"enabled": False, "maximum": None, "minimum": 1} | given.get("adjustable_quantity", {})
    return {"adjustable_quantity": quantity, "prices": given["prices"], "product": given["product"]}
