"""Discounts: a coupon taken by a customer, a subscription or an invoice."""

from typing import Any

from colonnade_sandbox import errors, events, periods
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import coupons, promotion_codes
from colonnade_sandbox.store import Object

KIND = "discount"
MONTH = {"interval": "month", "interval_count": 1}
HUNDREDTHS = 10_000


def take(call: Call, given: Any, owner: dict[str, Any], old: list[str] | None = None) -> list[str]:
    """The ids of the discounts that `discounts[]` wants; new ones are made, those left out are gone.

    `owner` names customer, subscription or invoice. Raises StripeError (400) naming what cannot be redeemed.
    """
    kept = []
    for index, wish in enumerate(given or []):
        kept.append(str(one(call, wish, owner, ("discounts", str(index)))["id"]))
    for gone in set(old or []) - set(kept):
        end(call, gone)
    return kept


def one(
    call: Call, wish: dict[str, Any], owner: dict[str, Any], place: tuple[str, ...] = (), replaces: Object | None = None
) -> Object:
    """The discount of a coupon or a promotion code; `place` is where the wish stands in the parameters."""
    param = {name: errors.bracketed([*place, name]) for name in ("coupon", "discount", "promotion_code")}
    if "discount" in wish:
        return call.get(KIND, wish["discount"], param["discount"])
    code = None
    if "promotion_code" in wish:
        code = promotion_codes.redeem(call, wish["promotion_code"], owner["customer"], param["promotion_code"])
        coupon = coupons.redeem(call, code["promotion"]["coupon"], param["promotion_code"])
    elif "coupon" in wish:
        coupon = coupons.redeem(call, wish["coupon"], param["coupon"])
    else:
        raise errors.missing_parameter(param["coupon"])
    return _make(call, coupon, code, owner, replaces)


def _make(
    call: Call, coupon: Object, code: Object | None, owner: dict[str, Any], replaces: Object | None = None
) -> Object:
    end_at = None
    if coupon["duration"] == "repeating":
        end_at = periods.step(call.now, MONTH, coupon["duration_in_months"])
    values = {
        "end": end_at,
        "promotion_code": code["id"] if code else None,
        "source": {"type": "coupon", "coupon": coupon["id"]},
        "start": call.now,
        **owner,
    }
    discount = call.new(KIND, "di", values)
    call.put(discount)
    if replaces is None:
        call.emit("customer.discount.created", discount)
    else:
        call.put(replaces | {"_ended": True})
        call.emit("customer.discount.updated", discount, events.previous_attributes(replaces, discount))
    return discount


def end(call: Call, discount: str) -> None:
    """Take a discount away; invoices that had it keep showing it."""
    found = call.find(KIND, discount)
    if found is not None and not found.get("_ended"):
        call.emit("customer.discount.deleted", call.put(found | {"_ended": True}))


def spent(call: Call, discounts: list[str], now: int) -> list[str]:
    """What is left after an invoice was drafted: `once` is used up, and `repeating` runs out in time."""
    left = []
    for key in discounts:
        found = call.get(KIND, key, "discounts")
        coupon = call.find("coupon", found["source"]["coupon"])
        once = coupon is None or coupon["duration"] == "once"
        if once or (found["end"] is not None and found["end"] <= now):
            end(call, key)
        else:
            left.append(key)
    return left


def applied(call: Call, discounts: list[str], lines: list[Object]) -> tuple[list[Object], list[dict[str, Any]]]:
    """The lines with what each discount takes off them, and the sum for each discount.

    Discounts apply in order, each to what the one before left; `amount_off` is shared among the lines.
    """
    reduced = [line | {"discount_amounts": []} for line in lines]
    given = []
    for key in discounts:
        found = call.get(KIND, key, "discounts")
        if found["end"] is not None and found["end"] <= call.now:
            continue
        coupon = call.find("coupon", found["source"]["coupon"]) or {}
        open_ = [line for line in reduced if line["discountable"] and _covers(coupon, line) and _left(line) > 0]
        amount = 0
        for line, share in zip(open_, _shares(coupon, [_left(line) for line in open_]), strict=True):
            line["discount_amounts"] = [*line["discount_amounts"], {"amount": share, "discount": key}]
            amount += share
        given.append({"amount": amount, "discount": key})
    return reduced, given


def _left(line: Object) -> int:
    return int(line["amount"]) - sum(int(each["amount"]) for each in line["discount_amounts"])


def _covers(coupon: Object, line: Object) -> bool:
    only = (coupon.get("applies_to") or {}).get("products")
    details = (line["pricing"] or {}).get("price_details") or {}
    return only is None or details.get("product") in only


def _shares(coupon: Object, amounts: list[int]) -> list[int]:
    """What a coupon takes off each amount."""
    total = sum(amounts)
    if coupon["percent_off"] is not None:
        hundredths = round(coupon["percent_off"] * 100)
        return [(amount * hundredths * 2 + HUNDREDTHS) // (2 * HUNDREDTHS) for amount in amounts]
    off, shares = min(coupon["amount_off"], total), []
    for amount in amounts:
        share = off * amount // total if total else 0
        shares.append(share)
    for index in range(off - sum(shares)):
        shares[index % len(shares)] += 1
    return shares


@operation("DELETE", "/v1/subscriptions/{subscription_exposed_id}/discount")
def delete_of_subscription(call: Call) -> Object:
    """Removes all discounts; later API versions prefer an empty `discounts`."""
    subscription = call.get("subscription", call.id)
    if not subscription["discounts"]:
        raise errors.no_such(KIND, subscription["id"])
    first = subscription["discounts"][0]
    call.change(subscription, {"discounts": []}, event="customer.subscription.updated")
    for key in subscription["discounts"]:
        end(call, key)
    return {"id": first, "object": KIND, "deleted": True}
