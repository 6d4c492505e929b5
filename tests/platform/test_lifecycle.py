"""Tenants are suspended, disconnect, are put away and come back; what they may do, and what becomes of their events."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from colonnade.accounts import coming_back, following, keeping
from colonnade.accounts.at_stripe import Seen
from colonnade.accounts.lifecycle_routes import ROUTES
from colonnade.accounts.service import bind, tenant_by_id
from colonnade.accounts.states import CLOSED, FROZEN, STEPS, State, sentence
from colonnade.commands.services import opened
from colonnade.errors import Closed
from colonnade.settings import Settings
from colonnade.stripe_api.charges import ChargeType
from colonnade.stripe_api.gate import JUST
from colonnade_tenants.accounts import apply_account
from colonnade_tenants.unit import Units
from tests.conftest import ScratchDatabase
from tests.platform.api import SECRET_KEY, Api, Sandbox, TenantApi, problem
from tests.platform.checking import SEATS, answered, give, heard, seats
from tests.platform.lifecycles import (
    BACK,
    GONE,
    Worker,
    about_access,
    about_payment_method,
    about_subscription,
    working,
)
from tests.platform.portals import services_of
from tests.platform.test_onboarding import enable

REASON = {"reason": "Chargebacks"}
PLAN = {"name": "Basic", "price": "price_basic", "grants": [{"feature": "export", "value": True}]}


@pytest.fixture
async def worker(shared_database: ScratchDatabase, sandbox: Sandbox) -> AsyncIterator[Worker]:
    async with working(shared_database, sandbox) as worker:
        yield worker


async def step(tenant: TenantApi, name: str, **body: str) -> dict[str, Any]:
    """What the platform team's successful step answers."""
    reply = await tenant.call("POST", f"/{name}", REASON | body, key=tenant.api.key)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def selling(tenant: TenantApi) -> str:
    """Let the tenant sell `export`; its customer Ada's id at Stripe."""
    await tenant.put("/features/export", {"kind": "flag", "name": "Export"})
    await tenant.put("/plans/basic", PLAN)
    customer: str = (await tenant.customer())["stripe_customer"]
    return customer


async def granted(tenant: TenantApi) -> bool:
    found: bool = (await tenant.get("/customers/ada/entitlements/export"))["granted"]
    return found


async def changes(tenant: TenantApi) -> list[str]:
    """The causes of Ada's changes, oldest first."""
    found = (await tenant.get("/customers/ada/entitlements/changes"))["data"]
    return [each["cause"] for each in reversed(found)]


def test_every_step_of_the_platform_team_has_a_route_and_every_state_a_way_out() -> None:
    paths = {path.rpartition("/")[2] for route in ROUTES for path in route.paths}
    assert {name for name, each in STEPS.items() if "platform" in each.by} - {"remove"} <= paths
    left = set().union(*(each.at_rest for each in STEPS.values()))
    assert left == set(State) - {State.DELETED}
    assert FROZEN < CLOSED
    assert all(sentence(state).startswith("This tenant ") for state in CLOSED)


async def test_a_suspended_tenants_portals_refuse_in_words_and_its_checks_go_on(fern: TenantApi) -> None:
    await fern.put("/features/seats", SEATS)
    await fern.customer()
    await fern.configuration()
    await give(fern, 3)
    token = (await fern.call("POST", "/customers/ada/portal-tokens", {})).json()["token"]
    assert (await step(fern, "suspend"))["state"] == "suspended"
    for path, body in (
        ("portal-sessions", {}),
        ("portal-sessions/preview", {}),
        ("portal-tokens", {}),
        ("subscriptions", {"price": "price_1"}),
        ("checkout-sessions", {"items": [{"price": "price_1"}], "success_url": "https://shop.example/"}),
    ):
        reply = await fern.call("POST", f"/customers/ada/{path}", body)
        refused = problem(reply, 409, "tenant")
        assert (refused["type"], refused["code"]) == ("urn:colonnade:problem:tenant-closed", "suspended")
        assert refused["detail"] == "This tenant is suspended by the platform: Chargebacks."
    page = await fern.api.client.post("/portal", data={"token": token}, headers={"Origin": "https://shop.example"})
    assert (page.status_code, page.headers["content-type"]) == (409, "text/html; charset=utf-8")
    assert "Billing is closed for now" in page.text
    assert "Chargebacks" not in page.text
    assert (await seats(fern)).json()["value"] == 3
    assert (await fern.put("/features/export", {"kind": "flag", "name": "Export"}))["key"] == "export"
    assert (await step(fern, "resume"))["state"] == "onboarding"
    reply = await fern.call("POST", "/customers/ada/portal-sessions", {})
    assert reply.status_code == 201, reply.text


async def test_checks_deny_while_it_is_closed_if_so_decided_from_memory_too(fern: TenantApi) -> None:
    await fern.put("/features/seats", SEATS)
    await fern.customer()
    await give(fern, 3)
    await heard(fern)
    path = "/closed-checks"
    reply = await fern.call("PUT", path, {"closed_checks": "deny"}, key=fern.api.key)
    assert reply.json()["closed_checks"] == "deny"
    await heard(fern)
    assert (await seats(fern)).json()["value"] == 3
    await step(fern, "suspend")
    await heard(fern)
    async with answered(memory=1, database=1):
        for _ in range(2):
            found = (await seats(fern)).json()
            assert (found["granted"], found["value"], found["sources"]) == (False, 0, [])
    why = await fern.get("/customers/ada/entitlements/explain")
    (said,) = why["data"]
    assert why["closed"] == "This tenant is suspended by the platform: Chargebacks."
    assert (said["granted"], said["value"], said["because"]) == (False, 0, [])
    assert [each["value"] for each in said["overruled"]] == [3]
    await step(fern, "resume")
    await heard(fern)
    assert (await seats(fern)).json()["value"] == 3
    why = await fern.get("/customers/ada/entitlements/explain")
    assert (why["closed"], why["data"][0]["value"]) == (None, 3)


async def test_only_the_platform_team_takes_steps_with_a_reason_and_from_where_they_lead(
    fern: TenantApi, kiln: TenantApi
) -> None:
    for name in ("suspend", "resume", "archive", "restore", "reconnect"):
        problem(await fern.call("POST", f"/{name}", REASON), 403)
        problem(await fern.call("POST", f"/{name}", REASON, key=kiln.key), 404, "tenant")
        problem(await fern.call("POST", f"/{name}", {}, key=fern.api.key), 400, "reason")
    problem(await fern.call("PUT", "/closed-checks", {"closed_checks": "deny"}), 403)
    for name in ("resume", "restore", "reconnect"):
        problem(await fern.call("POST", f"/{name}", REASON, key=fern.api.key), 409, "tenant")
    await step(fern, "archive")
    problem(await fern.call("POST", "/suspend", REASON, key=fern.api.key), 409, "tenant")
    assert (await fern.get("/lifecycle"))["steps"] == ["reconnect", "restore", "remove"]
    assert (await kiln.get("/lifecycle"))["state"] == "onboarding"
    found = (await fern.get("/lifecycle/history"))["data"]
    assert [(each["previous"], each["state"], each["reason"]) for each in found] == [
        ("onboarding", "archived", "Chargebacks"),
        ("invited", "onboarding", None),
    ]
    assert found[0]["by"] is None
    seen = await fern.call("GET", "/lifecycle/history", key=fern.api.key)
    assert seen.json()["data"][0]["by"].startswith("key_")
    lines = (await fern.get("/audit?action=tenant.archived"))["data"]
    assert [(each["before"]["state"], each["after"]["state"]) for each in lines] == [("onboarding", "archived")]


async def test_a_frozen_tenant_can_be_read_and_its_keys_revoked_but_nothing_written(fern: TenantApi) -> None:
    await fern.customer()
    key = (await fern.call("POST", "/keys", {"name": "spare"})).json()["id"]
    await step(fern, "archive")
    refused = problem(await fern.call("PUT", "/features/export", {"kind": "flag", "name": "Export"}), 409, "tenant")
    assert refused["code"] == "archived"
    problem(await fern.call("PUT", "/customers/bert", {}, key=fern.api.key), 409, "tenant")
    assert (await fern.get("/customers/ada"))["reference"] == "ada"
    assert (await fern.call("POST", "/entitlement-checks", {"customers": ["ada"]})).status_code == 200
    assert (await fern.call("DELETE", f"/keys/{key}")).status_code == 204


async def test_no_call_goes_to_stripe_for_a_frozen_tenant_whoever_makes_it(
    api: Api, fern: TenantApi, worker: Worker
) -> None:
    (row,) = await api.sql("select id from tenants where public_id = $1", fern.id)
    clients = (
        worker.gateway.account(fern.account),
        worker.gateway.platform.bound(tenant=row["id"]),
        worker.gateway.platform,
    )
    await worker.store(about_access(GONE, fern.account))
    await worker.work()
    await api.sandbox.forget_requests()
    for client in clients:
        with pytest.raises(Closed, match="disconnected"):
            await client.get(f"/v1/accounts/{fern.account}")
    # What this process asks of its own account is for no tenant.
    assert {each["path"] for each in await api.sandbox.requests("GET")} <= {"/v1/account"}
    asking = worker.gateway.platform.reconnecting().bound(tenant=row["id"])
    assert (await asking.get(f"/v1/accounts/{fern.account}"))["id"] == fern.account


async def test_a_state_that_the_caller_has_just_read_is_not_asked_for_again_and_an_older_one_is(
    fern: TenantApi, worker: Worker
) -> None:
    account, sent = f"/v1/accounts/{fern.account}", {"metadata": {"seen": "open"}}
    await worker.store(about_access(GONE, fern.account))
    await worker.work()
    now = asyncio.get_running_loop().time
    assert (await worker.gateway.platform.post(account, sent, open_at=now() + 60))["id"] == fern.account
    with pytest.raises(Closed, match="disconnected"):
        await worker.gateway.platform.post(account, sent, open_at=now() - JUST)


async def test_commands_call_stripe_for_no_frozen_tenant(api: Api, fern: TenantApi) -> None:
    await step(fern, "archive")
    settings = Settings(stripe_api_key=api.sandbox.key, stripe_api_base=api.sandbox.url, secret_key=SECRET_KEY)
    async with opened(settings, api.database.service_url) as services:
        with pytest.raises(Closed, match="archived"):
            await services.stripe.account(fern.account).get("/v1/prices")


@pytest.mark.parametrize("charge_type", [ChargeType.DESTINATION, ChargeType.DIRECT])
async def test_events_of_a_disconnected_tenant_are_held_and_applied_once_without_flapping(
    api: Api, worker: Worker, charge_type: str
) -> None:
    fern = await api.tenant(charge_type=charge_type)
    ada, direct = await selling(fern), charge_type == "direct"
    name = f"sub_{fern.id}"
    first = about_subscription("active", fern.account, ada, name, direct)
    await worker.store(first)
    await worker.work()
    assert await granted(fern)
    before = await changes(fern)
    await worker.store(about_access(GONE, fern.account))
    await worker.work()
    assert (await fern.get("/lifecycle"))["state"] == "disconnected"
    later = [about_subscription(status, fern.account, ada, name, direct) for status in ("unpaid", "active", "past_due")]
    await worker.store(*later)
    await worker.work()
    held = {each["id"] for each in later}
    assert {state for name, state in (await worker.states()).items() if name in held} == {"held"}
    assert (await fern.get("/lifecycle"))["held_events"] == 3
    assert await granted(fern)
    await worker.store(about_access(BACK, fern.account))
    await worker.work()
    found = await fern.get("/lifecycle")
    assert (found["state"], found["held_events"], found["coming_back"]) == ("onboarding", 0, False)
    assert {state for name, state in (await worker.states()).items() if name in held} == {"done"}
    subscriptions = await fern.get("/customers/ada/subscriptions")
    assert [each["status"] for each in subscriptions["data"]] == ["past_due"]
    assert (await changes(fern))[len(before) :] in ([], ["return"])
    assert await granted(fern)


async def test_a_tenant_whose_step_fails_does_not_hold_up_those_after_it(
    fern: TenantApi, kiln: TenantApi, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in (fern, kiln):
        await step(tenant, "archive")
        assert (await step(tenant, "restore"))["coming_back"]
    (first,) = await fern.api.sql("select id from tenants where public_id = $1", fern.id)
    advance = coming_back.advance

    async def failing(connection: asyncpg.Connection, tenant_id: int) -> None:
        if tenant_id == first["id"]:
            raise RuntimeError
        await advance(connection, tenant_id)

    with monkeypatch.context() as patch:
        patch.setattr(coming_back, "advance", failing)
        for _ in range(10):
            await keeping.keep(worker.keeper)
    rows = await fern.api.sql(
        "select coming_back from tenants where public_id = any ($1) order by id", [fern.id, kiln.id]
    )
    assert [row["coming_back"] for row in rows] == [True, False]
    await worker.work()


async def test_access_that_ended_meanwhile_ends_once_on_return(fern: TenantApi, worker: Worker) -> None:
    ada, name = await selling(fern), f"sub_{fern.id}"
    await worker.store(about_subscription("active", fern.account, ada, name))
    await worker.work()
    await step(fern, "archive")
    await worker.store(*(about_subscription(each, fern.account, ada, name) for each in ("unpaid", "active", "unpaid")))
    await worker.work()
    before = await changes(fern)
    assert (await step(fern, "restore"))["coming_back"]
    await worker.work()
    assert (await changes(fern))[len(before) :] == ["return"]
    assert not await granted(fern)


async def test_an_account_is_bound_while_its_events_are_applied_and_neither_waits_in_a_circle(
    fern: TenantApi, worker: Worker
) -> None:
    account = await fern.api.sandbox.call("GET", f"/v1/accounts/{fern.account}")
    waiting = "select exists (select from pg_locks where pid = $1 and not granted)"
    async with (
        services_of(fern) as services,
        services.database.platform_pool.acquire() as binder,
        worker.pool.acquire() as connection,
    ):
        tenant = await tenant_by_id(services, fern.id)

        async def bound() -> str | None:
            async with binder.transaction():
                return (await bind(binder, tenant, Seen(account))).stripe_account

        async with connection.transaction(), Units(connection).tenant(tenant.id) as unit:
            await apply_account(unit, account | {"email": "new@fern.example"}, None)
            await unit.flush()
            binding = asyncio.create_task(bound())
            async with asyncio.timeout(60):
                while not await worker.keeper.fetchval(waiting, binder.get_server_pid()):
                    await asyncio.sleep(0.01)
            await following.bring_in_line(unit, None)
        assert await binding == fern.account


async def test_a_return_ends_though_more_events_are_due_all_the_time(fern: TenantApi, worker: Worker) -> None:
    ada, name = await selling(fern), f"sub_{fern.id}"
    first = about_subscription("active", fern.account, ada, name)
    await worker.store(first)
    await worker.work()
    await step(fern, "archive")
    held = about_subscription("unpaid", fern.account, ada, name)
    await worker.store(held)
    await worker.work()
    await step(fern, "restore")
    await keeping.keep(worker.keeper)
    await fern.api.sql(
        "update inbox set state = 'pending', reason = 'RuntimeError', not_before = now() where event_id = $1",
        first["id"],
    )
    await keeping.keep(worker.keeper)
    assert (await fern.get("/lifecycle"))["coming_back"], "what was held is waited for"
    await fern.api.sql("update inbox set state = 'done' where event_id = $1", held["id"])
    await keeping.keep(worker.keeper)
    assert (await fern.api.sql("select coming_back from tenants where public_id = $1", fern.id))[0][0] is False
    assert (await fern.get("/lifecycle"))["coming_back"], "entitlements are not computed from it yet"
    await worker.work()
    assert not (await fern.get("/lifecycle"))["coming_back"]


async def test_the_word_that_access_was_taken_goes_before_all_else_of_its_batch(
    fern: TenantApi, worker: Worker
) -> None:
    ada = await selling(fern)
    behind = about_subscription("active", fern.account, ada, f"sub_{fern.id}")
    await worker.store(behind, about_access(GONE, fern.account))
    await worker.work()
    assert (await worker.states())[behind["id"]] == "held"
    assert not await granted(fern)


async def test_who_was_suspended_is_so_again_after_disconnecting_and_coming_back(
    fern: TenantApi, worker: Worker
) -> None:
    await step(fern, "suspend")
    for kind, state in ((GONE, "disconnected"), (BACK, "suspended")):
        await worker.store(about_access(kind, fern.account))
        await worker.work()
        found = await fern.get("/lifecycle")
        assert found["state"] == state
    assert found["reason"] == "Chargebacks"
    problem(await fern.call("POST", "/customers/ada/portal-sessions", {}), 409, "tenant")
    await worker.store(about_access(GONE, fern.account))
    await worker.work()
    back = await step(fern, "reconnect", reason="They called")
    assert (back["state"], back["reason"]) == ("suspended", "Chargebacks"), "why it is closed, not why it came back"
    (line,) = (await fern.get("/audit?action=tenant.reconnected"))["data"]
    assert (line["after"]["state_reason"], line["after"]["reason"]) == ("Chargebacks", "They called")
    assert (await step(fern, "resume", reason="Paid"))["reason"] == "Paid"


async def test_a_suspension_below_another_state_keeps_its_own_reason_whoever_brings_the_tenant_back(
    fern: TenantApi, worker: Worker
) -> None:
    suspended = await step(fern, "suspend", reason="Fraud check")
    await step(fern, "archive", reason="Tidy up")
    for returning in ("restore", "reconnect"):
        found = await step(fern, returning, reason="Customer called")
        assert (found["state"], found["reason"], found["by"]) == ("suspended", "Fraud check", suspended["by"])
        passage = (await fern.get("/lifecycle/history?limit=1"))["data"][0]
        assert (passage["state"], passage["reason"]) == ("suspended", "Customer called"), "why it came back is kept"
        later = int(time.time()) + 60  # than the look by which it came back
        await worker.store(about_access(GONE, fern.account) | {"created": later})
        await worker.work()
        earlier = (
            "update connected_accounts set disconnected_at = now() - interval '5 seconds' where stripe_account = $1"
        )
        await fern.api.sql(earlier, fern.account)
    await step(fern, "archive", reason="Tidy up")
    found = await step(fern, "restore", reason="Customer called")
    assert (found["state"], found["reason"]) == ("disconnected", None), "nor is it the reason of the disconnection"


async def test_the_same_account_comes_back_by_the_platform_teams_word_if_stripe_agrees(
    fern: TenantApi, worker: Worker
) -> None:
    late = about_access(GONE, fern.account)
    await worker.store(late)
    await worker.work()
    assert (await step(fern, "reconnect"))["coming_back"]
    await worker.work()
    assert (await fern.get("/lifecycle"))["state"] == "onboarding"
    (line,) = (await fern.get("/audit?action=tenant.reconnected"))["data"]
    assert (line["before"]["state"], line["after"]["state"]) == ("disconnected", "onboarding")
    await worker.store(late | {"id": "evt_again"})
    await worker.work()
    assert (await fern.get("/lifecycle"))["state"] == "onboarding"
    other = await fern.call("POST", "/reconnect", REASON, key=fern.api.key)
    problem(other, 409, "tenant")


async def test_what_is_no_account_of_the_platform_or_another_tenants_is_refused(
    fern: TenantApi, kiln: TenantApi, worker: Worker
) -> None:
    await worker.store(about_access(GONE, fern.account))
    await worker.work()
    own = (await fern.api.sandbox.call("GET", "/v1/account"))["id"]
    for account in ("acct_unknown", own, kiln.account):
        reply = await fern.call("POST", "/reconnect", REASON | {"account": account}, key=fern.api.key)
        problem(reply, 409 if account == kiln.account else 400, "account")
    found = await fern.get("/lifecycle")
    assert (found["state"], (await fern.get(""))["account"]) == ("disconnected", fern.account)


async def test_who_never_had_an_account_does_not_come_back_with_one(api: Api, fern: TenantApi) -> None:
    invited = await api.tenant(name="Invited", country=None, connect="oauth")
    await step(invited, "archive")
    assert (await invited.get("/lifecycle"))["steps"] == ["restore", "remove"]
    spare = (await api.sandbox.call("POST", "/v1/accounts", {"country": "DE", "type": "express"}))["id"]
    for body in ({}, {"account": spare}):
        problem(await invited.call("POST", "/reconnect", REASON | body, key=api.key), 409, "tenant")
    assert (await invited.get(""))["account"] is None
    assert (await step(invited, "restore"))["state"] == "invited"


async def test_each_passage_has_its_own_reason_and_no_other_ones(api: Api, fern: TenantApi, worker: Worker) -> None:
    await enable(fern)
    assert (await fern.get("/readiness"))["state"] == "ready"
    await fern.api.sql("update tenants set live_at = now() where public_id = $1", fern.id)
    await step(fern, "suspend")
    assert (await step(fern, "resume", reason="Paid"))["reason"] == "Paid"
    for kind, state in ((GONE, "disconnected"), (BACK, "live")):
        await worker.store(about_access(kind, fern.account))
        await worker.work()
        found = await fern.get("/lifecycle")
        assert (found["state"], found["reason"]) == (state, None)
    new = await api.tenant(name="New")
    await enable(new)
    await api.sql("update tenants set stripe_account = null where public_id = $1", new.id)
    await worker.store(about_access(GONE, fern.account))
    await worker.work()
    found = await step(fern, "reconnect", reason="Back", account=new.account)
    assert (found["state"], found["reason"]) == ("live", "Back")
    (line,) = (await fern.get("/audit?action=tenant.reconnected"))["data"]
    assert (line["after"]["state"], line["after"]["state_reason"]) == ("live", "Back")


@pytest.mark.parametrize("charge_type", [ChargeType.DESTINATION, ChargeType.DIRECT])
async def test_with_another_account_nothing_of_the_old_one_comes_back_to_life(
    api: Api, worker: Worker, charge_type: str
) -> None:
    fern = await api.tenant(charge_type=charge_type)
    ada, direct = await selling(fern), charge_type == "direct"
    name = f"sub_{fern.id}"
    await worker.store(about_subscription("active", fern.account, ada, name, direct))
    await worker.work()
    await worker.store(about_access(GONE, fern.account))
    await worker.work()
    held = about_subscription("active", fern.account, ada, name, direct)
    card = about_payment_method(ada)
    await worker.store(held, *([] if direct else [card]))
    await worker.work()
    new = (await api.sandbox.call("POST", "/v1/accounts", {"country": "DE", "type": "express"}))["id"]
    await api.sql("update tenants set account_api = 'v2' where public_id = $1", fern.id)  # of the old one
    await step(fern, "reconnect", account=new)
    await worker.work()
    found = await fern.get("")
    assert (found["account"], found["account_api"]) == (new, "v1")
    late = [about_subscription("active", fern.account, ada, name, direct), about_access(GONE, fern.account)]
    await worker.store(*late)
    await worker.work()
    states = await worker.states()
    assert [states[each["id"]] for each in (held, *late)] == ["ignored"] * 3
    assert direct or states[card["id"]] == "done"
    assert not await granted(fern)
    assert (await fern.get("/lifecycle"))["state"] == "onboarding"
    customer = await fern.customer()
    assert (customer["stripe_customer"] == ada) is not direct
    await worker.store(about_subscription("active", new, customer["stripe_customer"], f"{name}_new", direct))
    await worker.work()
    assert await granted(fern)
