"""Portal configurations: what a customer may do in the portal."""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.store import Object

KIND = "billing_portal.configuration"
MOST_PRODUCTS = 10
LONGEST_HEADLINE = 60

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
        "login_page": _login_page(call, params.get("login_page", {})),
        "metadata": merged_metadata({}, params.get("metadata")),
        "name": unset(params.get("name")),
        "updated": call.now,
    }
    _check(call, values, params["features"])
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
        changes["login_page"] = _login_page(call, params["login_page"])
    _check(call, old | changes, params.get("features", {}))
    if any(old[name] != value for name, value in changes.items()):
        changes["updated"] = call.now
    return call.change(old, changes)


def _login_page(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    enabled = given.get("enabled", False)
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
    return merged


def _product(given: dict[str, Any]) -> dict[str, Any]:
    quantity = {"enabled": False, "maximum": None, "minimum": 1} | given.get("adjustable_quantity", {})
    return {"adjustable_quantity": quantity, "prices": given["prices"], "product": given["product"]}


def _check(call: Call, configuration: dict[str, Any], given: dict[str, Any]) -> None:
    """Raises StripeError (400) for what the portal could not carry out."""
    headline = configuration["business_profile"].get("headline")
    if headline and len(headline) > LONGEST_HEADLINE:
        text = f"Invalid string: {headline[:20]}...; must be at most {LONGEST_HEADLINE} characters"
        raise errors.invalid(text, "business_profile[headline]")
    if configuration["features"]["subscription_cancel"]["proration_behavior"] == "always_invoice":
        param = "features[subscription_cancel][proration_behavior]"
        raise errors.invalid("Invalid proration_behavior: must be one of none, or create_prorations", param)
    cancel = configuration["features"]["subscription_cancel"]
    if cancel["proration_behavior"] == "create_prorations" and cancel["mode"] != "immediately":
        text = "Prorations can only be created when subscriptions are canceled immediately."
        raise errors.invalid(text, "features[subscription_cancel][proration_behavior]")
    _check_update(call, configuration["features"]["subscription_update"], given.get("subscription_update", {}))


def _check_update(call: Call, update_: dict[str, Any], given: dict[str, Any]) -> None:
    base = "features[subscription_update]"
    needs_products = update_["enabled"] and {"price", "quantity"} & set(update_["default_allowed_updates"])
    if needs_products and not update_["products"]:
        raise errors.missing_parameter(f"{base}[products]")
    if len(update_["products"]) > MOST_PRODUCTS:
        text = f"Array products exceeded maximum {MOST_PRODUCTS} allowed elements."
        raise errors.invalid(text, f"{base}[products]", "array_max_size_exceeded")
    if "products" in given:
        for index, product in enumerate(update_["products"]):
            _check_product(call, product, f"{base}[products][{index}]")


def _check_product(call: Call, product: dict[str, Any], base: str) -> None:
    call.get("product", product["product"], f"{base}[product]")
    for index, name in enumerate(product["prices"]):
        param = f"{base}[prices][{index}]"
        price = call.get("price", name, param)
        if price["product"] != product["product"]:
            text = f"The price {name} does not belong to the product {product['product']}."
            raise errors.invalid(text, param)
        if not price["active"] or price["recurring"] is None:
            raise errors.invalid(f"The price {name} must be active and recurring.", param)
    quantity = product["adjustable_quantity"]
    if quantity["maximum"] is not None and quantity["maximum"] < quantity["minimum"]:
        text = "The maximum quantity must not be less than the minimum."
        raise errors.invalid(text, f"{base}[adjustable_quantity][maximum]")
