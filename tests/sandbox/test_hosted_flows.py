"""Portal sessions that lead straight to one step, and the pages after it."""

from typing import Any

import pytest

from tests.sandbox.hosted import Portal, portal

__all__ = ["portal"]

BACK = "https://shop.example/done"
AFTER: dict[str, dict[str, Any]] = {
    "redirect": {"type": "redirect", "redirect": {"return_url": BACK}},
    "hosted_confirmation": {
        "type": "hosted_confirmation",
        "hosted_confirmation": {"custom_message": "Thanks <b>Ann</b>"},
    },
    "portal_homepage": {"type": "portal_homepage"},
}


def flow(portal: Portal, kind: str, after: str = "redirect") -> dict[str, Any]:
    data: dict[str, Any] = {"type": kind, "after_completion": AFTER[after]}
    if kind.startswith("subscription"):
        data[kind] = {"subscription": portal.subscription}
    if kind == "subscription_update_confirm":
        data[kind]["items"] = [{"id": portal.item, "price": portal.shop.yearly, "quantity": 2}]
    return data


@pytest.mark.parametrize(
    ("kind", "heading", "button"),
    [
        ("subscription_cancel", "Cancel your plan", "Cancel plan"),
        ("subscription_update_confirm", "Confirm your updates", "Confirm"),
        ("payment_method_update", "Add payment method", "Add"),
        ("customer_update", "Billing information", "Save"),
    ],
)
async def test_a_flow_opens_its_step_and_ends_where_it_says(
    portal: Portal, kind: str, heading: str, button: str
) -> None:
    page = await portal.open(flow_data=flow(portal, kind))
    assert heading in page.text
    assert page.link("← Return to Aurora") == "https://shop.example/account"
    assert "form-action 'self' http: https:;" in page.headers["content-security-policy"]
    done = await portal.browser.submit(page, button, follow=False)
    assert (done.status, done.headers["location"]) == (303, BACK)


async def test_an_update_flow_goes_over_the_choice_to_its_end(portal: Portal) -> None:
    page = await portal.open(flow_data=flow(portal, "subscription_update"))
    assert "Choose a plan" in page.text
    page = await portal.browser.submit(page, "Continue", price=portal.shop.yearly)
    done = await portal.browser.submit(page, "Confirm", follow=False)
    assert done.headers["location"] == BACK
    assert (await portal.current())["items"].data[0].price.id == portal.shop.yearly


async def test_a_confirm_flow_may_set_what_a_customer_may_not(portal: Portal) -> None:
    update = {"enabled": True, "default_allowed_updates": ["price"]}
    await portal.configure(subscription_update=update)
    page = await portal.open(flow_data=flow(portal, "subscription_update_confirm"))
    assert "$180.00 per year" in page.text
    assert (await portal.browser.submit(page, "Confirm", follow=False, quantity="3")).status == 403
    assert (await portal.browser.submit(page, "Confirm", follow=False)).status == 303
    item = (await portal.current())["items"].data[0]
    assert (item.price.id, item.quantity) == (portal.shop.yearly, 2)


async def test_a_hosted_confirmation_shows_the_message_as_text(portal: Portal) -> None:
    page = await portal.open(flow_data=flow(portal, "subscription_cancel", "hosted_confirmation"))
    done = await portal.browser.submit(page, "Cancel plan")
    assert "Your subscription will be canceled." in done.text
    assert "Thanks <b>Ann</b>" in done.text
    assert "b" not in done.tags
    assert done.link("Return to Aurora") == "https://shop.example/account"


async def test_after_the_homepage_flow_the_link_stays_on_the_homepage(portal: Portal) -> None:
    url = await portal.session(flow_data=flow(portal, "subscription_cancel", "portal_homepage"))
    done = await portal.browser.submit(await portal.browser.get(url), "Cancel plan")
    assert "Current subscription" in done.text
    assert "Current subscription" in (await portal.browser.get(url)).text


async def test_a_payment_method_flow_makes_the_new_card_the_default(portal: Portal) -> None:
    page = await portal.open(flow_data=flow(portal, "payment_method_update"))
    assert "default" not in page.form("Add").fields
    await portal.browser.submit(page, "Add", follow=False, card="amex")
    customer = await portal.sdk.customers.retrieve_async(
        portal.shop.customer, {"expand": ["invoice_settings.default_payment_method"]}
    )
    assert customer.invoice_settings.default_payment_method.card.brand == "amex"


async def test_a_flow_is_refused_once_its_feature_is_off(portal: Portal) -> None:
    url = await portal.session(flow_data=flow(portal, "subscription_cancel"))
    await portal.configure(subscription_cancel={"enabled": False})
    assert (await portal.browser.get(url)).status == 403


async def test_the_confirmation_belongs_to_its_flow(portal: Portal) -> None:
    page = await portal.open()
    assert "Current subscription" in (await portal.browser.get(f"{page.url}/done")).text
