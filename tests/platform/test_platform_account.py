"""A database belongs to one platform account, in one mode: another one's key does nothing on it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from colonnade.database.connections import connect, create_pool
from colonnade.database.roles import Duty
from colonnade.errors import StripeUnavailable, WrongAccount
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.provision import provision, recorded, remove_old
from colonnade.webhooks.sweeping import sweep_now
from tests.platform.api import BASE_URL, NOWHERE, PLENTY, Api, Sandbox, problem, running_api

pytestmark = pytest.mark.asyncio(loop_scope="module")


def of(sandbox: Sandbox, url: str | None = None) -> Settings:
    return Settings(stripe_api_key=sandbox.key, stripe_api_base=url or sandbox.url, stripe_budget_percent=PLENTY)


@pytest.fixture
def other(sandbox: Sandbox) -> Sandbox:
    """Another platform account at the same Stripe."""
    return Sandbox(sandbox.url)


@pytest.fixture
async def database(api: Api) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(api.database.service_url, Duty.PLATFORM)
    await connection.execute("delete from webhook_endpoints")
    yield connection
    await connection.close()


async def test_the_first_call_notes_the_account(api: Api) -> None:
    own = (await api.sandbox.call("GET", "/v1/account"))["id"]
    rows = await api.sql("select account, livemode from platform_account")
    assert [tuple(row) for row in rows] == [(own, False)]


async def test_another_accounts_key_makes_and_removes_no_endpoint(
    api: Api, other: Sandbox, database: asyncpg.Connection
) -> None:
    gateway = StripeGateway(of(api.sandbox))
    gateway.belong(database)
    await provision(database, gateway.platform, BASE_URL)
    await provision(database, gateway.platform, BASE_URL, roll=True)
    await gateway.close()
    before = await recorded(database)

    wrong = StripeGateway(of(other))
    wrong.belong(database)
    for attempt in (provision(database, wrong.platform, BASE_URL), remove_old(database, wrong.platform)):
        with pytest.raises(WrongAccount, match="another platform account than the database"):
            await attempt
    await wrong.close()
    assert await recorded(database) == before
    assert (await other.call("GET", "/v1/webhook_endpoints"))["data"] == []


async def test_another_accounts_key_takes_no_tenant_for_disconnected(api: Api, other: Sandbox) -> None:
    fern = await api.tenant()
    gateway = StripeGateway(of(other))
    async with await create_pool(api.database.service_url, Duty.WORKER, size=2) as pool:
        gateway.use(pool)
        for call in (gateway.account(fern.account).get("/v1/customers"), gateway.platform.post("/v1/customers", {})):
            with pytest.raises(WrongAccount):
                await call
    await gateway.close()
    with pytest.raises(WrongAccount):
        await sweep_now(of(other), api.database.service_url, None, resync=False, progress=lambda *_: None)
    assert (await api.call("GET", f"/v1/tenants/{fern.id}")).json()["state"] != "disconnected"
    assert (await other.call("GET", "/v1/customers"))["data"] == []


async def test_a_request_under_another_accounts_key_is_answered_503_without_ids(api: Api, other: Sandbox) -> None:
    async with running_api(api.database, other, stripe=other.url) as wrong:
        found = problem(await wrong.call("POST", "/v1/tenants", {"name": "Fern", "country": "DE"}), 503)
    assert "another platform account" in found["detail"]
    assert "acct_" not in found["detail"]
    assert (await other.call("GET", "/v1/accounts"))["data"] == []


async def test_while_stripe_cannot_be_asked_nothing_is_settled(api: Api, database: asyncpg.Connection) -> None:
    gateway = StripeGateway(of(api.sandbox, NOWHERE))
    gateway.belong(database)
    with pytest.raises(StripeUnavailable) as raised:
        await gateway.platform.get("/v1/prices")
    assert not isinstance(raised.value, WrongAccount)
    await gateway.close()
