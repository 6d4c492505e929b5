"""Entitlement features: attached to products, active for who subscribes to those."""

from typing import Any

import pytest
import stripe

from tests.sandbox.clocks import HOUR, advance, on_a_clock, types_of
from tests.sandbox.conftest import Shop, catalogue

SUMMARY = "entitlements.active_entitlement_summary.updated"


async def feature_of(sdk: Any, product: str, key: str) -> str:
    feature = await sdk.entitlements.features.create_async({"lookup_key": key, "name": key.title()})
    await sdk.products.features.create_async(product, {"entitlement_feature": feature.id})
    return str(feature.id)


async def active(sdk: Any, customer: str) -> set[str]:
    rows = (await sdk.entitlements.active_entitlements.list_async({"customer": customer})).data
    return {row.lookup_key for row in rows}


async def test_features_come_and_go_with_the_subscription(sdk: Any, shop: Shop) -> None:
    other, price, _ = await catalogue(sdk)
    exports = await feature_of(sdk, shop.product, "exports")
    await feature_of(sdk, other, "audit")
    subscription = await sdk.subscriptions.create_async({"customer": shop.customer, "items": [{"price": shop.monthly}]})
    rows = (await sdk.entitlements.active_entitlements.list_async({"customer": shop.customer})).data
    assert [(row.feature, row.lookup_key) for row in rows] == [(exports, "exports")]
    one = await sdk.entitlements.active_entitlements.retrieve_async(rows[0].id, {"expand": ["feature"]})
    assert one.feature.name == "Exports"
    await sdk.subscriptions.update_async(
        subscription.id, {"items": [{"id": subscription["items"].data[0].id, "price": price}]}
    )
    assert await active(sdk, shop.customer) == {"audit"}
    await sdk.subscriptions.update_async(subscription.id, {"metadata": {"no": "change"}})
    await sdk.subscriptions.cancel_async(subscription.id)
    assert await active(sdk, shop.customer) == set()
    events = (await sdk.events.list_async({"type": SUMMARY})).data
    shown = [[row["lookup_key"] for row in event.data.object["entitlements"]["data"]] for event in reversed(events)]
    assert shown == [["exports"], ["audit"], []]
    assert {event.data.object["customer"] for event in events} == {shop.customer}


async def test_what_a_payment_did_not_reach_grants_nothing(sdk: Any, shop: Shop) -> None:
    await feature_of(sdk, shop.product, "exports")
    await sdk.subscriptions.create_async(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "payment_behavior": "default_incomplete"}
    )
    assert await active(sdk, shop.customer) == set()
    assert await types_of(sdk, SUMMARY) == []


async def test_two_subscriptions_grant_one_feature_until_both_end(sdk: Any, shop: Shop) -> None:
    await feature_of(sdk, shop.product, "exports")
    wanted = {"customer": shop.customer, "items": [{"price": shop.monthly}]}
    first, second = [await sdk.subscriptions.create_async(wanted) for _ in range(2)]
    await sdk.subscriptions.cancel_async(first.id)
    assert await active(sdk, shop.customer) == {"exports"}
    await sdk.subscriptions.cancel_async(second.id)
    assert await active(sdk, shop.customer) == set()
    assert await types_of(sdk, SUMMARY) == [SUMMARY] * 2


async def test_a_feature_attached_later_counts_from_the_next_period(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    await feature_of(sdk, shop.product, "exports")
    assert await active(sdk, customer) == set()
    await advance(sdk, clock, subscription["items"].data[0].current_period_end + HOUR)
    assert await active(sdk, customer) == {"exports"}


async def test_keys_are_unique_among_active_features_and_links_among_products(sdk: Any, shop: Shop) -> None:
    feature = await feature_of(sdk, shop.product, "exports")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.entitlements.features.create_async({"lookup_key": "exports", "name": "Again"})
    assert refused.value.param == "lookup_key"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.products.features.create_async(shop.product, {"entitlement_feature": feature})
    assert refused.value.param == "entitlement_feature"
    archived = await sdk.entitlements.features.update_async(feature, {"active": False})
    assert archived.active is False
    assert [row.id for row in (await sdk.entitlements.features.list_async({"archived": True})).data] == [feature]
    await sdk.entitlements.features.create_async({"lookup_key": "exports", "name": "Again"})
    links = (await sdk.products.features.list_async(shop.product)).data
    assert [link.entitlement_feature.id for link in links] == [feature]
    assert (await sdk.products.features.retrieve_async(shop.product, links[0].id)).id == links[0].id
    await sdk.products.features.delete_async(shop.product, links[0].id)
    assert (await sdk.products.features.list_async(shop.product)).data == []
