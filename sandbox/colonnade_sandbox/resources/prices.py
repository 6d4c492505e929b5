"""Prices. Amounts never change; what may change is listed in the update operation."""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.resources import price_amounts
from colonnade_sandbox.store import Object

retrievable("price", "/v1/prices/{price}")
listable(
    "price",
    "/v1/prices",
    {
        "active": lists.equal("active"),
        "currency": lists.equal("currency"),
        "lookup_keys": lists.one_of("lookup_key"),
        "product": lists.equal("product"),
        "type": lists.equal("type"),
        "recurring": lambda price, wanted: (price["recurring"] or {}).items() >= wanted.items(),
    },
)

TAKEN = (
    "active currency lookup_key metadata nickname product product_data recurring tax_behavior transfer_lookup_key "
    f"{price_amounts.TAKEN}"
)


@operation("POST", "/v1/prices", takes=TAKEN)
def create(call: Call) -> Object:
    params = call.params
    if ("product" in params) == ("product_data" in params):
        raise errors.missing_parameter("product")
    if "currency" not in params:
        raise errors.missing_parameter("currency")
    product = _product(call)
    recurring = params.get("recurring")
    values = {
        "active": params.get("active", True),
        "currency": params["currency"].lower(),
        "lookup_key": _lookup_key(call),
        "metadata": merged_metadata({}, params.get("metadata")),
        "nickname": params.get("nickname"),
        "product": product,
        "recurring": _recurring(recurring) if recurring else None,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "type": "recurring" if recurring else "one_time",
        **price_amounts.values(params),
    }
    return call.add("price", "price", values)


def _product(call: Call) -> str:
    if "product" in call.params:
        return str(call.get("product", call.params["product"], "product")["id"])
    data = call.params["product_data"]
    metadata = merged_metadata({}, data.get("metadata"))
    values = {"active": True, "type": "service", "updated": call.now} | data | {"metadata": metadata}
    return str(call.add("product", "prod", values)["id"])


def _recurring(given: dict[str, Any]) -> dict[str, Any]:
    return {"interval_count": 1, "usage_type": "licensed"} | given


def _lookup_key(call: Call, own: str | None = None) -> str | None:
    """The given lookup key, taken over from its price where `transfer_lookup_key` says so."""
    name: str | None = unset(call.params.get("lookup_key"))
    if name is None:
        return None
    for price in call.all("price"):
        if price["lookup_key"] == name and price["id"] != own:
            if not call.params.get("transfer_lookup_key"):
                text = f"A price (`{price['id']}`) already uses that lookup key."
                raise errors.invalid(text, "lookup_key")
            call.change(price, {"lookup_key": None})
    return name


CHANGED = "active currency_options lookup_key metadata nickname tax_behavior transfer_lookup_key"


@operation("POST", "/v1/prices/{price}", takes=CHANGED)
def update(call: Call) -> Object:
    price = call.get("price", call.id)
    changes: dict[str, Any] = {
        name: unset(call.params[name]) for name in ("active", "nickname", "tax_behavior") if name in call.params
    }
    changes["metadata"] = merged_metadata(price["metadata"], call.params.get("metadata"))
    if "lookup_key" in call.params:
        changes["lookup_key"] = _lookup_key(call, price["id"])
    if "currency_options" in call.params:
        options = price_amounts.currency_options(call.params, price["billing_scheme"])
        changes["currency_options"] = (price.get("currency_options") or {}) | options
    changed = call.change(price, changes)
    _refresh(call, changed)
    return changed


def _refresh(call: Call, price: Object) -> None:
    """Subscriptions show their prices as they are now; that is no event of theirs."""
    for subscription in call.all("subscription"):
        items = subscription["items"]
        if any(item["price"]["id"] == price["id"] for item in items["data"]):
            data = [item | {"price": price} if item["price"]["id"] == price["id"] else item for item in items["data"]]
            call.put(subscription | {"items": items | {"data": data}})


def of_product(call: Call, price: str | None, product: str, param: str) -> Object | None:
    """The price, which must be one of `product`."""
    if price is None:
        return None
    found = call.get("price", price, param)
    if found["product"] != product:
        raise errors.invalid(f"The price {price} does not belong to the product {product}.", param)
    return found


def inline(call: Call, data: dict[str, Any], param: str) -> Object:
    """The price of `price_data`: a real, inactive one without events."""
    call.get("product", data["product"], f"{param}[product]")
    values = {
        "id": ids.new("price"),
        "active": False,
        "currency": data["currency"].lower(),
        "metadata": {},
        "product": data["product"],
        "recurring": _recurring(data["recurring"]) if "recurring" in data else None,
        "tax_behavior": data.get("tax_behavior", "unspecified"),
        "type": "recurring" if "recurring" in data else "one_time",
        **price_amounts.values(data, param),
    }
    return call.add("price", "price", values, event=None)


def plan(price: Object) -> Object:
    """The legacy plan that a recurring price still shows beside it on an item."""
    recurring = price["recurring"]
    values = {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "metadata": price["metadata"],
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": price["tiers_mode"],
        "transform_usage": price["transform_quantity"],
        "usage_type": recurring["usage_type"],
    }
    return shapes.complete("plan", values)
