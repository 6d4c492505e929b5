"""Readiness follows Stripe's events in any order, is remembered, and makes a worklist."""

import json
import random
from copy import copy
from typing import Any

import pytest

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.extensions import Extensions
from colonnade_tenants.handlers import HANDLERS
from tests.conftest import ScratchDatabase
from tests.platform.api import Api, TenantApi, problem, running_api
from tests.platform.portals import services_of
from tests.platform.test_onboarding import enable


async def events_of(tenant: TenantApi) -> list[dict[str, Any]]:
    """What Stripe has told of the tenant's account, oldest first; as if a second had passed between any two."""
    found = (await tenant.api.sandbox.call("GET", "/v1/events?limit=100", account=tenant.account))["data"][::-1]
    return [event | {"created": found[0]["created"] + place} for place, event in enumerate(found)]


async def handled(tenant: TenantApi, events: list[dict[str, Any]]) -> None:
    """The worker takes *events* in this order, one batch each; all must end as done."""
    ids = [event["id"] for event in events]
    async with services_of(tenant) as services:
        dispatcher = Dispatcher(services.stripe, HANDLERS, Extensions(services.stripe, ()))
        async with await create_pool(tenant.api.database.service_url, Duty.WORKER, size=1) as pool:
            for event in events:
                await tenant.api.sql(
                    "insert into inbox (event_id, endpoint, account, type, object_id, created, livemode, body) "
                    "values ($1, 'connect', $2, $3, $4, to_timestamp($5), false, $6) on conflict do nothing",
                    *(event["id"], tenant.account, event["type"], event["id"], event["created"]),
                    json.dumps(event | {"account": tenant.account}).encode(),
                )
                while await dispatcher.batch(pool):
                    pass
    states = await tenant.api.sql("select distinct state from inbox where event_id = any ($1)", ids)
    assert {row["state"] for row in states} <= {"done", "ignored"}


async def worklist(api: Api, *states: str) -> dict[str, dict[str, Any]]:
    query = "&".join(f"readiness={state}" for state in states)
    reply = await api.call("GET", f"/v1/tenants?limit=100&{query}")
    assert reply.status_code == 200, reply.text
    return {row["id"]: row["readiness"] for row in reply.json()["data"]}


async def history(tenant: TenantApi) -> list[tuple[str | None, str, str]]:
    found = (await tenant.get("/readiness/history"))["data"]
    return [(row["previous"], row["state"], row["cause"]) for row in reversed(found)]


async def test_events_make_the_state_the_history_and_the_worklist(api: Api, fern: TenantApi, kiln: TenantApi) -> None:
    for state in ("enabled", "restricted_soon", "restricted", "enabled", "rejected"):
        await enable(fern, state)
    await handled(fern, await events_of(fern))
    told = await history(fern)
    assert [(before, state) for before, state, _ in told] == [
        (None, "onboarding"),
        ("onboarding", "ready"),
        ("ready", "restricted_soon"),
        ("restricted_soon", "restricted"),
        ("restricted", "ready"),
        ("ready", "rejected"),
    ]
    assert told[0][2] == "read"
    assert all(cause.startswith("evt_") for _, _, cause in told[1:])
    assert (await worklist(api, "rejected")).keys() >= {fern.id}
    assert kiln.id not in await worklist(api, "rejected", "restricted")
    assert (await worklist(api, "onboarding"))[kiln.id]["state"] == "onboarding"
    shown = (await worklist(api))[fern.id]
    assert (shown["state"], shown["waits_for"]) == ("rejected", ["stripe"])
    assert "suspects fraud" in shown["reason"]
    assert (await history(kiln)) == [(None, "onboarding", "read")]
    (rejected,) = await api.sql("select count(*) from tenant_readiness where state = 'rejected'")
    metrics = (await api.call("GET", "/metrics", key="")).text
    assert f'colonnade_tenants{{readiness="rejected"}} {rejected["count"]}.0' in metrics
    every = (await api.call("GET", "/v1/readiness-changes?limit=2")).json()
    assert [row["tenant"] for row in every["data"]] == [fern.id, fern.id]
    assert (await api.call("GET", f"/v1/readiness-changes?limit=2&after={every['next']}")).json()["data"]


async def test_the_worklist_leaves_out_who_was_put_away_unless_asked_for_them(api: Api, fern: TenantApi) -> None:
    assert fern.id in await worklist(api, "onboarding")
    archived = await fern.call("POST", "/archive", {"reason": "Tidy up"}, key=api.key)
    assert archived.status_code == 200, archived.text
    assert fern.id not in await worklist(api, "onboarding")

    async def listed(query: str) -> dict[str, str]:
        rows = (await api.call("GET", f"/v1/tenants?limit=100&{query}")).json()["data"]
        return {row["id"]: row["state"] for row in rows}

    assert (await listed("readiness=onboarding&state=archived"))[fern.id] == "archived"
    assert set((await listed("state=archived")).values()) == {"archived"}
    assert fern.id not in await listed("state=live&state=onboarding")
    problem(await api.call("GET", "/v1/tenants?state=asleep"), 400, "state")


async def test_the_tenant_is_told_once_for_each_change(api: Api, fern: TenantApi) -> None:
    await enable(fern, "enabled")
    await enable(fern, "restricted_soon")
    await handled(fern, await events_of(fern))
    rows = await api.sql(
        "select payload::jsonb -> 'data' as data from notifications n join tenants t on t.id = n.tenant_id "
        "where t.public_id = $1 order by n.id",
        fern.id,
    )
    first, last = json.loads(rows[0]["data"]), json.loads(rows[-1]["data"])
    assert (first["previous_state"], first["state"]) == (None, "onboarding")
    assert (last["previous_state"], last["state"], last["waits_for"]) == ("ready", "restricted_soon", ["business"])
    assert last["requirements"][0]["words"] == "A document that shows the company's registration"
    assert last["deadline"] == last["requirements"][0]["deadline"]


@pytest.mark.parametrize("seed", [1, 2])
async def test_reordered_and_doubled_events_do_not_undo_the_newest(fern: TenantApi, seed: int) -> None:
    for state in ("enabled", "restricted", "enabled", "restricted_soon"):
        await enable(fern, state)
    events = await events_of(fern)
    shuffled = random.Random(seed).sample(events, len(events))
    await handled(fern, shuffled)
    assert (await worklist(fern.api))[fern.id]["state"] == "restricted_soon"
    before = await history(fern)
    for event in events[:5]:
        event["id"] = f"{event['id']}_again"
    await handled(fern, events[:5])
    assert await history(fern) == before


async def test_a_look_at_stripe_is_remembered_and_an_older_event_does_not_undo_it(fern: TenantApi) -> None:
    await enable(fern, "enabled")
    assert (await fern.get("/readiness"))["state"] == "ready"
    assert (await history(fern))[-1] == ("onboarding", "ready", "read")
    said = [event for event in await events_of(fern) if event["type"] == "account.updated"]
    await handled(fern, [said[0] | {"created": said[0]["created"] - 3600}])
    assert (await history(fern))[-1] == ("onboarding", "ready", "read")


async def test_a_person_whose_requirements_are_news_has_the_account_read(api: Api, fern: TenantApi) -> None:
    await enable(fern, "enabled")
    person = next(event for event in await events_of(fern) if event["type"].startswith("person."))
    await handled(fern, [person])
    assert (await history(fern))[-1] == (None, "onboarding", "read"), "nothing is wanted of them, as before"
    person["id"], person["data"]["object"]["requirements"]["past_due"] = f"{person['id']}_2", ["dob.day"]
    await handled(fern, [person])
    assert (await history(fern))[-1] == ("onboarding", "ready", person["id"])


async def test_an_account_that_left_is_disconnected_until_it_comes_back(api: Api, fern: TenantApi) -> None:
    await api.sandbox.call("DELETE", f"/v1/accounts/{fern.account}")
    gone = {
        "id": f"evt_gone_{fern.id}",
        "object": "event",
        "type": "account.application.deauthorized",
        "created": 4_000_000_000,
        "livemode": False,
        "data": {"object": {"id": "ca_1", "object": "application", "name": "x"}},
    }
    await handled(fern, [gone])
    assert (await worklist(api, "disconnected"))[fern.id]["waits_for"] == ["business"]
    assert (await fern.get("/readiness"))["state"] == "disconnected"


async def test_a_key_of_ours_that_may_not_read_accounts_does_not_look_like_the_business_left(
    api: Api, fern: TenantApi, shared_database: ScratchDatabase
) -> None:
    async with api.sandbox._client() as client:
        wanted = {"permissions": {"customers": "write"}}
        headers = {"Authorization": f"Bearer {api.sandbox.key}"}
        restricted = (await client.post("/_sandbox/restricted_keys", json=wanted, headers=headers)).json()["key"]
    weak = copy(api.sandbox)
    weak.key = restricted
    async with running_api(shared_database, weak) as limited:
        problem(await limited.call("GET", f"/v1/tenants/{fern.id}/readiness", key=fern.key), 422)


async def test_an_account_that_stripe_does_not_show_us_is_disconnected(api: Api, fern: TenantApi) -> None:
    await api.sandbox.call("DELETE", f"/v1/accounts/{fern.account}")
    assert (await fern.get("/readiness"))["state"] == "disconnected"


async def test_bad_queries_are_named(api: Api, fern: TenantApi) -> None:
    problem(await api.call("GET", "/v1/tenants?readiness=fine"), 400, "readiness")
    problem(await api.call("GET", "/v1/readiness-changes?after=!"), 400, "after")
    problem(await fern.call("GET", "/readiness/history?limit=0"), 400, "limit")
