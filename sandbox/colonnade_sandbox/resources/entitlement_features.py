"""Entitlement features, and the products that have them."""

from typing import Any

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.store import Object

FEATURE = "entitlements.feature"
LINK = "product_feature"

retrievable(FEATURE, "/v1/entitlements/features/{id}")
listable(
    FEATURE,
    "/v1/entitlements/features",
    {
        "archived": lambda row, wanted: (not row["active"]) is wanted,
        "lookup_key": lists.equal("lookup_key"),
    },
)


@operation("POST", "/v1/entitlements/features", takes="lookup_key metadata name")
def create(call: Call) -> Object:
    key = call.params["lookup_key"]
    if any(row["active"] and row["lookup_key"] == key for row in call.all(FEATURE)):
        text = f"An active feature with the lookup_key `{key}` already exists."
        raise errors.invalid(text, "lookup_key", "resource_already_exists")
    values = {
        "active": True,
        "lookup_key": key,
        "metadata": merged_metadata({}, call.params.get("metadata")),
        "name": call.params["name"],
    }
    return call.add(FEATURE, "feat", values, event=None)


@operation("POST", "/v1/entitlements/features/{id}", takes="active metadata name")
def update(call: Call) -> Object:
    """An archived feature cannot come back, and its key is free again (Stripe docs, "Entitlements")."""
    feature = call.get(FEATURE, call.id)
    if call.params.get("active") and not feature["active"]:
        raise errors.invalid("An archived feature cannot be made active again.", "active")
    changes: dict[str, Any] = {name: call.params[name] for name in ("active", "name") if name in call.params}
    changes["metadata"] = merged_metadata(feature["metadata"], call.params.get("metadata"))
    return call.change(feature, changes, event=None)


def of_product(call: Call, product: str) -> list[Object]:
    """The product's links to features, newest first."""
    return [row for row in call.all(LINK) if row["_product"] == product]


@operation("GET", "/v1/products/{product}/features", takes=lists.PAGING)
def list_of_product(call: Call) -> Object:
    product = call.get("product", call.id)
    return lists.answer(call, LINK, of_product(call, product["id"]), {}, call.url)


@operation("POST", "/v1/products/{product}/features", takes="entitlement_feature")
def attach(call: Call) -> Object:
    product = call.get("product", call.id)
    feature = call.get(FEATURE, call.params["entitlement_feature"], "entitlement_feature")
    if any(row["entitlement_feature"]["id"] == feature["id"] for row in of_product(call, product["id"])):
        raise errors.invalid("This feature is already attached to the product.", "entitlement_feature")
    return call.add(LINK, "prodft", {"entitlement_feature": feature, "_product": product["id"]}, event=None)


def _link(call: Call) -> Object:
    """The link in the path, with its feature as it is now."""
    link = call.get(LINK, call.path["id"])
    if link["_product"] != call.path["product"]:
        raise errors.no_such(LINK, link["id"])
    return link | {"entitlement_feature": call.get(FEATURE, link["entitlement_feature"]["id"])}


@operation("GET", "/v1/products/{product}/features/{id}")
def retrieve_of_product(call: Call) -> Object:
    return _link(call)


@operation("DELETE", "/v1/products/{product}/features/{id}")
def detach(call: Call) -> Object:
    return call.remove(_link(call), event=None)
