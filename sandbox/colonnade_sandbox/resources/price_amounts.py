"""What a price costs: by unit, by tiers, by packs, and in each of its currencies."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.store import Object

OPTION = "tax_behavior tiers unit_amount unit_amount_decimal"
TAKEN = f"billing_scheme currency_options tiers tiers_mode transform_quantity {OPTION}"
PAIRS = ("flat_amount", "unit_amount")


def values(params: dict[str, Any], param: str = "") -> dict[str, Any]:
    """The fields of a price that say what it costs, in the currency's smallest unit.

    `param` is where `params` stand in the call's, such as `price_data`. Raises StripeError (400) naming what does not
    fit together.
    """
    scheme = params.get("billing_scheme", "per_unit")
    found = {"billing_scheme": scheme, "tiers_mode": params.get("tiers_mode")} | _option(params, scheme, param)
    if (scheme == "tiered") != ("tiers_mode" in params):
        _mismatch(scheme, "tiers_mode", param)
    if "transform_quantity" in params:
        if scheme == "tiered":
            raise errors.invalid("`transform_quantity` cannot be combined with `tiers`.", "transform_quantity")
        found["transform_quantity"] = params["transform_quantity"]
    options = currency_options(params, scheme)
    if options:
        own = {name: found.get(name) for name in ("tiers", "unit_amount", "unit_amount_decimal")}
        behaviour = {"tax_behavior": params.get("tax_behavior", "unspecified")}
        found["currency_options"] = {params["currency"].lower(): _shown(own | behaviour)} | options
    return found


def currency_options(params: dict[str, Any], scheme: str) -> dict[str, Any]:
    """The amounts in other currencies that `currency_options` gives, by the currency in lower case."""
    found = {}
    for name, option in (params.get("currency_options") or {}).items():
        place = f"currency_options[{name}]"
        if len(name) != 3 or not name.isalpha():
            raise errors.invalid(f"Invalid currency: {name}.", place)
        if "custom_unit_amount" in option:
            raise errors.parameter_not_implemented(f"{place}[custom_unit_amount]")
        behaviour = {"tax_behavior": option.get("tax_behavior", "unspecified")}
        found[name.lower()] = _shown(_option(option, scheme, place) | behaviour)
    return found


def _shown(option: dict[str, Any]) -> dict[str, Any]:
    """Without the tiers that an option by unit has not."""
    empty = {"custom_unit_amount": None}
    return empty | {name: value for name, value in option.items() if name != "tiers" or value is not None}


def _option(params: dict[str, Any], scheme: str, param: str) -> dict[str, Any]:
    if scheme == "per_unit":
        if "tiers" in params:
            _mismatch(scheme, "tiers", param)
        amounts = _pair(params, "unit_amount", param)
        if amounts is None:
            raise errors.missing_parameter(_inside(param, "unit_amount"))
        return amounts
    for name in ("unit_amount", "unit_amount_decimal"):
        if name in params:
            _mismatch(scheme, name, param)
    if not params.get("tiers"):
        raise errors.missing_parameter(_inside(param, "tiers"))
    return {"unit_amount": None, "unit_amount_decimal": None, "tiers": _tiers(params["tiers"], param)}


def _mismatch(scheme: str, name: str, param: str) -> None:
    text = f"`{name}` does not go with, or is missing for, `billing_scheme={scheme}`."
    raise errors.invalid(text, _inside(param, name))


def _inside(param: str, name: str) -> str:
    return f"{param}[{name}]" if param else name


def _pair(params: dict[str, Any], name: str, param: str) -> dict[str, Any] | None:
    """Either spelling of an amount gives both; None where there is neither."""
    exact = f"{name}_decimal"
    if name in params and exact in params:
        raise errors.invalid(f"You may only specify one of these parameters: {name}, {exact}.", _inside(param, name))
    if name not in params and exact not in params:
        return None
    text = str(params[name]) if name in params else params[exact]
    amount = Decimal(text)
    if amount < 0:
        raise errors.invalid(f"Invalid amount: {text}; it must not be negative.", _inside(param, name))
    return {name: int(amount) if amount == int(amount) else None, exact: text}


def _tiers(given: list[dict[str, Any]], param: str) -> list[dict[str, Any]]:
    """Tiers in rising order, the last without an end (API reference, "Create a price")."""
    found, reached = [], 0
    for index, tier in enumerate(given):
        place, end = f"{_inside(param, 'tiers')}[{index}]", tier["up_to"]
        last = index == len(given) - 1
        if (end == "inf") is not last or (not last and int(end) <= reached):
            text = "Tiers must rise by `up_to`, and only the last must have `up_to=inf`."
            raise errors.invalid(text, f"{place}[up_to]")
        reached = 0 if last else int(end)
        amounts = {name: _pair(tier, name, place) for name in PAIRS}
        if not any(amounts.values()):
            raise errors.missing_parameter(f"{place}[unit_amount]")
        made: dict[str, Any] = {"up_to": None if last else reached}
        for name, pair in amounts.items():
            made |= pair or {name: None, f"{name}_decimal": None}
        found.append(made)
    return found


def in_currency(price: Object, currency: str) -> Object | None:
    """The price with its amounts in a currency; None where it has none there."""
    if price["currency"] == currency:
        return price
    option = (price.get("currency_options") or {}).get(currency)
    return price | {"currency": currency, **option} if option is not None else None


def total(price: Object, quantity: int) -> int:
    """What a quantity costs for one period, rounded half up."""
    return int(exact(price, quantity).quantize(Decimal(1), ROUND_HALF_UP))


def exact(price: Object, quantity: int) -> Decimal:
    if price["billing_scheme"] == "tiered":
        split = _graduated if price["tiers_mode"] == "graduated" else _volume
        return sum((_tier(tier, units) for tier, units in split(price["tiers"], quantity)), Decimal(0))
    packs = price.get("transform_quantity")
    if packs:
        up = packs["round"] == "up"
        quantity = -(-quantity // packs["divide_by"]) if up else quantity // packs["divide_by"]
    return Decimal(price["unit_amount_decimal"] or 0) * quantity


def _tier(tier: dict[str, Any], units: int) -> Decimal:
    return Decimal(tier["flat_amount_decimal"] or 0) + Decimal(tier["unit_amount_decimal"] or 0) * units


def _graduated(tiers: list[dict[str, Any]], quantity: int) -> list[tuple[dict[str, Any], int]]:
    """Each tier that the quantity reaches, with the units inside it; a quantity of 0 reaches the first."""
    found: list[tuple[dict[str, Any], int]] = []
    start = 0
    for tier in tiers:
        if start < quantity or not found:
            end = quantity if tier["up_to"] is None else min(quantity, tier["up_to"])
            found.append((tier, end - start))
            start = end
    return found


def _volume(tiers: list[dict[str, Any]], quantity: int) -> list[tuple[dict[str, Any], int]]:
    """The one tier that the whole quantity falls into."""
    tier = next(tier for tier in tiers if tier["up_to"] is None or quantity <= tier["up_to"])
    return [(tier, quantity)]
