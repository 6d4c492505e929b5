"""Coupons."""

from typing import Any

from colonnade_sandbox import errors, ids
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.store import Object

retrievable("coupon", "/v1/coupons/{coupon}")
listable("coupon", "/v1/coupons")

COPIED = ("amount_off", "duration_in_months", "max_redemptions", "name", "percent_off", "redeem_by")


@operation(
    "POST",
    "/v1/coupons",
    takes="amount_off applies_to currency duration duration_in_months id max_redemptions metadata name percent_off "
    "redeem_by",
)
def create(call: Call) -> Object:
    """Raises StripeError (400) where it is not clear what the coupon takes off, or for how long."""
    params = call.params
    _check(params)
    values: dict[str, Any] = {name: params.get(name) for name in COPIED}
    values |= {
        "id": params.get("id") or ids.token(8),
        "currency": params["currency"].lower() if "amount_off" in params else None,
        "duration": params.get("duration", "once"),
        "metadata": merged_metadata({}, params.get("metadata")),
        "valid": True,
    }
    if "applies_to" in params:
        for index, product in enumerate(params["applies_to"].get("products", [])):
            call.get("product", product, f"applies_to[products][{index}]")
        values["applies_to"] = params["applies_to"]
    if call.find("coupon", values["id"]):
        raise errors.invalid("Coupon already exists.", "id", "resource_already_exists")
    return call.add("coupon", "", values)


def _check(params: dict[str, Any]) -> None:
    if ("percent_off" in params) == ("amount_off" in params):
        raise errors.invalid("You must pass either percent_off or amount_off to create a coupon.", "percent_off")
    if "amount_off" in params and "currency" not in params:
        raise errors.missing_parameter("currency")
    if not 0 < params.get("percent_off", 1) <= 100:
        raise errors.invalid("percent_off must be between 0 and 100.", "percent_off")
    if params.get("amount_off", 1) < 1:
        raise errors.invalid("amount_off must be a positive integer.", "amount_off")
    if (params.get("duration") == "repeating") != ("duration_in_months" in params):
        text = "duration_in_months is required for, and only for, duration=repeating."
        raise errors.invalid(text, "duration_in_months")


@operation("POST", "/v1/coupons/{coupon}", takes="metadata name")
def update(call: Call) -> Object:
    coupon = call.get("coupon", call.id)
    changes: dict[str, Any] = {"metadata": merged_metadata(coupon["metadata"], call.params.get("metadata"))}
    if "name" in call.params:
        changes["name"] = call.params["name"]
    return call.change(coupon, changes)


@operation("DELETE", "/v1/coupons/{coupon}")
def delete(call: Call) -> Object:
    """Nobody can take it any more; who has it keeps it, so the sandbox keeps what it takes off."""
    coupon = call.get("coupon", call.id)
    call.put(coupon | {"deleted": True, "valid": False})
    call.emit("coupon.deleted", coupon)
    return {"id": coupon["id"], "object": "coupon", "deleted": True}


def redeem(call: Call, coupon: str, param: str) -> Object:
    """Count one more who takes the coupon.

    Raises StripeError (400) for one that is unknown, expired or used up.
    """
    found = call.get("coupon", coupon, param)
    expired = found["redeem_by"] is not None and found["redeem_by"] <= call.now
    if expired or not found["valid"]:
        raise errors.invalid(f"Coupon expired: {coupon}", param, "coupon_expired")
    times = found["times_redeemed"] + 1
    return call.put(found | {"times_redeemed": times, "valid": times != found["max_redemptions"]})
