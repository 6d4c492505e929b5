"""A subscription that is started on Stripe's own page belongs to the tenant as one that the API starts does."""

from typing import Any

import pytest

from tests.platform.api import ORIGIN, RETURN_URL, Api, TenantApi, problem

PATH = "/customers/ada/checkout-sessions"


async def wanted(tenant: TenantApi, **fields: Any) -> dict[str, Any]:
    """A body that is fine."""
    price = (await tenant.api.sandbox.price(tenant.holder))["id"]
    return {"items": [{"price": price, "quantity": 2}], "success_url": RETURN_URL, **fields}


async def test_the_session_is_the_tenants(fern: TenantApi) -> None:
    await fern.customer()
    reply = await fern.call("POST", PATH, await wanted(fern, trial_period_days=7))
    assert reply.status_code == 201, reply.text
    assert reply.headers["cache-control"] == "no-store"
    key = reply.json()["url"].rpartition("/")[2]
    session = await fern.api.sandbox.call("GET", f"/v1/checkout/sessions/{key}")
    customer = await fern.get("/customers/ada")
    assert session["customer"] == customer["stripe_customer"]
    assert session["metadata"]["colonnade_tenant"] == fern.id


async def test_with_direct_charges_it_is_on_the_connected_account(api: Api) -> None:
    tenant = await api.tenant(charge_type="direct")
    await tenant.customer()
    reply = await tenant.call("POST", PATH, await wanted(tenant))
    key = reply.json()["url"].rpartition("/")[2]
    found = await api.sandbox.call("GET", f"/v1/checkout/sessions/{key}", account=tenant.account)
    assert found["success_url"] == RETURN_URL


async def test_the_same_key_again_is_the_same_page(fern: TenantApi) -> None:
    await fern.customer()
    body = await wanted(fern)
    first, again = [(await fern.call("POST", PATH, body, idempotency_key="a")).json() for _ in range(2)]
    assert first == again
    assert (await fern.call("POST", PATH, body)).json()["url"] != first["url"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"items": []}, "items"),
        ({"items": [{"price": "a b"}]}, "items[0].price"),
        ({"items": [{"price": "price_1", "quantity": -1}]}, "items[0].quantity"),
        ({"success_url": "https://evil.example/"}, "success_url"),
        ({"success_url": f"{ORIGIN}@evil.example/"}, "success_url"),
        ({"cancel_url": "javascript:alert(1)"}, "cancel_url"),
        ({"trial_period_days": 0}, "trial_period_days"),
        ({"on_behalf_of": "acct_1"}, "on_behalf_of"),
        ({"customer": "cus_1"}, "customer"),
    ],
)
async def test_bad_input_is_named_and_asks_stripe_nothing(fern: TenantApi, change: dict[str, Any], param: str) -> None:
    await fern.customer()
    body = await wanted(fern) | change
    before = await fern.api.sandbox.requests()
    problem(await fern.call("POST", PATH, body), 400, param)
    assert await fern.api.sandbox.requests() == before


async def test_another_tenant_starts_nothing(fern: TenantApi, kiln: TenantApi) -> None:
    await fern.customer()
    body = await wanted(fern)
    problem(await fern.call("POST", PATH, body, key=kiln.key), 404, "tenant")
    problem(await kiln.call("POST", PATH, body), 404, "reference")
    assert await fern.api.sandbox.requests(path="/v1/checkout/sessions") == []
