"""A tenant whose account left while no event told of it is found out by what Stripe answers, and by nothing less."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from colonnade.accounts.at_stripe import is_out_of_reach
from colonnade.accounts.looking import BY, REFUSED, Whose, look
from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.errors import DomainError, StripeRefused, StripeUnavailable
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.stripe_api.failures import translated
from colonnade.webhooks.sweeping import sweep_now
from tests.platform.api import NOWHERE, PLENTY, Api, Sandbox, TenantApi
from tests.platform.test_readiness import worklist


async def leave(tenant: TenantApi) -> None:
    """The account disconnects, and nobody hears of it; a second after whatever was before."""
    await asyncio.sleep(1.1)
    await tenant.api.sandbox.call(
        "POST", "/oauth/deauthorize", {"client_id": "ca_any", "stripe_user_id": tenant.account}
    )


def settings(sandbox: Sandbox, **other: Any) -> Settings:
    given = {"stripe_api_key": sandbox.key, "stripe_api_base": sandbox.url, "stripe_budget_percent": PLENTY}
    return Settings(**{**given, **other})


@asynccontextmanager
async def looking(api: Api, **other: Any) -> AsyncIterator[Any]:
    """Looks at tenants' accounts, with other settings than the application's."""
    gateway = StripeGateway(settings(api.sandbox, **other))
    try:
        async with await create_pool(api.database.service_url, Duty.WORKER, size=1) as pool:

            async def one(tenant: TenantApi) -> Any:
                (row,) = await api.sql("select id from tenants where public_id = $1", tenant.id)
                return await look(gateway, pool, Whose(row["id"], tenant.account))

            yield one
    finally:
        await gateway.close()


async def restricted(sandbox: Sandbox, noun: str) -> str:
    """A key of the platform's that may read this alone."""
    headers, wanted = {"Authorization": f"Bearer {sandbox.key}"}, {"permissions": {noun: "read"}}
    async with httpx.AsyncClient(base_url=sandbox.url, trust_env=False) as client:
        reply = await client.post("/_sandbox/restricted_keys", json=wanted, headers=headers)
    return str(reply.json()["key"])


async def test_a_look_at_readiness_disconnects_and_the_ways_back_are_open(api: Api, fern: TenantApi) -> None:
    assert (await fern.get("/readiness"))["state"] == "onboarding"
    await leave(fern)
    assert (await fern.get("/readiness"))["state"] == "disconnected"
    found = (await fern.call("GET", "/lifecycle", key=api.key)).json()
    assert (found["state"], found["by"], found["reason"]) == ("disconnected", BY, REFUSED)
    assert fern.id in await worklist(api, "disconnected")
    (change, _) = (await fern.get("/readiness/history"))["data"]
    assert (change["state"], change["cause"]) == ("disconnected", "read")
    back = {"reason": "Another account"}
    made = (await api.sandbox.call("POST", "/v1/accounts", {"country": "DE", "type": "express"}))["id"]
    returned = await fern.call("POST", "/reconnect", back | {"account": made}, key=api.key)
    assert (returned.status_code, returned.json()["state"]) == (200, "onboarding"), returned.text


async def test_a_sweep_disconnects_and_goes_on_with_the_others(api: Api, fern: TenantApi, kiln: TenantApi) -> None:
    assert (await kiln.get("/readiness"))["state"] == "onboarding"
    await leave(fern)
    url = api.database.service_url
    found = await sweep_now(settings(api.sandbox), url, None, resync=False, progress=lambda *_: None)
    assert found.disconnected == [fern.account]
    assert (await fern.get("/lifecycle"))["state"] == "disconnected"
    assert (await kiln.get("/lifecycle"))["state"] == "onboarding"
    (swept,) = await api.sql("select problem from sweeps where account = $1", kiln.account)
    assert swept["problem"] is None, "the others are swept"


async def test_no_outage_and_no_wrong_key_disconnects(api: Api, fern: TenantApi) -> None:
    """Also of a tenant whose account has left: who asks with that key cannot know."""
    assert (await fern.get("/readiness"))["state"] == "onboarding"
    await leave(fern)
    other = Sandbox(api.sandbox.url)
    await other.call("GET", "/v1/account")
    blind, half = [await restricted(api.sandbox, noun) for noun in ("customers", "accounts")]
    for wrong, raised in (
        ({"stripe_api_key": blind}, StripeRefused),  # it may not read accounts
        ({"stripe_api_key": half}, StripeRefused),  # it may, but not say whose key it is
        ({"stripe_api_key": other.key}, StripeRefused),  # of another platform
        ({"stripe_api_key": "sk_test_"}, StripeUnavailable),  # expired
        ({"stripe_api_base": NOWHERE}, StripeUnavailable),
    ):
        async with looking(api, **wrong) as one:
            with pytest.raises(raised):
                await one(fern)
        assert (await fern.get("/lifecycle"))["state"] == "onboarding", wrong
    async with looking(api) as one:
        for status in (429, 500, 503):
            await api.sandbox.fail(next=9, status=status, path="/v1/account")
            with pytest.raises(StripeUnavailable):
                await one(fern)
            await api.sandbox.fail()
            assert (await fern.get("/lifecycle"))["state"] == "onboarding", status
        assert await one(fern) is None
    assert (await fern.get("/lifecycle"))["state"] == "disconnected"


CODES = st.sampled_from(
    ["account_invalid", "resource_missing", "api_key_expired", "rate_limit", "platform_api_key", None]
)
KINDS: dict[int, type[stripe.StripeError]] = {
    401: stripe.AuthenticationError,
    403: stripe.PermissionError,
    409: stripe.APIError,
    429: stripe.RateLimitError,
}


@given(status=st.sampled_from([200, 400, 401, 402, 403, 404, 409, 429, 500, 502, 503, None]), code=CODES)
def test_of_stripes_answers_two_alone_say_that_an_account_is_out_of_reach(status: int | None, code: str | None) -> None:
    body = {"error": {"message": "No.", "code": code}}
    if status is None:
        error: stripe.StripeError = stripe.APIConnectionError("No answer.")  # type: ignore[no-untyped-call]
    elif status in (400, 402, 404):
        said = {"code": code, "http_status": status, "json_body": body}
        error = stripe.InvalidRequestError("No.", None, **said)  # type: ignore[no-untyped-call]
    else:
        error = KINDS.get(status, stripe.APIError)("No.", http_status=status, json_body=body)
    found: DomainError = translated(error, 1)
    refused = code == "account_invalid" and status in (400, 402, 403, 404)
    assert is_out_of_reach(found) is (refused or (status, code) == (404, "resource_missing"))
