"""What the portal does to subscriptions: cancel, keep, switch; and what it will not."""

import pytest

from tests.sandbox.hosted import Portal, everything, portal, subscribe

__all__ = ["portal"]


async def test_canceling_in_the_portal_sets_cancel_at_alone_and_records_the_reason(portal: Portal) -> None:
    before = len(await portal.events())
    asked = await portal.browser.follow(await portal.open(), "Cancel plan")
    page = await portal.browser.submit(asked, "Cancel plan", feedback="unused", comment=" too quiet ")
    subscription = await portal.current()
    end = subscription["items"].data[0].current_period_end
    assert "Your subscription will be canceled." in page.text
    assert (subscription.status, subscription.cancel_at, subscription.cancel_at_period_end) == ("active", end, False)
    details = subscription.cancellation_details
    assert (details.reason, details.feedback, details.comment) == ("cancellation_requested", "unused", "too quiet")
    (event,) = [e for e in await portal.events(before) if e.type.startswith("customer.subscription")]
    assert event.type == "customer.subscription.updated"
    assert event.data.previous_attributes["cancel_at"] is None
    assert (event.request.id, event.request.idempotency_key) == (None, None)
    assert not page.offers("Cancel plan")
    assert not page.offers("Update plan")


async def test_canceling_a_classic_subscription_sets_the_flag_as_well(portal: Portal) -> None:
    classic = await subscribe(portal.sdk, portal.shop, billing_mode={"type": "classic"})
    page = await portal.open()
    asked = await portal.browser.get(f"{page.url}/subscriptions/{classic.id}/cancel")
    await portal.browser.submit(asked, "Cancel plan")
    subscription = await portal.sdk.subscriptions.retrieve_async(classic.id)
    assert subscription.cancel_at_period_end is True
    assert subscription.cancel_at == subscription["items"].data[0].current_period_end


async def test_keeping_a_plan_clears_the_cancellation(portal: Portal) -> None:
    page = await portal.browser.submit(
        await portal.browser.follow(await portal.open(), "Cancel plan"), "Cancel plan", feedback="unused"
    )
    page = await portal.browser.submit(page, "Don't cancel plan")
    subscription = await portal.current()
    assert "Your subscription will continue." in page.text
    assert (subscription.cancel_at, subscription.canceled_at, subscription.cancel_at_period_end) == (None, None, False)
    assert subscription.cancellation_details.reason is None
    assert (await portal.post(page, f"subscriptions/{portal.subscription}/keep")).status == 409


async def test_canceling_immediately_sends_the_deleted_event_only(portal: Portal) -> None:
    await portal.configure(subscription_cancel={"enabled": True, "mode": "immediately"})
    before = len(await portal.events())
    asked = await portal.browser.follow(await portal.open(), "Cancel plan")
    assert "ends now" in asked.text
    page = await portal.browser.submit(asked, "Cancel plan")
    assert "You have no active subscriptions." in page.text
    assert (await portal.current()).status == "canceled"
    types = [event.type for event in await portal.events(before)]
    assert [name for name in types if name.startswith("customer.subscription")] == ["customer.subscription.deleted"]


async def test_switching_the_plan_changes_price_as_the_api_does(portal: Portal) -> None:
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    assert "$90.00 per year" in choose.text
    confirm = await portal.browser.submit(choose, "Continue", price=portal.shop.yearly, quantity="2")
    assert "$180.00 per year" in confirm.text
    before = len(await portal.events())
    page = await portal.browser.submit(confirm, "Confirm")
    assert "Your subscription has been updated." in page.text
    item = (await portal.current())["items"].data[0]
    assert (item.id, item.price.id, item.quantity) == (portal.item, portal.shop.yearly, 2)
    hosted = (await portal.events(before))[-1]
    twin = await subscribe(portal.sdk, portal.shop)
    await portal.sdk.subscriptions.update_async(
        twin.id, {"items": [{"id": twin["items"].data[0].id, "price": portal.shop.yearly, "quantity": 2}]}
    )
    by_api = (await portal.events())[-1]
    assert hosted.type == by_api.type == "customer.subscription.updated"
    told = [event.data.previous_attributes.to_dict().keys() for event in (hosted, by_api)]
    # The anchor moves only where the subscription is older than this second.
    assert told[0] ^ told[1] <= {"billing_cycle_anchor"}


@pytest.mark.parametrize(
    ("price", "quantity", "status"),
    [
        ("unlisted", "1", 400),
        ("price_unknown", "1", 400),
        ("yearly", "6", 400),
        ("yearly", "0", 400),
        ("yearly", "-1", 400),
        ("yearly", "٣", 400),
        ("monthly", "1", 400),
        ("yearly", "5", 303),
    ],
)
async def test_only_listed_prices_and_bounded_quantities_are_taken(
    portal: Portal, price: str, quantity: str, status: int
) -> None:
    unlisted = await portal.sdk.prices.create_async(
        {"product": portal.shop.product, "currency": "usd", "unit_amount": 1, "recurring": {"interval": "month"}}
    )
    prices = {"unlisted": unlisted.id, "yearly": portal.shop.yearly, "monthly": portal.shop.monthly}
    wish = {"price": prices.get(price, price), "quantity": quantity}
    page = await portal.post(await portal.open(), f"subscriptions/{portal.subscription}/update", **wish)
    assert page.status == status
    changed = (await portal.current())["items"].data[0].price.id == portal.shop.yearly
    assert changed == (status == 303)


async def test_without_leave_for_quantities_a_quantity_is_refused(portal: Portal) -> None:
    update = everything(portal.shop)["subscription_update"] | {"default_allowed_updates": ["price"]}
    await portal.configure(subscription_update=update)
    page = await portal.open()
    path = f"subscriptions/{portal.subscription}/update"
    assert "quantity" not in (await portal.browser.follow(page, "Update plan")).form("Continue").fields
    assert (await portal.post(page, path, quantity="3")).status == 403
    assert (await portal.post(page, path, price=portal.shop.yearly)).status == 303


async def test_a_trial_ends_with_the_switch_or_goes_on_as_configured(portal: Portal) -> None:
    update = everything(portal.shop)["subscription_update"]
    for behaviour, status in (("continue_trial", "trialing"), ("end_trial", "active")):
        await portal.configure(subscription_update=update | {"trial_update_behavior": behaviour})
        trial = await subscribe(portal.sdk, portal.shop, trial_period_days=7)
        page = await portal.open()
        await portal.post(page, f"subscriptions/{trial.id}/update", price=portal.shop.yearly)
        assert (await portal.sdk.subscriptions.retrieve_async(trial.id)).status == status


async def test_a_subscription_of_several_items_can_only_be_canceled(portal: Portal) -> None:
    several = await subscribe(
        portal.sdk, portal.shop, items=[{"price": portal.shop.monthly}, {"price": portal.shop.yearly}]
    )
    await portal.sdk.subscriptions.cancel_async(portal.subscription)
    page = await portal.open()
    assert page.offers("Cancel plan")
    assert not page.offers("Update plan")
    answer = await portal.post(page, f"subscriptions/{several.id}/update", price=portal.shop.yearly)
    assert answer.status == 409


async def test_a_cancellation_reason_must_be_asked_for_and_on_offer(portal: Portal) -> None:
    page, path = await portal.open(), f"subscriptions/{portal.subscription}/cancel"
    assert (await portal.post(page, path, feedback="low_quality")).status == 400
    assert (await portal.post(page, path, comment="x" * 501)).status == 400
    reasons = {"enabled": False, "options": ["unused"]}
    await portal.configure(subscription_cancel={"enabled": True, "cancellation_reason": reasons})
    assert (await portal.post(page, path, feedback="unused")).status == 403
    assert (await portal.current()).cancel_at is None
    assert (await portal.post(page, path)).status == 303
