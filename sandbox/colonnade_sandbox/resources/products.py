"""Products."""

from typing import Any

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.resources import prices
from colonnade_sandbox.store import Object

COPIED = (
    "active",
    "description",
    "images",
    "marketing_features",
    "name",
    "package_dimensions",
    "shippable",
    "statement_descriptor",
    "tax_code",
    "unit_label",
    "url",
)
TAKEN = " ".join((*COPIED, "metadata"))

retrievable("product", "/v1/products/{product}")
listable(
    "product",
    "/v1/products",
    {
        "active": lists.equal("active"),
        "ids": lists.one_of("id"),
        "url": lists.equal("url"),
        "type": lists.equal("type"),
    },
)


def _values(params: dict[str, Any]) -> dict[str, Any]:
    values = {name: unset(params[name]) for name in COPIED if name in params}
    for name in ("images", "marketing_features"):
        if name in values:
            values[name] = values[name] or []
    return values


@operation("POST", "/v1/products", takes=f"{TAKEN} id type default_price_data")
def create(call: Call) -> Object:
    values = {"active": True, "type": "service", "updated": call.now} | _values(call.params)
    values["metadata"] = merged_metadata({}, call.params.get("metadata"))
    if "id" in call.params:
        if call.find("product", call.params["id"]):
            raise errors.invalid("Product already exists.", "id", "resource_already_exists")
        values["id"] = call.params["id"]
    product = call.add("product", "prod", values)
    if data := call.params.get("default_price_data"):
        price = prices.create(call.to(product=product["id"], **data))
        product = call.put(product | {"default_price": price["id"]})
    return product


@operation("POST", "/v1/products/{product}", takes=f"{TAKEN} default_price")
def update(call: Call) -> Object:
    product = call.get("product", call.id)
    changes = _values(call.params)
    changes["metadata"] = merged_metadata(product["metadata"], call.params.get("metadata"))
    if "default_price" in call.params:
        price = prices.of_product(call, unset(call.params["default_price"]), product["id"], "default_price")
        changes["default_price"] = price["id"] if price else None
    if any(product.get(name) != value for name, value in changes.items()):
        changes["updated"] = call.now
    return call.change(product, shapes.complete("product", product | changes))


@operation("DELETE", "/v1/products/{product}")
def delete(call: Call) -> Object:
    product = call.get("product", call.id)
    if any(price["product"] == product["id"] for price in call.all("price")):
        text = "This product cannot be deleted because it has one or more user-created prices."
        raise errors.invalid(text, "id")
    return call.remove(product)
