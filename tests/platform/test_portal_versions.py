"""Each content of a portal configuration is a version: told apart, rolled back to, planned, and retried."""

import asyncio
from typing import Any

import pytest

from colonnade.portals.keeping import keep_due
from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, Api, TenantApi, problem, running_api
from tests.platform.portals import (
    CREATE,
    OPEN,
    at_stripe,
    body,
    listed,
    offering,
    post,
    services_of,
    worker_looks,
    writes,
)

HISTORY = {"invoice_history": {"enabled": True}}


async def test_versions_say_what_was_wanted_when_and_who_wanted_it(fern: TenantApi) -> None:
    await fern.put(OPEN, body())
    await fern.put(OPEN, body(**HISTORY))
    page = await fern.get(f"{OPEN}/versions?limit=1")
    rest = await fern.get(f"{OPEN}/versions?after={page['next']}")
    found = page["data"] + rest["data"]
    keys = [
        row["public_id"] for row in await fern.api.sql("select public_id from api_keys where tenant_id is not null")
    ]
    assert [each["version"] for each in found] == [2, 1]
    assert [each["settings"]["features"]["invoice_history"]["enabled"] for each in found] == [True, False]
    assert all(each["change"] == "put" and each["author"] in keys for each in found)
    assert len({each["content_hash"] for each in found}) == 2
    told = await fern.get(f"{OPEN}/diff")
    assert told == {
        "before": 1,
        "after": 2,
        "changes": [{"field": "features.invoice_history.enabled", "before": False, "after": True}],
    }
    assert (await fern.get(f"{OPEN}/diff?before=2&after=1"))["changes"][0]["after"] is False
    whole = await fern.get(f"{OPEN}/diff?before=0&after=1")
    assert "features.subscription_cancel.enabled" in [each["field"] for each in whole["changes"]]


async def test_a_rollback_is_a_new_version_with_old_settings(fern: TenantApi) -> None:
    await fern.put(OPEN, body())
    await fern.put(OPEN, body(**HISTORY))
    back = await post(fern, f"{OPEN}/rollback", {"version": 1})
    assert (back["version"], back["state"], back["features"]["invoice_history"]["enabled"]) == (3, "applied", False)
    assert not (await at_stripe(fern, back))["features"]["invoice_history"]["enabled"]
    before = await writes(fern)
    again = await post(fern, f"{OPEN}/rollback", {"version": 1})
    assert (again["version"], await writes(fern)) == (3, before)
    assert (await fern.get(f"{OPEN}/versions"))["data"][0]["change"] == "rollback"


async def test_a_deactivated_configuration_is_so_at_stripe_until_it_is_put_again(fern: TenantApi) -> None:
    await fern.configuration("main")
    made = await fern.configuration("other")
    gone = await post(fern, "/portal-configurations/other/deactivate")
    assert (gone["active"], gone["version"]) == (False, 2)
    assert not (await at_stripe(fern, made))["active"]
    before = await writes(fern)
    assert await post(fern, "/portal-configurations/other/deactivate") == gone
    assert await writes(fern) == before
    problem(await fern.call("POST", f"{OPEN}/deactivate", {}), 409, "name")
    back = await fern.configuration("other")
    assert (back["active"], back["version"]) == (True, 3)
    assert (await at_stripe(fern, back))["active"]
    assert not (await post(fern, "/portal-configurations/other/rollback", {"version": 2}))["active"]


async def test_a_plan_tells_what_would_change_and_writes_nothing(fern: TenantApi) -> None:
    planned = await post(fern, f"{OPEN}/plan", body())
    assert (planned["action"], planned["version"], planned["default"]) == ("create", 1, True)
    assert await writes(fern) == []
    problem(await fern.call("GET", OPEN), 404, "name")
    await fern.put(OPEN, body())
    assert (await post(fern, f"{OPEN}/plan", body()))["action"] == "none"
    before = await writes(fern)
    planned = await post(fern, f"{OPEN}/plan", body(**HISTORY))
    assert (planned["action"], planned["version"]) == ("update", 2)
    assert planned["changes"] == [{"field": "features.invoice_history.enabled", "before": False, "after": True}]
    assert await writes(fern) == before
    assert (await fern.get(OPEN))["version"] == 1
    await fern.put(OPEN, body(**HISTORY))
    assert (await post(fern, f"{OPEN}/plan", body(**HISTORY)))["changes"] == []


async def test_no_connection_is_held_while_stripe_is_asked(fern: TenantApi) -> None:
    await fern.api.sandbox.fail(next=100, status=0, delay=1.5, path="/v1/billing_portal")
    puts = [asyncio.create_task(fern.call("PUT", f"/portal-configurations/c{n}", body())) for n in range(12)]
    await asyncio.sleep(0.7)
    held = await fern.api.sql(
        "select query from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
        " and pid <> pg_backend_pid() and now() - state_change > interval '200 ms'"
    )
    assert held == []
    # The eight connections of the pool are free: a read is answered at once although twelve writes wait for Stripe.
    assert not all(each.done() for each in puts)
    assert (await fern.call("GET", "/portal-configurations")).status_code == 200
    await fern.api.sandbox.fail()
    assert {reply.status_code for reply in await asyncio.gather(*puts)} == {200}


async def test_two_writers_of_one_configuration_take_turns(fern: TenantApi) -> None:
    wanted = [body(**HISTORY), body()] * 3
    replies = await asyncio.gather(*(fern.call("PUT", OPEN, each) for each in wanted))
    assert {reply.status_code for reply in replies} == {200}
    last = await fern.get(OPEN)
    versions = [each["version"] for each in (await fern.get(f"{OPEN}/versions"))["data"]]
    assert versions == [*range(last["version"], 0, -1)]
    there = await at_stripe(fern, last)
    assert there["features"]["invoice_history"] == last["features"]["invoice_history"]
    assert there["metadata"]["colonnade_version"] == str(last["version"])


async def test_the_worker_goes_on_with_what_stripe_could_not_be_asked_for(
    shared_database: ScratchDatabase, fern: TenantApi
) -> None:
    async with running_api(shared_database, fern.api.sandbox, stripe=NOWHERE) as down:
        made = await TenantApi(down, fern.said).put(OPEN, body())
        assert made["state"] == "pending"
    await worker_looks(fern)
    applied = await fern.get(OPEN)
    assert (applied["state"], applied["version"]) == ("applied", 1)
    assert (await writes(fern)).count(CREATE) == 1


@pytest.mark.alone
async def test_a_lost_creation_and_a_changed_mind_make_one_configuration(fern: TenantApi) -> None:
    # The answers to the creation alone are lost: reads before it succeed.
    await fern.api.sandbox.fail(next=3, status=503, after=True, path=CREATE)
    assert (await fern.put(OPEN, body()))["state"] == "pending"
    await fern.api.sandbox.fail()
    applied = await fern.put(OPEN, body(**HISTORY))
    assert (applied["state"], applied["version"]) == ("applied", 2)
    found = (await fern.api.sandbox.call("GET", CREATE))["data"]
    assert [each["id"] for each in found] == [applied["stripe_configuration"]]
    assert found[0]["features"]["invoice_history"]["enabled"]


async def test_what_stripe_refuses_a_worker_is_told_and_may_be_mended(
    shared_database: ScratchDatabase, fern: TenantApi
) -> None:
    price = await fern.api.sandbox.price()
    async with running_api(shared_database, fern.api.sandbox, stripe=NOWHERE) as down:
        await TenantApi(down, fern.said).put(OPEN, offering(listed(price) | {"product": "prod_none"}))
    await worker_looks(fern)
    refused = await fern.get(OPEN)
    assert refused["state"] == "refused"
    assert "prod_none" in refused["problem"]
    assert refused["problem"].startswith("features.subscription_update.products[0].product")
    assert (await fern.put(OPEN, offering(listed(price))))["state"] == "applied"


async def test_a_writer_that_lost_its_turn_writes_nothing_more(fern: TenantApi) -> None:
    await fern.put(OPEN, body())
    await fern.api.sandbox.fail(next=100, status=0, delay=1.2, path="/v1/billing_portal")
    late = asyncio.create_task(fern.call("PUT", OPEN, body(**HISTORY)))
    await asyncio.sleep(0.4)
    await fern.api.sql("update portal_work set lease = 'another', lease_until = now() + interval '1 minute'")
    assert (await late).status_code == 503
    await fern.api.sandbox.fail()
    await fern.api.sql("update portal_work set lease = null, lease_until = null")
    assert (await fern.get(OPEN))["applied_version"] == 1
    await worker_looks(fern)
    assert (await fern.get(OPEN))["state"] == "applied"


async def test_only_parameters_of_stripes_are_sent_and_empty_ones_clear(fern: TenantApi) -> None:
    price = await fern.api.sandbox.price()
    waits = {"conditions": [{"type": "decreasing_item_amount"}]}
    full = offering(listed(price), schedule_at_period_end=waits, default_allowed_updates=["quantity"])
    await fern.put(OPEN, full | {"business_profile": {"headline": "Hello"}, "metadata": {"a": "1"}})
    done = await fern.put(OPEN, offering(listed(price)))
    there = await at_stripe(fern, done)
    assert there["business_profile"]["headline"] is None
    assert there["features"]["subscription_update"]["schedule_at_period_end"]["conditions"] == []
    assert "a" not in there["metadata"]
    for row in await fern.api.sandbox.requests(path=f"{CREATE}/{done['stripe_configuration']}"):
        assert row["status"] == 200  # the sandbox refuses what is no parameter, as Stripe does


@pytest.mark.parametrize(
    ("path", "sent", "status", "param"),
    [
        ("/rollback", {}, 400, "version"),
        ("/rollback", {"version": 0}, 400, "version"),
        ("/rollback", {"version": 9}, 404, "version"),
        ("/rollback", {"version": "one"}, 400, "version"),
        ("/rollback", {"version": 1, "force": True}, 400, "force"),
        ("/plan", {"features": {"surprise": {}}}, 400, "features.surprise"),
        ("/plan", {"features": {}, "default": False}, 409, "default"),
    ],
)
async def test_bad_input_is_named(fern: TenantApi, path: str, sent: Any, status: int, param: str) -> None:
    made = await fern.put(OPEN, body())
    problem(await fern.call("POST", OPEN + path, sent), status, param)
    assert await fern.get(OPEN) == made


@pytest.mark.parametrize("query", ["versions?after=eA", "versions?limit=0", "diff?before=-1", "diff?after=x"])
async def test_a_bad_query_is_named(fern: TenantApi, query: str) -> None:
    await fern.put(OPEN, body())
    problem(await fern.call("GET", f"{OPEN}/{query}"), 400, query.partition("?")[2].partition("=")[0])


async def test_actions_on_what_is_not_there_are_404(fern: TenantApi) -> None:
    for action in ("apply", "deactivate", "check", "adopt", "revert"):
        problem(await fern.call("POST", f"{OPEN}/{action}", {}), 404, "name")
    problem(await fern.call("POST", f"{OPEN}/rollback", {"version": 1}), 404, "name")
    problem(await fern.call("GET", f"{OPEN}/versions"), 404, "name")
    left = "select w.name from portal_work w join tenants t on t.id = w.tenant_id where public_id = $1"
    assert await fern.api.sql(left, fern.id) == []


async def test_another_tenant_reaches_nothing_of_it(api: Api, fern: TenantApi, kiln: TenantApi) -> None:
    made = await fern.put(OPEN, body())
    await fern.put("/portal-policy", {"drift": "revert"})
    before = await writes(fern)
    routes = [("GET", path) for path in ("", "/versions", "/diff")]
    routes += [
        ("POST", f"/{action}") for action in ("plan", "apply", "rollback", "deactivate", "check", "adopt", "revert")
    ]
    for method, path in [*routes, ("PUT", "")]:
        sent = {"version": 1} if path == "/rollback" else body() if method != "GET" else None
        with_key = await api.call(method, f"/v1/tenants/{fern.id}{OPEN}{path}", sent, key=kiln.key)
        problem(with_key, 404, "tenant")
        if path not in ("", "/plan"):  # its own, of the same name, is not there
            problem(await kiln.call(method, OPEN + path, sent), 404, "name")
    for method in ("GET", "PUT"):
        sent = {"drift": "report"} if method == "PUT" else None
        problem(await api.call(method, f"/v1/tenants/{fern.id}/portal-policy", sent, key=kiln.key), 404, "tenant")
    assert (await kiln.get("/portal-policy"))["drift"] == "report"
    assert await fern.get(OPEN) == made
    assert await writes(fern) == before


async def test_the_worker_leaves_alone_what_somebody_writes(fern: TenantApi) -> None:
    await fern.put(OPEN, body())
    before = await fern.api.sandbox.requests("GET")
    await fern.api.sql("update portal_work set due_at = now(), lease = 'x', lease_until = now() + interval '1 minute'")
    async with services_of(fern) as services:
        assert await keep_due(services) == 0
    assert await fern.api.sandbox.requests("GET") == before
    await fern.api.sql("update portal_work set lease = null, lease_until = null, due_at = null")
