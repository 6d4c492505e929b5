"""Parameters of older API versions: until when Stripe takes them, and what has become of them.

A call that asks for such a version may use them, as on Stripe; the reply has the pinned version's shape all the same.
Listed is what Stripe's command line program still sends, and its like (Stripe docs, "Changelog").
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from colonnade_sandbox import errors

Holder = dict[str, Any]
# Keys and indexes that lead from the parameters to one that holds others.
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Former:
    """A parameter that versions before the day `until` take; `*` in its path stands for any place in an array.

    `rewrite` puts its value where newer versions want it; without one the operation gets it as it was.
    `code` is that of newer versions' own error, where they have one.
    """

    path: tuple[str, ...]
    until: str
    rewrite: Callable[[Holder, Any], None] | None = None
    type: Any = str
    code: str | None = None


def _discount(name: str) -> Callable[[Holder, Any], None]:
    def rewrite(holder: Holder, value: Any) -> None:
        holder["discounts"] = [{name: value}] if value else ""

    return rewrite


def _promotion(holder: Holder, coupon: Any) -> None:
    holder["promotion"] = {"type": "coupon", "coupon": coupon}


# basil: "Removes coupon and promotion code parameters with stackable discounts".
_SINGLE = tuple(Former((name,), "2025-03-31", _discount(name)) for name in ("coupon", "promotion_code"))
# What a customer has no newer parameter for.
_OF_CUSTOMER = tuple(Former((name,), "2025-03-31") for name in ("coupon", "promotion_code"))
# Their length is known with their price only. clover: "Removes iterations parameter for subscription schedules".
_PHASES = (
    Former(("phases", "*", "iterations"), "2025-09-30", type=int),
    Former(("phases", "*", "coupon"), "2025-03-31", _discount("coupon")),
)
# endive: "Removes the payment method types parameter from Payment Intents and Setup Intents".
_METHODS = Former(
    ("payment_method_types",), "2026-09-30", type=list[str], code="payment_method_types_no_longer_supported"
)

FORMER: dict[tuple[str, str], tuple[Former, ...]] = {
    ("POST", "/v1/customers"): _OF_CUSTOMER,
    ("POST", "/v1/customers/{}"): _OF_CUSTOMER,
    ("POST", "/v1/invoices/create_preview"): _SINGLE,
    # clover: "Promotion Codes now reference Coupons using a polymorphic field for promotions".
    ("POST", "/v1/promotion_codes"): (Former(("coupon",), "2025-09-30", _promotion),),
    ("POST", "/v1/setup_intents"): (_METHODS,),
    ("POST", "/v1/subscription_schedules"): _PHASES,
    ("POST", "/v1/subscription_schedules/{}"): _PHASES,
    ("POST", "/v1/subscriptions"): _SINGLE,
    ("POST", "/v1/subscriptions/{}"): _SINGLE,
}


def taken(route: tuple[str, str], version: str, params: Holder) -> tuple[Holder, list[tuple[Place, Any]]]:
    """The parameters in today's terms, and those that only older versions have, by their place.

    Raises StripeError (400) for a value of the wrong type, or in a version that refuses the parameter by name.
    """
    known = FORMER.get(route, ())
    if not any(_places(params, former.path) for former in known):
        return params, []
    params, kept = copy.deepcopy(params), []
    for former in known:
        for place in _places(params, former.path):
            if version[:10] < former.until:
                kept += _moved(former, params, place)
            elif former.code is not None:
                raise _dropped(former, place)
    return params, kept


def _moved(former: Former, params: Holder, place: Place) -> list[tuple[Place, Any]]:
    holder = _at(params, place[:-1])
    value = holder.pop(place[-1])
    if former.rewrite is not None:
        former.rewrite(holder, value)
        return []
    return [(place, _typed(former, value, place))]


def restore(params: Holder, kept: list[tuple[Place, Any]]) -> None:
    """Put what only older versions have back, now that the rest is checked."""
    for place, value in kept:
        _at(params, place[:-1])[place[-1]] = value


def _places(value: Any, path: tuple[str, ...]) -> list[Place]:
    """Where in `value` the path leads to something."""
    return list(_walk(value, path))


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[Place]:
    if not path:
        yield ()
    elif path[0] == "*" and isinstance(value, list):
        for index, each in enumerate(value):
            yield from ((index, *rest) for rest in _walk(each, path[1:]))
    elif isinstance(value, dict) and path[0] in value:
        yield from ((path[0], *rest) for rest in _walk(value[path[0]], path[1:]))


def _at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def _typed(former: Former, value: Any, place: Place) -> Any:
    try:
        return msgspec.convert(value, former.type, strict=False)
    except msgspec.ValidationError:
        param = errors.bracketed([str(key) for key in place])
        if former.type is int:
            raise errors.invalid_integer(param, str(value)) from None
        raise errors.invalid_value(param, f"Invalid {'array' if former.type is not str else 'string'}") from None


def _dropped(former: Former, place: Place) -> errors.StripeError:
    param = errors.bracketed([str(key) for key in place])
    text = f"The parameter `{param}` is no longer supported on this API version."
    return errors.StripeError(400, text, param=param, code=former.code, storable=False)
