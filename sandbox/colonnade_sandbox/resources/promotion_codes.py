"""Promotion codes: what a customer types to get a coupon."""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.store import Object

KIND = "promotion_code"
CODE_LENGTH = 8

retrievable(KIND, "/v1/promotion_codes/{promotion_code}")
listable(
    KIND,
    "/v1/promotion_codes",
    {
        "active": lists.equal("active"),
        "code": lambda row, wanted: bool(row["code"].lower() == wanted.lower()),
        "coupon": lambda row, wanted: bool(row["promotion"]["coupon"] == wanted),
        "customer": lists.equal("customer"),
    },
)


@operation(
    "POST",
    "/v1/promotion_codes",
    takes="active code customer expires_at max_redemptions metadata promotion restrictions[first_time_transaction]",
)
def create(call: Call) -> Object:
    params = call.params
    promotion = params["promotion"]
    if "coupon" not in promotion:
        raise errors.missing_parameter("promotion[coupon]")
    coupon = call.get("coupon", promotion["coupon"], "promotion[coupon]")
    if "customer" in params:
        call.get("customer", params["customer"], "customer")
    code = params.get("code") or ids.token(CODE_LENGTH).upper()
    _check_unused(call, code)
    first = params.get("restrictions", {}).get("first_time_transaction", False)
    values = {
        "active": params.get("active", True),
        "code": code,
        "customer": params.get("customer"),
        "expires_at": params.get("expires_at"),
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merged_metadata({}, params.get("metadata")),
        "promotion": {"type": "coupon", "coupon": coupon["id"]},
        "restrictions": {"first_time_transaction": first},
    }
    return call.add(KIND, "promo", values)


def _check_unused(call: Call, code: str, own: str | None = None) -> None:
    for row in call.all(KIND):
        if row["active"] and row["code"].lower() == code.lower() and row["id"] != own:
            text = f"An active promotion code with `code: {code}` already exists."
            raise errors.invalid(text, "code", "resource_already_exists")


@operation("POST", "/v1/promotion_codes/{promotion_code}", takes="active metadata")
def update(call: Call) -> Object:
    code = call.get(KIND, call.id)
    changes: dict[str, Any] = {"metadata": merged_metadata(code["metadata"], call.params.get("metadata"))}
    if "active" in call.params:
        changes["active"] = call.params["active"]
        if changes["active"]:
            _check_unused(call, code["code"], code["id"])
    return call.change(code, changes)


def typed(call: Call, text: str) -> Object | None:
    """The active code that a customer typed; upper and lower case do not matter."""
    rows = (row for row in call.all(KIND) if row["active"] and row["code"].lower() == text.strip().lower())
    return next(rows, None)


def redeem(call: Call, key: str, customer: str, param: str) -> Object:
    """Count one more use.

    Raises StripeError (400) for a code that is unknown, inactive, expired, or not for this customer.
    """
    found = call.get(KIND, key, param)
    expired = found["expires_at"] is not None and found["expires_at"] <= call.now
    if expired or not found["active"]:
        raise errors.invalid("This promotion code is expired or inactive.", param, "promotion_code_expired")
    if found["customer"] not in (None, customer):
        raise errors.invalid("This promotion code cannot be redeemed by this customer.", param)
    if found["restrictions"]["first_time_transaction"] and _has_paid(call, customer):
        text = "This promotion code cannot be redeemed because the associated customer has prior transactions."
        raise errors.invalid(text, param)
    times = found["times_redeemed"] + 1
    return call.put(found | {"times_redeemed": times, "active": times != found["max_redemptions"]})


def _has_paid(call: Call, customer: str) -> bool:
    return any(row["customer"] == customer and row["amount_paid"] for row in call.all("invoice"))
