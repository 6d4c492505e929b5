"""What a tenant had at Stripe before it was here is taken in: whole, once, and nothing of anybody else's."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from colonnade.errors import Closed, NotFound, StripeUnavailable
from colonnade.imports.running import import_now, import_periodically
from colonnade.imports.store import Import
from colonnade.stripe_api.client import StripeGateway
from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, Api, Sandbox, TenantApi, problem, running_api
from tests.platform.deliveries import admin, web
from tests.platform.test_cli import colonnade, external
from tests.platform.test_sweep import deliver, handle, listed, settings

pytestmark = [pytest.mark.alone, pytest.mark.slow]

STATE = {
    "customers": "reference, stripe_customer",
    "subscriptions": "id, status, cancel_at, on_behalf_of",
    "subscription_items": "subscription, id, price, quantity",
    "entitlements": "feature, value, valid_until, sources",
    "billing_details": "id, name, email",
}
SEATS = {"kind": "quantity", "name": "Seats"}


@pytest.fixture
async def api(database: ScratchDatabase, sandbox: Sandbox) -> AsyncIterator[Api]:
    """A database for each test: imports are about all that there is."""
    async with running_api(database, sandbox) as running:
        yield running


@pytest.fixture
async def price(sandbox: Sandbox) -> str:
    """A price of the platform's own account."""
    found: str = (await sandbox.price())["id"]
    return found


class Old:
    """What is at Stripe without our doing; on a connected account where *account* is given."""

    def __init__(self, sandbox: Sandbox, account: str | None = None) -> None:
        self._sandbox, self._account = sandbox, account

    async def customer(self, reference: str | None = None, **form: str) -> str:
        metadata = {} if reference is None else {"metadata[crm_id]": reference}
        body = {"name": "Old", "source": "tok_visa", **metadata, **form}
        found: str = (await self._sandbox.call("POST", "/v1/customers", body, self._account))["id"]
        return found

    async def subscription(self, customer: str, price: str, **form: str) -> str:
        body = {"customer": customer, "items[0][price]": price, "trial_period_days": "14", **form}
        found: str = (await self._sandbox.call("POST", "/v1/subscriptions", body, self._account))["id"]
        return found


def of(tenant: TenantApi, **form: str) -> dict[str, str]:
    """What makes a subscription on the platform's account the tenant's."""
    return {"on_behalf_of": tenant.account, "transfer_data[destination]": tenant.account, **form}


async def imported(
    tenant: TenantApi, *, reference_key: str | None = None, dry: bool = False, stripe: str | None = None
) -> Import:
    chosen = settings(tenant.api.sandbox, stripe)
    url = tenant.api.database.service_url
    return await import_now(chosen, url, tenant.id, reference_key, dry=dry, progress=lambda _: None)


async def state(tenant: TenantApi) -> dict[str, list[tuple[Any, ...]]]:
    own = "where tenant_id = (select id from tenants where public_id = $1)"
    return {
        table: [
            tuple(row) for row in await tenant.api.sql(f"select {columns} from {table} {own} order by 1, 2", tenant.id)
        ]
        for table, columns in STATE.items()
    }


async def sell(tenant: TenantApi, price: str) -> None:
    await tenant.put("/features/seats", SEATS)
    grants = [{"feature": "seats", "value": 1, "per_unit": True}]
    await tenant.put("/plans/basic", {"name": "Basic", "price": price, "grants": grants})
    # A plan holds from when it is put; these subscriptions began before.
    await tenant.api.sql("update plan_versions set effective_from = null")


async def test_a_tenants_subscriptions_on_the_platforms_account_are_adopted(
    api: Api, sandbox: Sandbox, price: str, tmp_path: Path
) -> None:
    fern, kiln = await api.tenant(name="Fern"), await api.tenant(name="Kiln")
    await sell(fern, price)
    old = Old(sandbox)
    ada, bo, cy = [await old.customer(name) for name in ("ada", "bo", "cy")]
    mine = await old.subscription(ada, price, **of(fern, **{"items[0][quantity]": "3"}))
    theirs = await old.subscription(bo, price, **of(kiln))
    nobodys = await old.subscription(cy, price)
    done = await imported(fern, reference_key="crm_id")
    await handle(api.database, sandbox, tmp_path)

    (line,) = await api.sql("select target, by_id from audit_log where action = 'import.started'")
    assert tuple(line) == (f"tenants/{fern.id}/imports", "command line")
    assert (done.state, done.findings) == ("done", [])
    counts = done.counts
    assert (counts.customers, counts.subscriptions, counts.referenced) == (1, 1, 1)
    assert (counts.others, counts.unclaimed, counts.known, counts.refused) == (1, 1, 0, 0)
    found = await state(fern)
    assert found["customers"] == [("ada", ada)]
    assert [row[0] for row in found["subscriptions"]] == [mine]
    assert [row[:2] for row in found["billing_details"]] == [(ada, "Old")]
    assert (await fern.get("/customers/ada/entitlements/seats"))["value"] == 3
    (change,) = (await fern.get("/customers/ada/entitlements/changes"))["data"]
    assert change["cause"] == "import"
    assert not any((await state(kiln)).values())
    everything = {row["id"] for row in await api.sql("select id from stripe_objects")}
    assert {ada, mine} <= everything
    assert not {bo, theirs, cy, nobodys} & everything


async def test_nothing_is_imported_for_an_archived_tenant(api: Api) -> None:
    fern = await api.tenant(name="Fern")
    await fern.call("POST", "/archive", {"reason": "over"}, key=api.key)
    with pytest.raises(Closed, match="archived"):
        await imported(fern)
    assert await api.sql("select from imports") == []


async def test_a_dry_run_reports_the_same_and_writes_nothing(api: Api, sandbox: Sandbox, price: str) -> None:
    fern = await api.tenant(name="Fern")
    old = Old(sandbox)
    for reference in ("ada", "no/slash"):
        await old.subscription(await old.customer(reference), price, **of(fern))
    tables = ("inbox", "customers", "stripe_objects", "imports")
    before = [await api.sql(f"select count(*) from {table}") for table in tables]
    dry = await imported(fern, reference_key="crm_id", dry=True)
    assert [await api.sql(f"select count(*) from {table}") for table in tables] == before
    real = await imported(fern, reference_key="crm_id")
    assert (dry.counts, dry.findings) == (real.counts, real.findings)
    assert real.counts.customers == 2
    (finding,) = real.findings
    assert "no/slash" in finding.reason


@pytest.mark.parametrize("charge_type", ["destination", "direct"])
async def test_pages_are_read_to_the_end_and_importing_again_doubles_nothing(
    api: Api, sandbox: Sandbox, charge_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colonnade.imports.importer.PAGE", 2)
    fern = await api.tenant(name="Fern", charge_type=charge_type)
    old = Old(sandbox, fern.holder)
    price = (await sandbox.price(fern.holder))["id"]
    await sell(fern, price)
    form = {} if fern.holder else of(fern)
    people = [await old.customer(f"c{number}") for number in range(5)]
    for person in (*people, people[0]):
        await old.subscription(person, price, **form)
    first = await imported(fern, reference_key="crm_id")
    assert (first.counts.customers, first.counts.subscriptions, first.counts.known) == (5, 6, 0)
    await handle(api.database, sandbox, tmp_path)
    once = await state(fern)
    assert len(once["customers"]) == 5
    assert len(once["subscriptions"]) == 6
    changes = await api.sql("select count(*) from entitlement_changes")

    again = await imported(fern, reference_key="crm_id")
    assert again.id != first.id
    assert again.counts.known == 11
    await handle(api.database, sandbox, tmp_path)
    assert await state(fern) == once
    assert await api.sql("select count(*) from entitlement_changes") == changes


async def test_webhooks_that_arrive_before_during_and_after_end_in_the_same_state(
    api: Api, sandbox: Sandbox, price: str, database: ScratchDatabase, tmp_path: Path
) -> None:
    fern = await api.tenant(name="Fern")
    await sell(fern, price)
    old = Old(sandbox)
    ada = await old.customer("ada")
    mine = await old.subscription(ada, price, **of(fern))
    bo = await old.customer("bo")
    ended = await old.subscription(bo, price, **of(fern))
    await sandbox.call("DELETE", f"/v1/subscriptions/{ended}")
    wanted = ("customer.", "invoice.")
    events = [each for each in await listed(sandbox) if each["type"].startswith(wanted)]
    async with web(database, settings(sandbox)) as client:
        await deliver(client, events[::2])
        await asyncio.gather(
            imported(fern, reference_key="crm_id"),
            handle(database, sandbox, tmp_path),
            deliver(client, events[1::2]),
        )
        await deliver(client, events)
        await handle(database, sandbox, tmp_path)
    found = await state(fern)
    assert found["customers"] == [("ada", ada), ("bo", bo)]
    assert {row[0]: row[1] for row in found["subscriptions"]} == {mine: "trialing", ended: "canceled"}
    assert (await fern.get("/customers/ada/entitlements/seats"))["value"] == 1
    assert (await fern.get("/customers/bo/entitlements/seats"))["value"] == 0
    assert await api.sql("select from inbox where state not in ('done', 'ignored')") == []


async def test_a_subscription_that_names_two_tenants_is_reported_and_left_alone(
    api: Api, sandbox: Sandbox, price: str, tmp_path: Path
) -> None:
    fern, kiln = await api.tenant(name="Fern"), await api.tenant(name="Kiln")
    old = Old(sandbox)
    both = of(fern, **{"transfer_data[destination]": kiln.account})
    claimed = of(kiln, **{"metadata[colonnade_tenant]": fern.id})
    hostile = [await old.subscription(await old.customer("x"), price, **form) for form in (both, claimed)]
    shared = await old.customer("shared")
    mine = await old.subscription(shared, price, **of(fern))
    second = await old.subscription(shared, price, **of(kiln))
    for tenant in (fern, kiln):
        done = await imported(tenant, reference_key="crm_id")
        left = set(hostile) | ({second} if tenant is fern else {mine, second})
        assert {finding.object for finding in done.findings} <= left | {shared}
        assert set(hostile) <= {finding.object for finding in done.findings}
        assert "different tenants" in done.findings[0].reason
        assert done.counts.subscriptions == (1 if tenant is fern else 0)
        await handle(api.database, sandbox, tmp_path)
    assert [row[0] for row in (await state(fern))["subscriptions"]] == [mine]
    assert not any((await state(kiln)).values())


async def test_a_connected_account_cannot_claim_what_is_another_tenants(
    api: Api, sandbox: Sandbox, tmp_path: Path
) -> None:
    fern, kiln = await api.tenant(name="Fern", charge_type="direct"), await api.tenant(name="Kiln")
    await kiln.customer("ada")
    old = Old(sandbox, fern.account)
    price = (await sandbox.price(fern.account))["id"]
    forged = {"metadata[colonnade_tenant]": kiln.id}
    customer = await old.customer("ada", **forged)
    subscription = await old.subscription(customer, price, **forged)
    before = await state(kiln)
    done = await imported(fern)
    assert {finding.object for finding in done.findings} == {customer, subscription}
    assert (done.counts.customers, done.counts.subscriptions, done.counts.refused) == (0, 0, 2)
    await handle(api.database, sandbox, tmp_path)
    assert await state(kiln) == before
    assert (await state(fern))["subscriptions"] == []


async def test_a_reference_that_is_taken_or_unfit_is_reported_and_the_customer_has_none(
    api: Api, sandbox: Sandbox, price: str, tmp_path: Path
) -> None:
    fern = await api.tenant(name="Fern")
    known = (await fern.customer("ada"))["stripe_customer"]
    old = Old(sandbox)
    people = [await old.customer(reference) for reference in ("ada", "no/slash", "bo", "bo")]
    for person in people:
        await old.subscription(person, price, **of(fern))
    done = await imported(fern, reference_key="crm_id")
    await handle(api.database, sandbox, tmp_path)
    references = dict((await state(fern))["customers"])
    by_customer = {customer: reference for reference, customer in (await state(fern))["customers"]}
    assert references["ada"] == known
    assert len(done.findings) == 3
    assert [by_customer[person] for person in people[:2]] == [None, None]
    assert sorted(map(str, (by_customer[person] for person in people[2:]))) == ["None", "bo"]


async def test_a_customer_that_was_put_before_its_stripe_customer_was_known_becomes_it(
    api: Api, sandbox: Sandbox, price: str, tmp_path: Path
) -> None:
    fern = await api.tenant(name="Fern")
    await api.sql(
        "insert into customers (tenant_id, public_id, reference, name) "
        "select id, 'ecu_1', 'ada', 'Ada' from tenants where public_id = $1",
        fern.id,
    )
    old = Old(sandbox)
    customer = await old.customer("ada")
    await old.subscription(customer, price, **of(fern))
    await imported(fern, reference_key="crm_id")
    await handle(api.database, sandbox, tmp_path)
    shown = await fern.get("/customers/ada")
    assert (shown["id"], shown["name"], shown["stripe_customer"]) == ("ecu_1", "Ada", customer)


async def test_stripe_down_leaves_it_running_and_it_goes_on_later(api: Api, sandbox: Sandbox, price: str) -> None:
    fern = await api.tenant(name="Fern")
    with pytest.raises(StripeUnavailable):
        await imported(fern, stripe=NOWHERE)
    (left,) = (await api.call("GET", f"/v1/tenants/{fern.id}/imports")).json()["data"]
    assert left["state"] == "running"
    assert left["problem"]
    done = await imported(fern)
    assert (done.id, done.state, done.problem) == (left["id"], "done", None)
    with pytest.raises(NotFound):
        await import_now(settings(sandbox), api.database.service_url, "ten_0", None, dry=True, progress=lambda _: None)


async def test_of_two_that_import_at_once_one_waits_for_the_other(api: Api, sandbox: Sandbox) -> None:
    fern = await api.tenant(name="Fern", charge_type="direct")
    await Old(sandbox, fern.account).customer("ada")
    await sandbox.forget_requests()
    one, other = await asyncio.gather(imported(fern), imported(fern))
    assert (one.id, one.counts.customers) == (other.id, other.counts.customers) == (one.id, 1)
    assert len(await api.sql("select from audit_log where action = 'import.started'")) == 1
    assert len(await sandbox.requests("GET", "/v1/customers")) == 1


async def test_an_import_whose_place_is_gone_begins_the_list_again(api: Api, sandbox: Sandbox, tmp_path: Path) -> None:
    fern = await api.tenant(name="Fern", charge_type="direct")
    await Old(sandbox, fern.account).customer("ada")
    reply = await api.call("POST", f"/v1/tenants/{fern.id}/imports", {})
    await api.sql("update imports set position = 'cus_gone' where public_id = $1", reply.json()["id"])
    assert (await imported(fern)).counts.customers == 1


async def test_the_platform_team_starts_and_sees_imports_and_tenants_do_not(api: Api) -> None:
    fern, kiln = await api.tenant(name="Fern"), await api.tenant(name="Kiln")
    path = f"/v1/tenants/{fern.id}/imports"
    started = await api.call("POST", path, {"reference_key": "crm_id"})
    assert started.status_code == 201
    assert started.json()["state"] == "running"
    assert (await api.call("POST", path, {"reference_key": "crm_id"})).json()["id"] == started.json()["id"]
    assert len(await api.sql("select from audit_log where action like 'import.%'")) == 1
    problem(await api.call("POST", path, {"reference_key": "other"}), 409, "reference_key")
    problem(await api.call("POST", path, {"reference_key": ""}), 400, "reference_key")
    one = await api.call("GET", f"{path}/{started.json()['id']}")
    assert one.json() == started.json()
    problem(await api.call("GET", f"/v1/tenants/{kiln.id}/imports/{started.json()['id']}"), 404, "import")
    for method, where, body in (("POST", path, {}), ("GET", path, None), ("GET", f"{path}/imp_1", None)):
        problem(await api.call(method, where, body, key=fern.key), 403)


async def test_the_worker_does_what_the_platform_team_started(api: Api, sandbox: Sandbox) -> None:
    fern = await api.tenant(name="Fern", charge_type="direct")
    await Old(sandbox, fern.account).customer("ada")
    path = f"/v1/tenants/{fern.id}/imports"
    one = f"{path}/{(await api.call('POST', path, {'reference_key': 'crm_id'})).json()['id']}"
    gateway = StripeGateway(settings(sandbox))
    beside = asyncio.create_task(import_periodically(settings(sandbox), api.database.service_url, gateway))
    async with asyncio.timeout(30):
        while (shown := (await api.call("GET", one)).json())["state"] == "running":
            await asyncio.sleep(0.05)
    beside.cancel()
    await asyncio.gather(beside, return_exceptions=True)
    await gateway.close()
    assert (shown["state"], shown["counts"]["customers"], shown["counts"]["referenced"]) == ("done", 1, 1)
    assert shown["finished_at"]
    assert (await fern.get("/customers/ada"))["stripe_customer"].startswith("cus_")


async def test_the_command_tells_what_it_would_do_and_what_to_look_at(api: Api, sandbox: Sandbox, price: str) -> None:
    fern = await api.tenant(name="Fern")
    old = Old(sandbox)
    person = await old.customer("no/slash")
    await old.subscription(person, price, **of(fern))
    chosen = external(api.database.service_url) | {"STRIPE_API_KEY": sandbox.key, "STRIPE_API_BASE": sandbox.url}
    arguments = ("tenants", "import", fern.id, "--dry-run", "--reference-key", "crm_id")
    ended = await asyncio.to_thread(colonnade, *arguments, **chosen)
    assert ended.returncode == 2, ended.stderr
    first, *rest = ended.stdout.splitlines()
    assert first == "1 customers and 1 subscriptions would be imported."
    assert rest[-1].startswith(f"  {person}: reference 'no/slash': ")
    assert await api.sql("select from imports") == []


async def crowd(sandbox: Sandbox, account: str, price: str) -> None:
    """250 customers on the connected account, each with a subscription."""
    headers = {"Authorization": f"Bearer {sandbox.key}", "Stripe-Account": account}
    async with httpx.AsyncClient(base_url=sandbox.url, headers=headers, trust_env=False, timeout=60) as client:

        async def one(number: int) -> None:
            made = await client.post("/v1/customers", data={"name": "Old", "metadata[crm_id]": f"c{number}"})
            form = {"customer": made.json()["id"], "items[0][price]": price, "trial_period_days": "14"}
            assert (await client.post("/v1/subscriptions", data=form)).status_code == 200

        for first in range(0, 250, 10):
            await asyncio.gather(*map(one, range(first, first + 10)))


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_250_customers_killed_midway_are_there_once_after_a_second_run(
    api: Api, sandbox: Sandbox, tmp_path: Path
) -> None:
    fern, kiln = (
        await api.tenant(name="Fern", charge_type="direct"),
        await api.tenant(name="Kiln", charge_type="direct"),
    )
    price = (await sandbox.price(fern.account))["id"]
    await sell(fern, price)
    await Old(sandbox, kiln.account).customer("c1")
    await crowd(sandbox, fern.account, price)
    environ = os.environ | {
        "COLONNADE_DATABASE_URL": api.database.service_url,
        "COLONNADE_SECRET_KEY": "k" * 32,
        "COLONNADE_DATA_DIR": str(tmp_path),
        "COLONNADE_STRIPE_API_KEY": sandbox.key,
        "COLONNADE_STRIPE_API_BASE": sandbox.url,
    }
    await sandbox.fail(next=1000, status=0, delay=0.5)
    command = [sys.executable, "-m", "colonnade", "tenants", "import", fern.id, "--reference-key", "crm_id"]
    process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=asyncio.subprocess.DEVNULL)
    async with admin(api.database) as db, asyncio.timeout(60):
        while not await db.connection.fetchval("select true from imports where step = 'subscriptions'"):
            assert process.returncode is None
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    await sandbox.fail()
    again = await asyncio.create_subprocess_exec(
        *command, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, told = await again.communicate()
    assert again.returncode == 0, told.decode()
    assert "250 subscriptions imported" in said.decode()
    assert [row["state"] for row in await api.sql("select state from imports")] == ["done"]
    rows = await api.sql("select count(*), count(distinct event_id) from inbox where event_id like 'imp_%'")
    assert tuple(rows[0]) == (500, 500)
    await handle(api.database, sandbox, tmp_path)
    found = await state(fern)
    assert {table: len(rows) for table, rows in found.items()} == dict.fromkeys(STATE, 250)
    assert len({reference for reference, _ in found["customers"]}) == 250
    assert not any((await state(kiln)).values())
