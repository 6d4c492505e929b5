"""The preflight's word against what the local Stripe's portal really does, situation by situation.

Each situation of a subscription is tried with several configurations: what the home page offers for it, and where each
flow ends. The truth is asked of Stripe directly; the prediction comes by the API.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest

from colonnade.portals.flows import AnyFlow, flow_data
from tests.platform.api import RETURN_URL, TenantApi

pytestmark = pytest.mark.slow

CARD = "pm_card_visa"
STEPS = {
    "customer_update": "/customer",
    "payment_method_update": "/payment-methods/new",
    "subscription_cancel": "/subscriptions/{}/cancel",
    "subscription_pause": "/subscriptions/{}/pause",
    "subscription_update": "/subscriptions/{}/update",
    "subscription_update_confirm": "/subscriptions/{}/update/confirm",
}
ON_THE_PAGE = ("cancel", "keep", "update", "pause", "resume", "withdraw")


@dataclass
class Stage:
    """A tenant with prices of one product, configurations that offer them, and a customer."""

    tenant: TenantApi
    customer: str
    prices: dict[str, str]
    foreign: str

    async def subscribe(self, price: str = "basic", form: dict[str, str] | None = None, *, pay: bool = True) -> str:
        """A subscription in the tenant's name, unless *form* says otherwise."""
        if pay:
            await self.pay(CARD)
        given = {"customer": self.customer, "items[0][price]": self.prices[price], "on_behalf_of": self.tenant.account}
        found = await self.tenant.api.sandbox.call("POST", "/v1/subscriptions", {**given, **(form or {})})
        return str(found["id"])

    async def pay(self, card: str) -> None:
        method = await self.tenant.api.sandbox.call(
            "POST", f"/v1/payment_methods/{card}/attach", {"customer": self.customer}
        )
        form = {"invoice_settings[default_payment_method]": method["id"]}
        await self.tenant.api.sandbox.call("POST", f"/v1/customers/{self.customer}", form)

    async def change(self, subscription: str, form: dict[str, str]) -> str:
        await self.tenant.api.sandbox.call("POST", f"/v1/subscriptions/{subscription}", form)
        return subscription


async def active(stage: Stage) -> str:
    return await stage.subscribe()


async def trialing(stage: Stage) -> str:
    return await stage.subscribe(form={"trial_period_days": "14"})


async def trialing_without_payment_method(stage: Stage) -> str:
    return await stage.subscribe(form={"trial_period_days": "14"}, pay=False)


async def billed_by_hand(stage: Stage) -> str:
    return await stage.subscribe(form={"collection_method": "send_invoice", "days_until_due": "7"}, pay=False)


async def without_on_behalf_of(stage: Stage) -> str:
    return await stage.subscribe(form={"on_behalf_of": ""})


async def of_another_merchant(stage: Stage) -> str:
    return await stage.subscribe(form={"on_behalf_of": stage.foreign})


async def cancelling(stage: Stage) -> str:
    return await stage.change(await stage.subscribe(), {"cancel_at_period_end": "true"})


async def with_a_pending_change(stage: Stage) -> str:
    found = await stage.subscribe("pro")
    sandbox = stage.tenant.api.sandbox
    schedule = await sandbox.call("POST", "/v1/subscription_schedules", {"from_subscription": found})
    now = schedule["phases"][0]
    form = {
        "phases[0][start_date]": str(now["start_date"]),
        "phases[0][end_date]": str(now["end_date"]),
        "phases[0][items][0][price]": stage.prices["pro"],
        "phases[1][items][0][price]": stage.prices["basic"],
    }
    await sandbox.call("POST", f"/v1/subscription_schedules/{schedule['id']}", form)
    return found


async def several_items(stage: Stage) -> str:
    return await stage.subscribe(form={"items[1][price]": stage.prices["extra"]})


async def metered(stage: Stage) -> str:
    return await stage.subscribe("metered")


async def incomplete(stage: Stage) -> str:
    await stage.pay("pm_card_chargeCustomerFail")
    return await stage.subscribe(pay=False)


async def classic(stage: Stage) -> str:
    return await stage.subscribe(form={"billing_mode[type]": "classic"})


async def ended(stage: Stage) -> str:
    found = await stage.subscribe()
    await stage.tenant.api.sandbox.call("DELETE", f"/v1/subscriptions/{found}")
    return found


async def paused(stage: Stage) -> str:
    found = await stage.subscribe()
    session = await _session(stage, "everything", {"type": "subscription_pause", "subscription": found})
    async with httpx.AsyncClient(trust_env=False, verify=False, follow_redirects=True) as client:  # noqa: S501
        page = await client.get(session.json()["url"])
        token = re.search(r'name="csrf_token" value="(\w+)"', page.text)
        assert token is not None
        choice = re.search(r'name="duration"[^>]*value="([^"]*)"', page.text)
        form = {"csrf_token": token[1], "duration": choice[1] if choice else ""}
        assert (await client.post(str(page.url), data=form)).status_code == 200
    return found


async def on_a_price_that_is_not_offered(stage: Stage) -> str:
    return await stage.subscribe("extra")


async def in_another_currency(stage: Stage) -> str:
    return await stage.subscribe("dollars")


SITUATIONS: list[Callable[[Stage], Awaitable[str]]] = [
    active,
    trialing,
    trialing_without_payment_method,
    billed_by_hand,
    without_on_behalf_of,
    of_another_merchant,
    cancelling,
    with_a_pending_change,
    several_items,
    metered,
    incomplete,
    classic,
    ended,
    paused,
    on_a_price_that_is_not_offered,
    in_another_currency,
]


def configurations(product: str, prices: dict[str, str]) -> dict[str, dict[str, Any]]:
    def update(*listed: str, **fields: Any) -> dict[str, Any]:
        offered: dict[str, Any] = {"product": product, "prices": [prices[name] for name in listed]}
        if fields.pop("adjustable", False):
            offered["adjustable_quantity"] = {"enabled": True, "minimum": 1, "maximum": 9}
        return {"enabled": True, "default_allowed_updates": ["price"], "products": [offered], **fields}

    on = {"enabled": True}
    everything = {
        "customer_update": on | {"allowed_updates": ["email"]},
        "invoice_history": on,
        "payment_method_update": on,
        "subscription_cancel": on,
        "subscription_pause": on,
        "subscription_update": update("basic", "pro", "yearly", adjustable=True),
    }
    charging = update("basic", "pro", proration_behavior="always_invoice")
    waiting = {"schedule_at_period_end": {"conditions": [{"type": "decreasing_item_amount"}]}}
    return {
        "everything": everything,
        "charging": {**everything, "subscription_update": charging},
        "waiting": {**everything, "subscription_update": update("basic", "pro", **waiting)},
        "one-price": {**everything, "subscription_update": update("basic")},
        "quantity": {
            **everything,
            "subscription_update": update("basic", adjustable=True, default_allowed_updates=["quantity"]),
        },
        "codes": {"subscription_update": {"enabled": True, "default_allowed_updates": ["promotion_code"]}},
        "archived": {**everything, "subscription_update": update("basic", "old")},
        "invoices": {"invoice_history": on},
    }


@pytest.fixture
async def stage(fern: TenantApi, kiln: TenantApi) -> Stage:
    sandbox = fern.api.sandbox
    basic = await sandbox.price()
    product = basic["product"]
    prices = {"basic": basic["id"]}
    for name, amount in (("pro", 1900), ("old", 500)):
        prices[name] = (await sandbox.price(product=product, amount=amount))["id"]
    prices["extra"] = (await sandbox.price())["id"]
    recurring = {"product": product, "unit_amount": "9000", "currency": "eur", "recurring[interval]": "year"}
    prices["yearly"] = (await sandbox.call("POST", "/v1/prices", recurring))["id"]
    dollars = {"product": product, "unit_amount": "1000", "currency": "usd", "recurring[interval]": "month"}
    prices["dollars"] = (await sandbox.call("POST", "/v1/prices", dollars))["id"]
    meter = {"display_name": "m", "event_name": "m", "default_aggregation[formula]": "sum"}
    by_usage = {**dollars, "currency": "eur", "recurring[usage_type]": "metered"}
    by_usage["recurring[meter]"] = await _meter(sandbox, meter)
    prices["metered"] = (await sandbox.call("POST", "/v1/prices", by_usage))["id"]
    for name, features in configurations(product, prices).items():
        await fern.put(f"/portal-configurations/{name}", {"features": features, "default_return_url": RETURN_URL})
    await sandbox.call("POST", f"/v1/prices/{prices['old']}", {"active": "false"})
    customer = (await fern.customer("ada"))["stripe_customer"]
    return Stage(fern, customer, prices, kiln.account)


async def _meter(sandbox: Any, form: dict[str, str]) -> str:
    try:
        return str((await sandbox.call("POST", "/v1/billing/meters", form))["id"])
    except AssertionError:  # it may have none, and take any name
        return "mtr_1"


def flows(stage: Stage, subscription: str, item: str) -> list[dict[str, Any]]:
    def confirm(**change: Any) -> dict[str, Any]:
        items = [{"id": item, **change}]
        return {"type": "subscription_update_confirm", "subscription": subscription, "items": items}

    return [
        {"type": "customer_update"},
        {"type": "payment_method_update"},
        {"type": "subscription_cancel", "subscription": subscription},
        {"type": "subscription_pause", "subscription": subscription},
        {"type": "subscription_update", "subscription": subscription},
        confirm(price=stage.prices["pro"], quantity=1),
        confirm(price=stage.prices["basic"], quantity=1),
        confirm(price=stage.prices["old"], quantity=1),
        confirm(price=stage.prices["basic"], quantity=12),
    ]


def _form(value: Any, name: str) -> dict[str, str]:
    if isinstance(value, dict):
        return {k: v for key, each in value.items() for k, v in _form(each, f"{name}[{key}]").items()}
    if isinstance(value, list):
        return {k: v for place, each in enumerate(value) for k, v in _form(each, f"{name}[{place}]").items()}
    return {name: str(value)}


async def _session(stage: Stage, configuration: str, flow: dict[str, Any] | None) -> httpx.Response:
    """What Stripe says to such a session."""
    sandbox, made = stage.tenant.api.sandbox, await stage.tenant.get(f"/portal-configurations/{configuration}")
    form = {
        "customer": stage.customer,
        "configuration": made["stripe_configuration"],
        "on_behalf_of": stage.tenant.account,
    }
    if flow is not None:
        form |= _form(flow_data(msgspec.convert(flow, AnyFlow)), "flow_data")
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501
        headers = {"Authorization": f"Bearer {sandbox.key}"}
        return await client.post(f"{sandbox.url}/v1/billing_portal/sessions", data=form, headers=headers)


async def _reaches(stage: Stage, configuration: str, flow: dict[str, Any]) -> bool:
    """Whether the flow's step is there for who opens the session."""
    session = await _session(stage, configuration, flow)
    if session.status_code != 200:
        assert session.status_code in (400, 404), session.text
        return False
    async with httpx.AsyncClient(trust_env=False, verify=False, follow_redirects=True) as client:  # noqa: S501
        page = await client.get(session.json()["url"])
    step = STEPS[flow["type"]].format(flow.get("subscription"))
    return page.status_code == 200 and page.url.path.endswith(step)


async def _on_the_page(stage: Stage, configuration: str, subscription: str) -> set[str]:
    """What the home page offers for the subscription."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501
        page = await client.get((await _session(stage, configuration, None)).json()["url"])
    links = re.findall(rf'(?:href|action)="[^"]*/subscriptions/{subscription}/(\w+)"', page.text)
    return {*links} & {*ON_THE_PAGE}


async def _preview(stage: Stage, configuration: str, flow: dict[str, Any] | None = None) -> dict[str, Any]:
    body = {"configuration": configuration, **({"flow": flow} if flow else {})}
    reply = await stage.tenant.call("POST", "/customers/ada/portal-sessions/preview", body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def _compare(stage: Stage, subscription: str, configuration: str) -> int:
    """How many predictions were compared; each has to be right."""
    sandbox = stage.tenant.api.sandbox
    item = (await sandbox.call("GET", f"/v1/subscriptions/{subscription}"))["items"]["data"][0]["id"]
    seen = (await _preview(stage, configuration))["subscriptions"]
    found: dict[str, Any] = next((each for each in seen if each["id"] == subscription), {"actions": []})
    assert {*found["actions"]} == await _on_the_page(stage, configuration, subscription), (configuration, found)
    wanted = flows(stage, subscription, item)
    for flow in wanted:
        said = (await _preview(stage, configuration, flow))["flow"]
        truth = await _reaches(stage, configuration, flow)
        assert said["ready"] is truth, (configuration, flow, said, truth)
        assert bool(said["reasons"]) is not truth
        assert all(reason["message"].endswith(".") for reason in said["reasons"])
    return len(wanted) + 1


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.__name__)
async def test_the_portal_does_what_the_preflight_said(
    stage: Stage, situation: Callable[[Stage], Awaitable[str]]
) -> None:
    subscription = await situation(stage)
    compared = sum([await _compare(stage, subscription, name) for name in ("everything", "charging")])
    assert compared == 20


@pytest.mark.parametrize("configuration", ["waiting", "one-price", "quantity", "codes", "archived", "invoices"])
async def test_each_configuration_allows_what_was_said(stage: Stage, configuration: str) -> None:
    assert await _compare(stage, await active(stage), configuration) == 10
