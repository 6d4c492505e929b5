"""Coupons, promotion codes, and what they take off."""

from typing import Any

import pytest
import stripe

from tests.sandbox.clocks import DAY, HOUR, advance, on_a_clock, types_of
from tests.sandbox.conftest import Shop, catalogue


async def bought(sdk: Any, customer: str, price: str, *discounts: dict[str, str], quantity: int = 1) -> Any:
    return await sdk.subscriptions.create_async(
        {
            "customer": customer,
            "items": [{"price": price, "quantity": quantity}],
            "discounts": list(discounts),
            "expand": ["latest_invoice", "discounts"],
        }
    )


async def test_a_percentage_comes_off_every_invoice_for_its_months(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    coupon = await sdk.coupons.create_async({"percent_off": 25, "duration": "repeating", "duration_in_months": 2})
    subscription = await bought(sdk, customer, shop.monthly, {"coupon": coupon.id})
    invoice = subscription.latest_invoice
    assert (invoice.subtotal, invoice.total, invoice.amount_paid) == (1000, 750, 750)
    discount = subscription.discounts[0]
    assert (discount.source.coupon, discount.subscription) == (coupon.id, subscription.id)
    assert [each.amount for each in invoice.total_discount_amounts] == [250]
    assert [each.discount for each in invoice.lines.data[0].discount_amounts] == [discount.id]
    totals = []
    for _ in range(2):
        end = (await sdk.subscriptions.retrieve_async(subscription.id))["items"].data[0].current_period_end
        await advance(sdk, clock, end + HOUR)
        found = await sdk.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
        totals.append(found.latest_invoice.amount_paid)
    assert totals == [750, 1000]
    assert found.discounts == []
    assert await types_of(sdk, "customer.discount.*") == ["customer.discount.created", "customer.discount.deleted"]


async def test_a_coupon_that_counts_once_is_used_up_by_the_first_invoice(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    coupon = await sdk.coupons.create_async({"amount_off": 300, "currency": "usd", "duration": "once"})
    subscription = await bought(sdk, customer, shop.monthly, {"coupon": coupon.id})
    assert (subscription.latest_invoice.total, subscription.discounts) == (700, [])
    await advance(sdk, clock, subscription["items"].data[0].current_period_end + HOUR)
    renewed = await sdk.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert renewed.latest_invoice.total == 1000


async def test_discounts_apply_one_after_another_and_never_below_nothing(sdk: Any, shop: Shop) -> None:
    half = await sdk.coupons.create_async({"percent_off": 50, "duration": "forever"})
    fixed = await sdk.coupons.create_async({"amount_off": 2000, "currency": "usd", "duration": "forever"})
    subscription = await bought(sdk, shop.customer, shop.monthly, {"coupon": half.id}, {"coupon": fixed.id}, quantity=3)
    invoice = subscription.latest_invoice
    assert [each.amount for each in invoice.total_discount_amounts] == [1500, 1500]
    assert (invoice.total, invoice.status) == (0, "paid")


async def test_a_coupon_for_one_product_leaves_the_others_alone(sdk: Any, shop: Shop) -> None:
    product, other, _ = await catalogue(sdk)
    coupon = await sdk.coupons.create_async({"percent_off": 100, "applies_to": {"products": [product]}})
    subscription = await sdk.subscriptions.create_async(
        {
            "customer": shop.customer,
            "items": [{"price": shop.monthly}, {"price": other}],
            "discounts": [{"coupon": coupon.id}],
            "expand": ["latest_invoice"],
        }
    )
    assert (subscription.latest_invoice.subtotal, subscription.latest_invoice.total) == (2000, 1000)


async def test_a_promotion_code_gives_its_coupon_until_it_is_used_up(sdk: Any, shop: Shop) -> None:
    coupon = await sdk.coupons.create_async({"percent_off": 10, "duration": "forever"})
    code = await sdk.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SPRING", "max_redemptions": 1}
    )
    subscription = await bought(sdk, shop.customer, shop.monthly, {"promotion_code": code.id})
    assert (subscription.latest_invoice.total, subscription.discounts[0].promotion_code) == (900, code.id)
    used = await sdk.promotion_codes.retrieve_async(code.id, {"expand": ["promotion.coupon"]})
    assert (used.active, used.times_redeemed, used.promotion.coupon.times_redeemed) == (False, 1, 1)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await bought(sdk, shop.customer, shop.monthly, {"promotion_code": code.id})
    assert refused.value.param == "discounts[0][promotion_code]"
    assert [row.id for row in (await sdk.promotion_codes.list_async({"code": "spring"})).data] == [code.id]


async def test_discounts_are_replaced_kept_and_removed_by_an_update(sdk: Any, shop: Shop) -> None:
    coupons = [await sdk.coupons.create_async({"percent_off": n, "duration": "forever"}) for n in (10, 20)]
    subscription = await bought(sdk, shop.customer, shop.monthly, {"coupon": coupons[0].id})
    first = subscription.discounts[0].id
    both = await sdk.subscriptions.update_async(
        subscription.id, {"discounts": [{"discount": first}, {"coupon": coupons[1].id}]}
    )
    assert (both.discounts[0], len(both.discounts)) == (first, 2)
    none = await sdk.subscriptions.update_async(subscription.id, {"discounts": ""})
    assert none.discounts == []
    assert (await types_of(sdk, "customer.discount.deleted")) == ["customer.discount.deleted"] * 2


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "percent_off"),
        ({"percent_off": 101}, "percent_off"),
        ({"amount_off": 100}, "currency"),
        ({"percent_off": 10, "duration": "repeating"}, "duration_in_months"),
        ({"percent_off": 10, "applies_to": {"products": ["prod_none"]}}, "applies_to[products][0]"),
    ],
)
async def test_a_coupon_says_clearly_what_it_takes_off(sdk: Any, params: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.coupons.create_async(params)
    assert refused.value.param == param
    assert (await sdk.coupons.list_async()).data == []


async def test_an_expired_or_deleted_coupon_cannot_be_taken_but_is_kept(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    coupon = await sdk.coupons.create_async({"percent_off": 50, "duration": "forever", "id": "HALF"})
    subscription = await bought(sdk, customer, shop.monthly, {"coupon": "HALF"})
    await sdk.coupons.delete_async(coupon.id)
    with pytest.raises(stripe.InvalidRequestError, match="No such coupon: 'HALF'"):
        await bought(sdk, customer, shop.monthly, {"coupon": "HALF"})
    await advance(sdk, clock, subscription["items"].data[0].current_period_end + DAY)
    renewed = await sdk.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert renewed.latest_invoice.total == 500
