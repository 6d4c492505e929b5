"""Tenants and their customers take everything with them, and are removed for good."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.accounts import confirming, removal
from colonnade.database.connections import connect
from colonnade.database.roles import Duty
from colonnade.errors import Conflict, Invalid
from tests.conftest import ScratchDatabase
from tests.platform.api import Api, Sandbox, TenantApi, problem
from tests.platform.lifecycles import Worker, about_payment_method, about_subscription, working
from tests.platform.test_lifecycle import REASON, selling, step

COUNTS = st.dictionaries(st.sampled_from(["customers", "plans", "inbox"]), st.integers(0, 99))

_KEY_OF = """
select (select by_id from audit_log a where a.tenant_id = t.id and action = 'tenant.created') as platform,
    (select public_id from api_keys k where k.tenant_id = t.id) as tenant
from tenants t where public_id = $1
"""


@pytest.fixture
async def worker(shared_database: ScratchDatabase, sandbox: Sandbox) -> AsyncIterator[Worker]:
    async with working(shared_database, sandbox) as worker:
        yield worker


async def export(tenant: TenantApi, path: str = "", key: str | None = None) -> list[dict[str, Any]]:
    reply = await tenant.call("GET", f"{path}/export", key=key)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert lines[-1]["end"]
    return lines


def told(lines: list[dict[str, Any]]) -> list[Any]:
    """The rows, without what says when the tenant was read."""
    return [(line["table"], line["row"]) for line in lines[1:-1]]


async def delete(tenant: TenantApi, path: str = "", key: str | None = None, **query: str) -> Any:
    sent = "&".join(f"{name}={value}" for name, value in query.items())
    return await tenant.call("DELETE", f"{path}?{sent}", key=key)


async def confirmed(tenant: TenantApi, path: str = "", key: str | None = None) -> Any:
    """What deleting answers, after a look."""
    seen = await delete(tenant, path, key, dry_run="true")
    assert seen.status_code == 200, seen.text
    return await delete(tenant, path, key, confirmation=seen.json()["confirmation"])


async def stub_of(worker: Worker, sent: dict[str, Any]) -> None:
    """The event is stored, answered, and nothing of it is left."""
    await worker.store(sent)
    await worker.work()
    row = await worker.keeper.fetchrow("select * from inbox where event_id = $1", sent["id"])
    assert (row["state"], row["reason"]) == ("ignored", "it is about somebody who was removed")
    assert (row["body"], row["object_id"], row["tenant_id"], row["evidence"]) == (b"", "-", None, None)


@given(COUNTS, COUNTS)
def test_a_confirmation_is_good_for_what_was_seen_and_nothing_else(seen: dict[str, int], now: dict[str, int]) -> None:
    given = confirming.preview("k" * 32, "ten_1", seen).confirmation
    confirming.check("k" * 32, given, "ten_1", seen)
    if seen != now:
        with pytest.raises(Conflict):
            confirming.check("k" * 32, given, "ten_1", now)
    for secret, whose in (("x" * 32, "ten_1"), ("k" * 32, "ten_2"), ("k" * 32, "ten_1/ecu_1")):
        with pytest.raises(Invalid):
            confirming.check(secret, given, whose, seen)


async def test_a_tenant_is_removed_after_a_look_and_late_events_leave_a_stub(
    api: Api, fern: TenantApi, kiln: TenantApi, worker: Worker
) -> None:
    ada, name = await selling(fern), f"sub_{fern.id}"
    other, theirs = await selling(kiln), f"sub_{kiln.id}"
    for tenant, customer, each in ((fern, ada, name), (kiln, other, theirs)):
        await worker.store(about_subscription("active", tenant.account, customer, each), about_payment_method(customer))
    await worker.work()
    problem(await fern.call("GET", "/export", key=kiln.key), 404, "tenant")
    whole = await export(fern)
    assert {"customers", "subscriptions", "subscription_items", "entitlements", "inbox"} <= {
        line["table"] for line in whole[1:-1]
    }
    assert fern.key not in json.dumps(whole)
    assert [line["payload"]["type"] for line in whole if "payload" in line] == [
        "customer.subscription.updated",
        "payment_method.attached",
    ]
    neighbour = told(await export(kiln))

    refused = problem(await delete(fern, key=api.key), 409, "tenant")["detail"]
    assert problem(await delete(fern, key=api.key, dry_run="true"), 409, "tenant")["detail"] == refused
    await step(fern, "archive")
    problem(await delete(fern, dry_run="true"), 403)
    problem(await delete(fern, key=kiln.key, dry_run="true"), 404, "tenant")
    problem(await delete(fern, key=api.key), 400, "confirmation")
    problem(await delete(fern, key=api.key, confirmation="x"), 400, "confirmation")
    seen = (await delete(fern, key=api.key, dry_run="true")).json()
    assert seen["rows"]["customers"] == 1
    held = about_subscription("past_due", fern.account, ada, name)
    torn = about_subscription("active", fern.account, other, f"sub_torn_{fern.id}")
    await worker.store(held, torn)
    await worker.work()
    assert (await worker.states())[torn["id"]] == "quarantined"
    problem(await delete(fern, key=api.key, confirmation=seen["confirmation"]), 409, "confirmation")
    begun = await confirmed(fern, key=api.key)
    assert (begun.status_code, begun.json()["state"]) == (202, "deleting")
    problem(await fern.call("GET", ""), 401)
    lines = (await api.call("GET", f"/v1/audit?tenant={fern.id}&action=tenant.deleted")).json()["data"]
    assert [(each["before"]["state"], each["after"]["state"]) for each in lines] == [("archived", "deleting")]
    await worker.work()
    shown = await api.call("GET", f"/v1/tenants/{fern.id}")
    assert (shown.json()["state"], shown.json()["name"], shown.json()["account"]) == ("deleted", "", None)
    assert fern.id not in (await api.call("GET", "/v1/tenants?limit=100")).text
    problem(await fern.call("POST", "/restore", REASON, key=api.key), 409, "tenant")

    for late in (about_subscription("active", fern.account, ada, name), about_payment_method(ada), held):
        await stub_of(worker, late | {"id": f"{late['id']}_late"})
    refused = problem(await api.call("POST", f"/v1/events/{held['id']}_late/replay"), 409, "event")
    assert refused["detail"] == "Its payload was removed, with whom it was about."
    assert told(await export(kiln)) == neighbour
    assert torn["id"] not in await worker.states()
    again = await api.tenant(name="Fern again", country=None, account=fern.account)
    await stub_of(worker, about_subscription("active", fern.account, ada, name))
    assert (await again.get("/customers"))["data"] == []


async def test_a_tenants_own_export_names_its_keys_and_nobody_of_the_platform(
    api: Api, fern: TenantApi, worker: Worker
) -> None:
    ada = await selling(fern)
    sent = about_subscription("active", fern.account, ada, f"sub_{fern.id}")
    await worker.store(sent)
    await worker.work()
    await fern.configuration()
    await api.call("POST", f"/v1/events/{sent['id']}/replay")
    await worker.work()
    override = {"feature": "export", "effect": "grant", "reason": "a gift", "author": "fern"}
    for key in (None, api.key):
        await fern.call("PUT", "/portal-policy", {"drift": "report" if key else "revert"}, key=key)
        path = "/customers/ada/overrides"
        reply = await fern.call("POST", path, override, key=key)
        assert reply.status_code == 201, reply.text
        reply = await fern.call("POST", "/customers/ada/portal-sessions", {}, key=key)
        assert reply.status_code == 201, reply.text
    for name in ("suspend", "resume"):
        await step(fern, name)
    ours, theirs = (await api.sql(_KEY_OF, fern.id))[0]
    whole = await export(fern, key=api.key)
    named = {line["table"] for line in whole[1:-1] if ours in json.dumps(line["row"])}
    tables = {"audit_log", "entitlement_overrides", "inbox", "portal_policies", "portal_visits", "tenants"}
    assert named >= tables | {"tenant_states"}
    for path in ("", "/customers/ada"):
        lines = await export(fern, path)
        assert ours not in json.dumps(lines)
        overrides = [line["row"]["author_key"] for line in lines[1:-1] if line["table"] == "entitlement_overrides"]
        assert set(overrides) == {theirs, None}
        (event,) = [line["row"] for line in lines[1:-1] if line["table"] == "inbox"]
        assert [(each["action"], each["by"]) for each in event["actions"]] == [("replayed", None)]
        assert event["evidence"] is None


async def test_a_customer_takes_everything_along_and_leaves_nothing(fern: TenantApi, worker: Worker) -> None:
    ada, name = await selling(fern), f"sub_{fern.id}"
    bert = (await fern.customer("bert"))["stripe_customer"]
    for customer, each in ((ada, name), (bert, f"{name}_b")):
        await worker.store(about_subscription("active", fern.account, customer, each), about_payment_method(customer))
    await worker.work()
    theirs = told(await export(fern, "/customers/bert"))
    mine = await export(fern, "/customers/ada")
    assert mine[0]["counts"]["inbox"] == 2
    assert "bert" not in json.dumps(mine)
    assert bert not in json.dumps(mine)
    refused = problem(await delete(fern, "/customers/ada", dry_run="true"), 409, "reference")
    assert name in refused["detail"]
    await worker.store(about_subscription("canceled", fern.account, ada, name))
    await worker.work()
    problem(await delete(fern, "/customers/ada"), 400, "confirmation")
    other = (await delete(fern, "/customers/ada", dry_run="true")).json()["confirmation"]
    problem(await delete(fern, "/customers/bert", confirmation=other), 409, "reference")
    done = await confirmed(fern, "/customers/ada")
    assert (done.status_code, done.json()["rows"]["customers"]) == (200, 1)
    (line,) = (await fern.get("/audit?action=customer.deleted"))["data"]
    assert line["target"].endswith("/customers/ada")
    problem(await fern.call("GET", "/customers/ada"), 404, "reference")
    problem(await fern.call("GET", "/customers/ada/export"), 404, "reference")
    assert told(await export(fern, "/customers/bert")) == theirs
    rest = json.dumps(told(await export(fern)))
    assert ada not in rest
    assert name not in rest.replace(f"{name}_b", "")
    await stub_of(worker, about_subscription("active", fern.account, ada, name))
    await stub_of(worker, about_payment_method(ada))
    assert (await fern.customer("ada"))["stripe_customer"] != ada


async def test_another_tenants_customer_is_neither_exported_nor_removed(fern: TenantApi, kiln: TenantApi) -> None:
    await fern.customer()
    problem(await kiln.call("GET", "/customers/ada/export"), 404, "reference")
    problem(await delete(kiln, "/customers/ada", dry_run="true"), 404, "reference")
    for method, path in (("GET", "/customers/ada/export"), ("DELETE", "/customers/ada?dry_run=true")):
        problem(await fern.call(method, path, key=kiln.key), 404, "tenant")


async def test_an_export_goes_on_from_its_own_lines_alone(fern: TenantApi, kiln: TenantApi) -> None:
    for tenant in (fern, kiln):
        await tenant.customer("ada")
        await tenant.customer("bo")
    paths = [(fern, "/export"), (kiln, "/export"), (fern, "/customers/ada/export"), (fern, "/customers/bo/export")]
    cursors = []
    for tenant, path in paths:
        lines = (await tenant.call("GET", path)).text.splitlines()
        cursors.append(next(json.loads(line)["cursor"] for line in lines if '"table":"customers"' in line))
    for at, (tenant, path) in enumerate(paths):
        for number, cursor in enumerate(cursors):
            for key in (tenant.key, tenant.api.key):
                reply = await tenant.call("GET", f"{path}?after={cursor}", key=key)
                if at == number:
                    assert reply.status_code == 200
                else:
                    problem(reply, 400, "after")


_KEEPING = """
import asyncio, sys
from colonnade.accounts import removal
from colonnade.accounts.keeping import keep_periodically
removal.BATCH = 50
asyncio.run(keep_periodically(sys.argv[1]))
"""


@pytest.mark.slow
async def test_a_removal_goes_on_where_a_killed_worker_stopped(database: ScratchDatabase) -> None:
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute(
        "insert into tenants (id, public_id, name, charge_type, stripe_account, fingerprint, removal) "
        "overriding system value values (1, 'ten_1', 'A', 'direct', 'acct_1', '', 'deleting'), "
        "(2, 'ten_2', 'B', 'direct', 'acct_2', '', null)"
    )
    for tenant in (1, 2):
        await admin.execute(
            "insert into customers (tenant_id, public_id) "
            "select $1::bigint, 'ecu_' || $1 || n from generate_series(1, 20000) n",
            tenant,
        )
    count = "select count(*) from customers where tenant_id = $1"
    killed = 0
    for _ in range(3):
        before = await admin.fetchval(count, 1)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", _KEEPING, database.service_url)
        async with asyncio.timeout(60):
            while await admin.fetchval(count, 1) > before - 1000:
                await asyncio.sleep(0.01)
        process.kill()
        await process.wait()
        killed += 0 < await admin.fetchval(count, 1) < 20000
    assert killed
    connection = await connect(database.service_url, Duty.PLATFORM)
    try:
        while await removal.advance(connection, 1):
            pass
    finally:
        await connection.close()
    assert await admin.fetchval(count, 1) == 0
    assert await admin.fetchval(count, 2) == 20000
    assert await admin.fetchval("select state from tenants where id = 1") == "deleted"
    await admin.close()
