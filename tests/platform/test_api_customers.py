"""A tenant's customer is one Stripe customer, made once whatever breaks on the way."""

import asyncio
from typing import Any

import pytest

from colonnade.customers import service
from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.webhooks import directory
from colonnade_tenants import customers as domain
from colonnade_tenants.partition import tenant_connection
from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, Api, TenantApi, problem, running_api

CREATE = "/v1/customers"
WAITING = """
select from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and query ilike '%customers%'
"""
ADA = {"name": "Ada", "email": "ada@example.com", "metadata": {"tier": "gold", "since": "1843"}}


async def test_a_customer_is_made_here_and_at_stripe(fern: TenantApi) -> None:
    made = await fern.put("/customers/ada", ADA)
    assert made["id"].startswith("ecu_")
    assert {name: made[name] for name in ADA} == ADA
    assert await fern.get("/customers/ada") == made
    (found,) = await fern.at_stripe("customers")
    assert found["id"] == made["stripe_customer"]
    assert (found["name"], found["email"]) == ("Ada", "ada@example.com")
    ours = {"colonnade_tenant": fern.id, "colonnade_customer": made["id"], "reference": "ada"}
    assert found["metadata"] == ADA["metadata"] | ours
    owner = await fern.api.sql(
        "select t.public_id from stripe_objects o join tenants t on t.id = o.tenant_id where o.id = $1", found["id"]
    )
    assert [row["public_id"] for row in owner] == [fern.id]


@pytest.mark.alone
async def test_a_direct_tenants_customer_lives_on_its_account(api: Api) -> None:
    direct = await api.tenant(charge_type="direct")
    made = await direct.customer()
    assert [found["id"] for found in await direct.at_stripe("customers")] == [made["stripe_customer"]]
    assert (await api.sandbox.call("GET", CREATE))["data"] == []


async def test_the_same_again_writes_nothing_at_stripe(fern: TenantApi) -> None:
    made = await fern.put("/customers/ada", ADA)
    before = await fern.api.sandbox.requests()
    assert await fern.put("/customers/ada", ADA) == made
    assert await fern.api.sandbox.requests() == before


async def test_a_change_reaches_stripe(fern: TenantApi) -> None:
    made = await fern.put("/customers/ada", ADA)
    changed = await fern.put("/customers/ada", {"email": "ada@new.example", "metadata": {"tier": "silver"}})
    assert changed == made | {"email": "ada@new.example", "metadata": {"tier": "silver"}}
    assert await fern.put("/customers/ada", {}) == changed
    (found,) = await fern.at_stripe("customers")
    assert (found["name"], found["email"]) == ("Ada", "ada@new.example")
    assert found["metadata"]["tier"] == "silver"
    assert "since" not in found["metadata"]
    assert found["metadata"]["reference"] == "ada"


async def test_customers_asked_for_at_once_are_one(fern: TenantApi) -> None:
    made = await asyncio.gather(*(fern.call("PUT", "/customers/ada", ADA) for _ in range(5)))
    assert {reply.status_code for reply in made} == {200}
    assert len({reply.json()["stripe_customer"] for reply in made}) == 1
    assert len(await fern.at_stripe("customers")) == 1


async def test_one_e_mail_address_is_no_identity(fern: TenantApi, kiln: TenantApi) -> None:
    ids = {
        (await tenant.put(f"/customers/{reference}", ADA))["stripe_customer"]
        for tenant, reference in ((fern, "ada"), (fern, "ada-2"), (kiln, "ada"))
    }
    assert len(ids) == 3
    problem(await kiln.call("GET", "/customers/ada-2"), 404, "reference")


async def test_without_stripe_the_customer_is_reserved_and_the_repeat_goes_on(
    shared_database: ScratchDatabase, fern: TenantApi
) -> None:
    async with running_api(shared_database, fern.api.sandbox, stripe=NOWHERE) as down:
        problem(await TenantApi(down, fern.said).call("PUT", "/customers/ada", ADA), 503)
    reserved = await fern.get("/customers/ada")
    assert reserved["stripe_customer"] is None
    await fern.configuration()
    for path in ("portal-sessions", "portal-tokens", "subscriptions"):
        body = {"price": "price_1"} if path == "subscriptions" else {}
        problem(await fern.call("POST", f"/customers/ada/{path}", body), 409, "reference")
    other = await fern.put("/customers/ada", ADA | {"name": "Ada Lovelace"})
    assert other["id"] == reserved["id"]
    (found,) = await fern.at_stripe("customers")
    assert (found["id"], found["name"]) == (other["stripe_customer"], "Ada Lovelace")


async def test_a_lost_answer_of_stripe_makes_no_second_customer(fern: TenantApi) -> None:
    await fern.api.sandbox.fail(next=3, status=503, after=True)
    problem(await fern.call("PUT", "/customers/ada", ADA), 503)
    await fern.api.sandbox.fail()
    reply = await fern.call("PUT", "/customers/ada", ADA)
    assert reply.status_code == 200, reply.text
    assert [found["id"] for found in await fern.at_stripe("customers")] == [reply.json()["stripe_customer"]]


async def crashed(fern: TenantApi, monkeypatch: pytest.MonkeyPatch) -> str:
    """A customer whom Stripe has, and whose PUT was killed before it noted so; its id at Stripe."""

    class Crash(BaseException):
        """Nothing catches it, as nothing catches a kill."""

    async def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(service.customers, "bind", crash)
        with pytest.raises(Crash):
            await fern.call("PUT", "/customers/ada", ADA)
    assert service.customers.bind is domain.bind
    (found,) = await fern.at_stripe("customers")
    return str(found["id"])


async def test_a_crash_before_binding_is_mended_by_the_repeat(fern: TenantApi, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await crashed(fern, monkeypatch)
    assert (await fern.get("/customers/ada"))["stripe_customer"] is None
    assert (await fern.put("/customers/ada", ADA))["stripe_customer"] == found
    assert len(await fern.at_stripe("customers")) == 1


async def test_the_event_of_a_customer_and_its_put_do_not_wait_for_each_other(
    fern: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker makes the row of the customer first, then notes whose it is: so does the PUT."""
    found = await crashed(fern, monkeypatch)
    (row,) = await fern.api.sql("select id from tenants where public_id = $1", fern.id)
    async with await create_pool(fern.api.database.service_url, Duty.WORKER, size=1) as pool:
        async with asyncio.timeout(30), tenant_connection(pool, row["id"]) as worker:
            await domain.by_stripe_id(worker, found)
            put = asyncio.create_task(fern.call("PUT", "/customers/ada", ADA))
            while not await fern.api.sql(WAITING):
                await asyncio.sleep(0.02)
            await directory.register(worker, [found])
        reply = await put
    assert (reply.status_code, reply.json().get("stripe_customer")) == (200, found), reply.text


async def test_customers_are_listed_oldest_first_page_by_page(fern: TenantApi) -> None:
    for reference in ("b", "a", "c"):
        await fern.customer(reference)
    first = await fern.get("/customers?limit=2")
    rest = await fern.get(f"/customers?limit=2&after={first['next']}")
    assert [row["reference"] for row in first["data"] + rest["data"]] == ["b", "a", "c"]
    assert rest["next"] is None
    problem(await fern.call("GET", "/customers?limit=101"), 400, "limit")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"stripe_customer": "cus_1"}, "stripe_customer"),
        ({"customer": "cus_1"}, "customer"),
        ({"id": "cus_1"}, "id"),
        ({"name": ""}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": 1}, "email"),
        ({"metadata": {"k": 1}}, "metadata[...]"),
        ({"metadata": {"k": "x" * 501}}, "metadata.k"),
        ({"metadata": {"a[b]": "x"}}, "metadata.a[b]"),
        ({"metadata": {f"k{n}": "x" for n in range(48)}}, "metadata"),
        ({"metadata": {"colonnade_tenant": "ten_1"}}, "metadata.colonnade_tenant"),
        ({"metadata": {"reference": "x"}}, "metadata.reference"),
    ],
)
async def test_bad_input_is_named_and_writes_nothing(fern: TenantApi, change: dict[str, Any], param: str) -> None:
    problem(await fern.call("PUT", "/customers/ada", ADA | change), 400, param)
    assert (await fern.get("/customers"))["data"] == []
    made = await fern.put("/customers/ada", ADA)
    before = await fern.api.sandbox.requests()
    problem(await fern.call("PUT", "/customers/ada", ADA | change), 400, param)
    assert await fern.get("/customers/ada") == made
    assert await fern.api.sandbox.requests() == before


@pytest.mark.parametrize("reference", ["x" * 129, "%0A", "%20", "a%00b"])
async def test_a_bad_reference_is_refused(fern: TenantApi, reference: str) -> None:
    problem(await fern.call("PUT", f"/customers/{reference}", ADA), 400, "reference")
    assert await fern.at_stripe("customers") == []


@pytest.mark.parametrize("reference", ["user@example.com", "a b", "Ünïcode-7", "..x", "%25"])
async def test_a_reference_is_the_tenants_own_choice(fern: TenantApi, reference: str) -> None:
    made = await fern.put(f"/customers/{reference}", {})
    assert made["reference"] == reference.replace("%25", "%")
    assert await fern.get(f"/customers/{reference}") == made
