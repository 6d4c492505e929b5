"""Portal configurations and sessions, as far as the API goes."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop, Wire, catalogue, connected_account


def features(shop: Shop, **others: Any) -> dict[str, Any]:
    update = {
        "enabled": True,
        "default_allowed_updates": ["price", "quantity"],
        "products": [{"product": shop.product, "prices": [shop.monthly, shop.yearly]}],
    }
    return {"subscription_cancel": {"enabled": True}, "subscription_update": update} | others


async def configure(sdk: Any, shop: Shop, **others: Any) -> str:
    return str((await sdk.billing_portal.configurations.create_async({"features": features(shop, **others)})).id)


async def test_what_a_configuration_leaves_open_gets_its_default(sdk: Any) -> None:
    made = await sdk.billing_portal.configurations.create_async(
        {"features": {"subscription_cancel": {"enabled": True}}}
    )
    cancel = made.features.subscription_cancel
    assert (cancel.mode, cancel.proration_behavior) == ("at_period_end", "none")
    assert (made.active, made.is_default, made.login_page.enabled) == (True, False, False)
    assert made.features.subscription_update.enabled is False
    assert made.features.subscription_pause.duration.type == "interval_options"


async def test_an_update_merges_by_field_and_replaces_lists(sdk: Any, shop: Shop) -> None:
    allowed = {"customer_update": {"enabled": True, "allowed_updates": ["email", "name"]}}
    name = await configure(sdk, shop, **allowed)
    path = "features.subscription_update.products"
    changed = await sdk.billing_portal.configurations.update_async(
        name,
        {
            "features": {"customer_update": {"allowed_updates": ["address"]}},
            "business_profile": {"headline": "Hello"},
            "expand": [path],
        },
    )
    assert changed.features.customer_update.allowed_updates == ["address"]
    assert changed.features.customer_update.enabled is True
    assert changed.features.subscription_update.products[0].product == shop.product
    assert changed.business_profile.headline == "Hello"
    emptied = await sdk.billing_portal.configurations.update_async(
        name, {"features": {"customer_update": {"allowed_updates": ""}}}
    )
    assert emptied.features.customer_update.allowed_updates == []
    events = (await sdk.events.list_async({"type": "billing_portal.configuration.updated"})).data
    assert len(events) == 2
    assert "products" not in events[0].data.object["features"]["subscription_update"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"products": [{"product": "prod_none", "prices": ["price_none"]}]}, "[products][0][product]"),
        ({"products": []}, "[products]"),
        ({"products": [{"product": "prod_none", "prices": ["x"]}] * 11}, "[products]"),
    ],
)
async def test_the_catalogue_of_a_configuration_is_checked(
    sdk: Any, shop: Shop, change: dict[str, Any], param: str
) -> None:
    wanted = features(shop)
    wanted["subscription_update"] |= change
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.billing_portal.configurations.create_async({"features": wanted})
    assert refused.value.param == f"features[subscription_update]{param}"
    assert (await sdk.billing_portal.configurations.list_async()).data == []


async def test_prices_must_be_of_their_product_active_and_of_this_account(sdk: Any, shop: Shop) -> None:
    _, foreign, _ = await catalogue(sdk)
    account = await connected_account(sdk)
    _, elsewhere, _ = await catalogue(sdk, {"stripe_account": account})
    await sdk.prices.update_async(shop.yearly, {"active": False})
    for price in (foreign, elsewhere, shop.yearly):
        wanted = features(shop)
        wanted["subscription_update"]["products"][0]["prices"] = [price]
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await sdk.billing_portal.configurations.create_async({"features": wanted})
        assert refused.value.param == "features[subscription_update][products][0][prices][0]"


@pytest.mark.parametrize(
    "body",
    [
        "features[subscription_cancel][enabled]=true&features[subscription_cancel][proration_behavior]=always_invoice",
        "features[subscription_cancel][enabled]=true&features[subscription_cancel][proration_behavior]=create_prorations",
        f"features[invoice_history][enabled]=true&business_profile[headline]={'x' * 61}",
    ],
)
async def test_rules_between_fields(wire: Wire, body: str) -> None:
    assert (await wire.post("/v1/billing_portal/configurations", body)).status == 400


async def test_a_session_needs_a_configuration_or_the_default(sdk: Any, shop: Shop, wire: Wire) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="default configuration has not been created"):
        await sdk.billing_portal.sessions.create_async({"customer": shop.customer})
    headers = {"Authorization": f"Bearer {wire.key}"}
    async with wire.session.post(f"{wire.url}/_sandbox/portal_configuration", headers=headers) as answer:
        default = (await answer.json())["id"]
    session = await sdk.billing_portal.sessions.create_async({"customer": shop.customer})
    assert session.configuration == default
    with pytest.raises(stripe.InvalidRequestError, match="default"):
        await sdk.billing_portal.configurations.update_async(default, {"active": False})


async def test_a_session_is_a_secret_url_for_the_account(sdk: Any, shop: Shop) -> None:
    configuration = await configure(sdk, shop)
    session = await sdk.billing_portal.sessions.create_async(
        {
            "customer": shop.customer,
            "configuration": configuration,
            "on_behalf_of": shop.account,
            "return_url": "https://aurora.example",
        }
    )
    assert session.url.rpartition("/")[0].endswith("/p/session")
    assert session.url.rpartition("/")[2].startswith("test_")
    assert (session.on_behalf_of, session.flow, session.locale) == (shop.account, None, None)
    event = (await sdk.events.list_async({"type": "billing_portal.session.created"})).data[0]
    assert event.data.object["on_behalf_of"] == shop.account
    assert not any(name.startswith("_") for name in event.data.object.to_dict())


async def test_what_a_session_names_must_belong_to_the_caller(sdk: Any, shop: Shop) -> None:
    configuration = await configure(sdk, shop)
    account = {"stripe_account": shop.account}
    stranger = (await sdk.customers.create_async({}, account)).id
    inactive = await configure(sdk, shop)
    await sdk.billing_portal.configurations.update_async(inactive, {"active": False})
    good = {"customer": shop.customer, "configuration": configuration}
    for change, param in (
        ({"customer": stranger}, "customer"),
        ({"configuration": "bpc_none"}, "configuration"),
        ({"configuration": inactive}, "configuration"),
        ({"on_behalf_of": "acct_none"}, "on_behalf_of"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await sdk.billing_portal.sessions.create_async(good | change)
        assert refused.value.param == param
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.billing_portal.sessions.create_async(good, account)
    assert refused.value.param == "customer"


async def test_flows_are_checked_against_features_and_subscription(sdk: Any, shop: Shop) -> None:
    configuration = await configure(sdk, shop)
    subscription = await sdk.subscriptions.create_async({"customer": shop.customer, "items": [{"price": shop.monthly}]})
    item = subscription["items"].data[0].id

    async def flow(data: dict[str, Any], **others: Any) -> Any:
        values = {"customer": shop.customer, "configuration": configuration, "flow_data": data} | others
        return await sdk.billing_portal.sessions.create_async(values)

    cancel = {"type": "subscription_cancel", "subscription_cancel": {"subscription": subscription.id}}
    assert (await flow(cancel)).flow.subscription_cancel.subscription == subscription.id
    confirm: dict[str, Any] = {"subscription": subscription.id, "items": [{"id": item, "price": shop.yearly}]}
    made = await flow({"type": "subscription_update_confirm", "subscription_update_confirm": confirm})
    assert made.flow.subscription_update_confirm["items"][0].price == shop.yearly
    refusals: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"type": "payment_method_update"}, {}, "feature in the portal configuration is disabled"),
        ({"type": "subscription_cancel"}, {}, "Missing required param"),
        (cancel, {"on_behalf_of": shop.account}, "No such subscription"),
        (
            {
                "type": "subscription_update_confirm",
                "subscription_update_confirm": confirm | {"items": [{"id": item, "price": shop.monthly}]},
            },
            {},
            "no changes to confirm",
        ),
    ]
    for data, others, words in refusals:
        with pytest.raises(stripe.InvalidRequestError, match=words):
            await flow(data, **others)
    await sdk.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError, match="already set to be canceled"):
        await flow(cancel)
