"""Changes that the portal previews, defers, discounts, pauses, and takes back."""

from typing import Any

import pytest

from tests.sandbox.conftest import Wire
from tests.sandbox.hosted import Portal, everything, portal, subscribe

__all__ = ["portal"]

DAY = 24 * 3600


async def configure_update(portal: Portal, **others: Any) -> None:
    await portal.configure(subscription_update=everything(portal.shop)["subscription_update"] | others)


async def code(portal: Portal, **coupon: Any) -> str:
    made = await portal.sdk.coupons.create_async({"percent_off": 50, "duration": "forever"} | coupon)
    await portal.sdk.promotion_codes.create_async({"promotion": {"type": "coupon", "coupon": made.id}, "code": "HALF"})
    return str(made.id)


async def test_a_prorated_switch_shows_what_is_due_and_then_charges_just_that(portal: Portal, wire: Wire) -> None:
    await configure_update(portal, proration_behavior="always_invoice")
    await wire.control("advance", {"seconds": 10 * DAY})
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    confirm = await portal.browser.submit(choose, "Continue", price=portal.shop.monthly, quantity="3")
    assert "Unused time on 1" in confirm.text
    assert "Due today" in confirm.text
    before = (await portal.current()).latest_invoice
    await portal.browser.submit(confirm, "Confirm")
    subscription = await portal.current()
    invoice = await portal.sdk.invoices.retrieve_async(subscription.latest_invoice)
    assert (invoice.id != before, invoice.status) == (True, "paid")
    assert f"Due today ${invoice.amount_due / 100:.2f}" in confirm.text


async def test_a_preview_changes_nothing(portal: Portal) -> None:
    before, count = await portal.current(), len(await portal.events())
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    page = await portal.browser.submit(choose, "Continue", price=portal.shop.yearly, quantity="2")
    assert "Due today $180.00" in page.text
    assert await portal.current() == before
    # The session itself is the one new event.
    assert len(await portal.events()) == count + 1


async def test_prorations_that_wait_are_shown_with_the_next_invoice(portal: Portal) -> None:
    await configure_update(portal, proration_behavior="create_prorations")
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    page = await portal.browser.submit(choose, "Continue", quantity="2")
    assert "Due on" in page.text
    assert "Remaining time on 2" in page.text
    await portal.browser.submit(page, "Confirm")
    items = (await portal.sdk.invoice_items.list_async({"pending": True})).data
    assert sorted(item.amount for item in items) == [-1000, 2000]


async def test_a_billing_cycle_that_moves_bills_today(portal: Portal, wire: Wire) -> None:
    await configure_update(portal, billing_cycle_anchor="now")
    await wire.control("advance", {"seconds": 5 * DAY})
    before = (await portal.current())["items"].data[0].current_period_end
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    page = await portal.browser.submit(choose, "Continue", quantity="2")
    assert "a new billing period starts" in page.text
    assert "Due today $20.00" in page.text
    await portal.browser.submit(page, "Confirm")
    assert (await portal.current())["items"].data[0].current_period_end > before


async def test_a_downgrade_waits_for_the_end_of_the_period_and_can_be_taken_back(portal: Portal) -> None:
    conditions = [{"type": "decreasing_item_amount"}, {"type": "shortening_interval"}]
    await configure_update(portal, schedule_at_period_end={"conditions": conditions})
    await portal.sdk.subscriptions.update_async(portal.subscription, {"items": [{"id": portal.item, "quantity": 3}]})
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    confirm = await portal.browser.submit(choose, "Continue", quantity="1")
    assert "Nothing changes until" in confirm.text
    page = await portal.browser.submit(confirm, "Confirm")
    assert "will change at the end of the billing period" in page.text
    assert "Changes to Gold ($10.00 per month) on" in page.text
    assert not page.offers("Update plan")
    assert not page.offers("Pause plan")
    subscription = await portal.current()
    assert (subscription["items"].data[0].quantity, subscription.schedule is None) == (3, False)
    assert (await portal.post(page, f"subscriptions/{portal.subscription}/update", quantity="2")).status == 409
    page = await portal.browser.submit(page, "Keep current plan")
    assert "will stay as it is" in page.text
    assert page.offers("Update plan")
    assert (await portal.current()).schedule is None
    assert (await portal.post(page, f"subscriptions/{portal.subscription}/withdraw")).status == 409


async def test_a_deferred_change_happens_at_the_end_of_the_period(portal: Portal, wire: Wire) -> None:
    await configure_update(portal, schedule_at_period_end={"conditions": [{"type": "decreasing_item_amount"}]})
    await portal.sdk.subscriptions.update_async(portal.subscription, {"items": [{"id": portal.item, "quantity": 2}]})
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    await portal.browser.submit(await portal.browser.submit(choose, "Continue", quantity="1"), "Confirm")
    await wire.control("advance", {"seconds": 32 * DAY})
    assert (await portal.current())["items"].data[0].quantity == 1


async def test_canceling_ends_a_planned_change(portal: Portal) -> None:
    await configure_update(portal, schedule_at_period_end={"conditions": [{"type": "decreasing_item_amount"}]})
    await portal.sdk.subscriptions.update_async(portal.subscription, {"items": [{"id": portal.item, "quantity": 2}]})
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    page = await portal.browser.submit(await portal.browser.submit(choose, "Continue", quantity="1"), "Confirm")
    await portal.browser.submit(await portal.browser.follow(page, "Cancel plan"), "Cancel plan")
    subscription = await portal.current()
    assert (subscription.schedule, subscription.cancel_at is None) == (None, False)


async def test_a_promotion_code_is_taken_only_where_it_is_allowed(portal: Portal) -> None:
    await code(portal)
    page = await portal.open()
    assert (await portal.post(page, f"subscriptions/{portal.subscription}/update", code="HALF")).status == 403
    await configure_update(portal, default_allowed_updates=["promotion_code"])
    choose = await portal.browser.follow(page, "Update plan")
    assert (await portal.browser.submit(choose, "Continue", code="NONE")).status == 400
    confirm = await portal.browser.submit(choose, "Continue", code=" half ")
    assert "Your discount applies from now on." in confirm.text
    assert "Due on" in confirm.text
    assert "$5.00" in confirm.text
    page = await portal.browser.submit(confirm, "Confirm")
    subscription = await portal.sdk.subscriptions.retrieve_async(portal.subscription, {"expand": ["discounts"]})
    assert subscription.discounts[0].promotion_code is not None
    assert "has been updated" in page.text


async def test_a_confirm_flow_gives_its_discount_once(portal: Portal) -> None:
    coupon = (await portal.sdk.coupons.create_async({"percent_off": 20, "duration": "forever"})).id
    about = {
        "subscription": portal.subscription,
        "items": [{"id": portal.item, "quantity": 7}],
        "discounts": [{"coupon": coupon}],
    }
    flow = {"type": "subscription_update_confirm", "subscription_update_confirm": about}
    page = await portal.open(flow_data=flow)
    assert "$70.00 per month" in page.text
    base = page.url.partition("/confirm")[0]
    other = await portal.browser.get(f"{base}/confirm?price={portal.shop.yearly}&quantity=2")
    assert "Discount" not in other.text
    await portal.browser.submit(page, "Confirm")
    subscription = await portal.current()
    assert (subscription["items"].data[0].quantity, len(subscription.discounts)) == (7, 1)
    assert "Current subscription" in (await portal.browser.get(page.url.partition("/subscriptions")[0])).text


async def test_a_retention_coupon_keeps_the_customer(portal: Portal) -> None:
    coupon = (
        await portal.sdk.coupons.create_async({"percent_off": 25, "duration": "repeating", "duration_in_months": 3})
    ).id
    about = {
        "subscription": portal.subscription,
        "retention": {"type": "coupon_offer", "coupon_offer": {"coupon": coupon}},
    }
    flow = {"type": "subscription_cancel", "subscription_cancel": about}
    page = await portal.open(flow_data=flow)
    assert "25% off for 3 months" in page.text
    home = await portal.browser.submit(page, "Accept offer")
    assert "Your discount has been applied." in home.text
    subscription = await portal.current()
    assert (subscription.cancel_at, len(subscription.discounts)) == (None, 1)
    again = await portal.browser.get(f"{page.url}")
    assert not again.offers("Accept offer")
    assert (await portal.post(home, f"subscriptions/{portal.subscription}/stay")).status == 403
    plain = await portal.browser.follow(await portal.open(), "Cancel plan")
    assert not plain.offers("Accept offer")


async def test_a_business_own_reason_is_recorded(portal: Portal) -> None:
    own = (await portal.sdk.billing.feedback_options.create_async({"description": "Moving abroad"})).id
    reason = {"enabled": True, "options": ["unused"], "feedback_options": [own]}
    await portal.configure(subscription_cancel={"enabled": True, "cancellation_reason": reason})
    asked = await portal.browser.follow(await portal.open(), "Cancel plan")
    assert "Moving abroad" in asked.text
    await portal.browser.submit(asked, "Cancel plan", feedback=own)
    details = (await portal.current()).cancellation_details
    assert (details.feedback, details.feedback_option) == (None, own)


PAUSE = {
    "enabled": True,
    "duration": {"type": "interval_options", "interval_options": [{"interval": "week", "interval_count": 2}]},
}


async def test_a_pause_ends_when_its_time_is_over(portal: Portal, wire: Wire) -> None:
    await portal.configure(subscription_pause=PAUSE)
    asked = await portal.browser.follow(await portal.open(), "Pause plan")
    assert "2 weeks" in asked.text
    bad = await portal.browser.submit(asked, "Pause plan", duration="9-year")
    assert (bad.status, (await portal.current()).status) == (400, "active")
    before = len(await portal.events())
    page = await portal.browser.submit(asked, "Pause plan")
    assert "Your plan has been paused." in page.text
    assert "Resumes on" in page.text
    assert (await portal.current()).status == "paused"
    assert [event.type for event in await portal.events(before)] == [
        "customer.subscription.updated",
        "customer.subscription.paused",
    ]
    await wire.control("advance", {"seconds": 14 * DAY + 1})
    assert (await portal.current()).status == "active"


async def test_a_pause_without_end_is_ended_by_the_customer(portal: Portal, wire: Wire) -> None:
    await portal.configure(subscription_pause={"enabled": True, "duration": {"type": "indefinite"}})
    page = await portal.browser.submit(await portal.browser.follow(await portal.open(), "Pause plan"), "Pause plan")
    await wire.control("advance", {"seconds": 50 * DAY})
    assert (await portal.current()).status == "paused"
    page = await portal.browser.submit(await portal.open(), "Resume plan")
    assert "Your plan has been resumed." in page.text
    assert (await portal.current()).status == "active"
    assert (await portal.post(page, f"subscriptions/{portal.subscription}/resume")).status == 409


@pytest.mark.parametrize("path", ["pause", "resume"])
async def test_pausing_is_refused_while_the_feature_is_off(portal: Portal, path: str) -> None:
    page = await portal.open()
    assert not page.offers("Pause plan")
    answer = await portal.post(page, f"subscriptions/{portal.subscription}/{path}", duration="2-week")
    assert (answer.status, (await portal.current()).status) == (403, "active")


async def test_the_pause_flow_leads_to_its_step_and_to_the_confirmation(portal: Portal) -> None:
    await portal.configure(subscription_pause=PAUSE)
    message = {"custom_message": "See you soon."}
    flow = {
        "type": "subscription_pause",
        "subscription_pause": {"subscription": portal.subscription},
        "after_completion": {"type": "hosted_confirmation", "hosted_confirmation": message},
    }
    page = await portal.open(flow_data=flow)
    done = await portal.browser.submit(page, "Pause plan")
    assert "See you soon." in done.text
    again = await portal.browser.get(done.url.partition("/done")[0])
    assert "Paused" in again.text


async def test_a_declined_charge_leaves_the_plan_as_it_was(portal: Portal) -> None:
    bad = await portal.sdk.payment_methods.attach_async(
        "pm_card_chargeCustomerFail", {"customer": portal.shop.customer}
    )
    await portal.sdk.customers.update_async(
        portal.shop.customer, {"invoice_settings": {"default_payment_method": bad.id}}
    )
    before = await portal.current()
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    page = await portal.browser.submit(choose, "Continue", price=portal.shop.yearly, quantity="1")
    assert (page.status, "declined" in page.text) == (402, True)
    assert await portal.current() == before


async def test_another_subscription_cannot_be_paused_or_resumed(portal: Portal) -> None:
    await portal.configure(subscription_pause=PAUSE)
    hidden = await subscribe(portal.sdk, portal.shop, on_behalf_of=None, transfer_data=None)
    page = await portal.open()
    for path in ("pause", "resume", "stay", "withdraw"):
        answer = await portal.post(page, f"subscriptions/{hidden.id}/{path}", duration="2-week")
        assert answer.status == 404
