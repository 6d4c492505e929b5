"""The rules of portal configurations, flows and feedback options, field by field."""

from typing import Any
from urllib.parse import urlencode

import pytest
import stripe

from tests.sandbox.conftest import Shop, Wire
from tests.sandbox.test_portal import configure, features

CONFIGURATIONS = "/v1/billing_portal/configurations"
PAUSE = "features[subscription_pause][duration]"
REASON = "features[subscription_cancel][cancellation_reason]"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "features"),
        ({"features[invoice_history][foo]": "1"}, "features[invoice_history][foo]"),
        ({"features[subscription_cancel][mode]": "immediately"}, "features[subscription_cancel][enabled]"),
        ({f"{REASON}[enabled]": "true"}, f"{REASON}[options]"),
        ({f"{REASON}[options][0]": "unused"}, f"{REASON}[enabled]"),
        ({f"{PAUSE}[interval_options][0][interval]": "day"}, f"{PAUSE}[type]"),
        (
            {f"{PAUSE}[type]": "interval_options", f"{PAUSE}[interval_options]": ""},
            f"{PAUSE}[interval_options]",
        ),
        (
            {
                f"{PAUSE}[type]": "interval_options",
                f"{PAUSE}[interval_options][0][interval]": "year",
                f"{PAUSE}[interval_options][0][interval_count]": "4",
            },
            f"{PAUSE}[interval_options][0][interval_count]",
        ),
        ({f"{REASON}[feedback_options][0]": "bfo_none"}, f"{REASON}[feedback_options][0]"),
        ({"business_profile[headline]": "x" * 61}, "business_profile[headline]"),
        ({"business_profile[privacy_policy_url]": "nonsense"}, "business_profile[privacy_policy_url]"),
        ({"business_profile[privacy_policy_url]": ""}, "business_profile[privacy_policy_url]"),
        ({"default_return_url": "nonsense"}, "default_return_url"),
        ({"login_page[foo]": "1"}, "login_page[foo]"),
        ({"active": "false"}, "active"),
    ],
)
async def test_a_configuration_that_breaks_a_rule_is_refused_by_name(
    wire: Wire, fields: dict[str, str], param: str
) -> None:
    good = {"features[invoice_history][enabled]": "true"} if fields else {}
    if any(name.startswith(REASON) for name in fields):
        good["features[subscription_cancel][enabled]"] = "true"
    if f"{REASON}[feedback_options][0]" in fields:
        good |= {f"{REASON}[enabled]": "true", f"{REASON}[options][0]": "unused"}
    reply = await wire.post(CONFIGURATIONS, urlencode(good | fields))
    assert reply.status == 400
    assert reply.error["param"] == param
    assert (await wire.get(CONFIGURATIONS)).body["data"] == []


async def test_products_and_prices_are_named_once_and_quantities_make_sense(sdk: Any, shop: Shop) -> None:
    wanted = features(shop)
    product = wanted["subscription_update"]["products"][0]
    quantity = {"enabled": True, "minimum": 3, "maximum": 2}
    for products, param in (
        ([product, product], "[products]"),
        ([product | {"prices": [shop.monthly] * 2}], "[products][0][prices]"),
        ([product | {"adjustable_quantity": quantity}], "[products][0][adjustable_quantity][maximum]"),
    ):
        wanted["subscription_update"]["products"] = products
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await sdk.billing_portal.configurations.create_async({"features": wanted})
        assert refused.value.param == f"features[subscription_update]{param}"


async def test_an_empty_text_clears_and_what_is_left_out_stays(sdk: Any, shop: Shop, wire: Wire) -> None:
    name = await configure(sdk, shop)
    update = sdk.billing_portal.configurations.update_async
    profile = {"headline": "Hello", "privacy_policy_url": "https://a.example/p"}
    made = await update(name, {"business_profile": profile, "name": "Gold", "metadata": {"a": "1", "b": "2"}})
    assert (made.name, made.metadata.to_dict()) == ("Gold", {"a": "1", "b": "2"})
    cleared = await update(
        name, {"business_profile": {"privacy_policy_url": ""}, "name": "", "metadata": {"a": ""}, "active": False}
    )
    assert (cleared.business_profile.headline, cleared.business_profile.privacy_policy_url) == ("Hello", None)
    assert (cleared.name, cleared.metadata.to_dict(), cleared.active) == (None, {"b": "2"}, False)
    assert cleared.features.subscription_cancel.enabled is True
    listed = await wire.get(f"{CONFIGURATIONS}?active=false&is_default=false")
    assert [row["id"] for row in listed.body["data"]] == [name]
    assert (await wire.get(f"{CONFIGURATIONS}?is_default=true")).body["data"] == []


async def test_updated_moves_with_a_change_only(sdk: Any, shop: Shop, wire: Wire) -> None:
    name = await configure(sdk, shop)
    before = await sdk.billing_portal.configurations.retrieve_async(name)
    await wire.control("advance", {"seconds": 100})
    update = sdk.billing_portal.configurations.update_async
    assert (await update(name, {"active": True})).updated == before.updated
    assert (await update(name, {"name": "New"})).updated >= before.updated + 100


async def test_the_login_page_keeps_its_url_until_it_is_switched_off(sdk: Any, shop: Shop) -> None:
    name = await configure(sdk, shop)
    update = sdk.billing_portal.configurations.update_async
    first = (await update(name, {"login_page": {"enabled": True}})).login_page.url
    assert "/p/login/test_" in first
    assert (await update(name, {"login_page": {"enabled": True}})).login_page.url == first
    assert (await update(name, {"login_page": {"enabled": False}})).login_page.url is None


async def test_a_pause_without_end_has_no_intervals(sdk: Any, shop: Shop) -> None:
    pause = {"enabled": True, "duration": {"type": "indefinite"}}
    made = await sdk.billing_portal.configurations.create_async({"features": {"subscription_pause": pause}})
    duration = made.features.subscription_pause.duration
    assert (duration.type, duration.interval_options) == ("indefinite", [])
    options = {"type": "interval_options", "interval_options": [{"interval": "week"}]}
    changed = await sdk.billing_portal.configurations.update_async(
        made.id, {"features": {"subscription_pause": {"duration": options}}}
    )
    assert changed.features.subscription_pause.duration.interval_options[0].to_dict() == {
        "interval": "week",
        "interval_count": 1,
    }


async def test_feedback_options_are_made_named_and_retired(sdk: Any, shop: Shop) -> None:
    options = sdk.billing.feedback_options
    made = await options.create_async({"description": "Moving abroad"})
    reason = {"enabled": True, "options": ["unused"], "feedback_options": [made.id]}
    cancel = {"enabled": True, "cancellation_reason": reason}
    configuration = await sdk.billing_portal.configurations.create_async({"features": {"subscription_cancel": cancel}})
    assert configuration.features.subscription_cancel.cancellation_reason.feedback_options == [made.id]
    retired = await options.deactivate_async(made.id)
    assert (retired.status, retired.status_transitions.deactivated_at is None) == ("inactive", False)
    assert (await options.list_async({"status": "active"})).data == []
    with pytest.raises(stripe.InvalidRequestError, match="not active"):
        await sdk.billing_portal.configurations.create_async({"features": {"subscription_cancel": cancel}})
    with pytest.raises(stripe.InvalidRequestError, match="at most 100"):
        await options.create_async({"description": "x" * 101})


@pytest.mark.parametrize(
    ("flow", "param"),
    [
        ({"type": "subscription_pause"}, "flow_data[subscription_pause]"),
        ({"type": "subscription_cancel", "subscription_pause": {"subscription": "s"}}, "flow_data[subscription_pause]"),
        ({"after_completion": {"type": "redirect"}}, "flow_data[after_completion][redirect]"),
        (
            {"after_completion": {"type": "redirect", "redirect": {"return_url": "nonsense"}}},
            "flow_data[after_completion][redirect][return_url]",
        ),
        (
            {"after_completion": {"type": "portal_homepage", "redirect": {"return_url": "https://a.example"}}},
            "flow_data[after_completion][redirect]",
        ),
        (
            {"after_completion": {"type": "hosted_confirmation", "hosted_confirmation": {"custom_message": "x" * 501}}},
            "flow_data[after_completion][hosted_confirmation][custom_message]",
        ),
    ],
)
async def test_a_flow_that_breaks_a_rule_is_refused_by_name(
    sdk: Any, shop: Shop, flow: dict[str, Any], param: str
) -> None:
    configuration = await configure(sdk, shop, subscription_pause={"enabled": True})
    given = {"type": "subscription_cancel"} | flow
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.billing_portal.sessions.create_async(
            {"customer": shop.customer, "configuration": configuration, "flow_data": given}
        )
    assert refused.value.param == param


async def test_flows_about_a_subscription_check_its_state_items_and_coupon(sdk: Any, shop: Shop) -> None:
    configuration = await configure(sdk, shop, subscription_pause={"enabled": True})
    trial = await sdk.subscriptions.create_async(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "trial_period_days": 7}
    )
    item = trial["items"].data[0].id
    base = "flow_data[subscription_update_confirm]"
    retention = {"type": "coupon_offer", "coupon_offer": {"coupon": "none"}}
    for kind, others, param in (
        ("subscription_pause", {}, "flow_data[subscription_pause][subscription]"),
        (
            "subscription_cancel",
            {"retention": retention},
            "flow_data[subscription_cancel][retention][coupon_offer][coupon]",
        ),
        ("subscription_update_confirm", {"items": [{"id": item}] * 2}, f"{base}[items]"),
        ("subscription_update_confirm", {"items": [{"id": "si_none"}]}, f"{base}[items][0][id]"),
        ("subscription_update_confirm", {"items": [{"id": item, "quantity": 0}]}, f"{base}[items][0][quantity]"),
        (
            "subscription_update_confirm",
            {"items": [{"id": item, "quantity": 2}], "discounts": [{"coupon": "none"}]},
            f"{base}[discounts][0][coupon]",
        ),
    ):
        flow = {"type": kind, kind: {"subscription": trial.id} | others}
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await sdk.billing_portal.sessions.create_async(
                {"customer": shop.customer, "configuration": configuration, "flow_data": flow}
            )
        assert refused.value.param == param


async def test_a_session_takes_web_links_and_a_login_deadline_in_the_future(sdk: Any, shop: Shop) -> None:
    configuration = await configure(sdk, shop)
    good = {"customer": shop.customer, "configuration": configuration}
    login = {"type": "customer_login", "customer_login": {"expires_at": 1}}
    for change, param in (
        ({"return_url": "nonsense"}, "return_url"),
        ({"after_expiration": login}, "after_expiration[customer_login][expires_at]"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await sdk.billing_portal.sessions.create_async(good | change)
        assert refused.value.param == param
    made = await sdk.billing_portal.sessions.create_async(good | {"after_expiration": {"type": "customer_login"}})
    assert made.after_expiration.customer_login.expires_at is None
