"""Operators see every event, tenants their own; either without payloads; and an event can be replayed."""

import asyncio
from typing import Any

import pytest

from colonnade.access import keys
from tests.platform.deliveries import Admin, Running, Web, event


async def tenant_key(db: Admin, tenant_id: int) -> str:
    return (await keys.store(db.connection, keys.random_key("tenant"), "test", tenant_id)).secret


async def listed(client: Web, path: str, key: str | None = None) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    after = ""
    while True:
        separator = "&" if "?" in path else "?"
        answer = await client.call("GET", f"{path}{separator}limit=2{after}", key)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [each["id"] for each in page["data"]]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


async def settle(db: Admin, event_id: str, state: str, tenant: int | None = None, reason: str | None = None) -> None:
    await db.connection.execute(
        "update inbox set state = $2, tenant_id = $3, reason = $4, rung = 'account', attempts = 3, done_at = now(), "
        "not_before = now() + interval '1 h' where event_id = $1",
        event_id,
        state,
        tenant,
        reason,
    )


async def seeded(client: Web, db: Admin) -> tuple[dict[str, str], int, int]:
    """One event in each state, and two tenants; the first has two of them."""
    anna, bert = await db.tenant("acct_anna"), await db.tenant("acct_bert")
    states: list[tuple[str, int | None, str | None]] = [
        ("done", anna, None),
        ("dead", anna, "ValueError: no"),
        ("ignored", bert, "no handler"),
        ("quarantined", None, "two tenants"),
        ("pending", None, None),
    ]
    ids: dict[str, str] = {}
    for state, tenant, reason in states:
        sent = event(f"test.{state}", {"id": f"obj_{state}", "email": "someone@example.com"})
        await client.deliver(sent)
        ids[state] = sent["id"]
        if state != "pending":
            await settle(db, sent["id"], state, tenant, reason)
    return ids, anna, bert


async def test_the_platform_lists_all_newest_first_by_pages_and_filters(running: Running) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    newest_first = [ids[state] for state in ("pending", "quarantined", "ignored", "dead", "done")]
    assert await listed(client, "/v1/events") == newest_first
    for state, event_id in ids.items():
        assert await listed(client, f"/v1/events?state={state}") == [event_id]
        assert await listed(client, f"/v1/events?type=test.{state}") == [event_id]
    assert await listed(client, "/v1/events?tenant=ten_acct_anna") == [ids["dead"], ids["done"]]
    assert await listed(client, "/v1/events?tenant=ten_acct_anna&state=dead") == [ids["dead"]]


async def test_an_event_is_shown_without_its_payload(running: Running) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    answer = await client.call("GET", "/v1/events?state=dead")
    assert "someone@example.com" not in answer.text
    (shown,) = answer.json()["data"]
    expected: dict[str, Any] = {
        "id": ids["dead"],
        "type": "test.dead",
        "object": "obj_dead",
        "endpoint": "platform",
        "account": None,
        "tenant": "ten_acct_anna",
        "state": "dead",
        "attributed_by": "account",
        "reason": "ValueError: no",
        "attempts": 3,
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "next_attempt_at": None,
    }
    assert {name: shown[name] for name in expected} == expected
    assert set(shown) == {*expected, "created_at", "received_at", "done_at"}
    (waiting,) = (await client.call("GET", "/v1/events?state=pending")).json()["data"]
    assert (waiting["next_attempt_at"] is not None, waiting["done_at"]) == (True, None)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("state=lost", "state"),
        ("tenant=ten_nobody", "tenant"),
        ("after=%21", "after"),
        ("after=LTE", "after"),
        ("after=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ", "after"),
        ("limit=0", "limit"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_by_name(running: Running, query: str, param: str) -> None:
    client, _ = running
    answer = await client.call("GET", f"/v1/events?{query}")
    assert (answer.status_code, answer.json()["param"]) == (400, param)


async def test_a_tenant_lists_its_own_events_alone(running: Running) -> None:
    client, db = running
    ids, anna, bert = await seeded(client, db)
    of_anna, of_bert = await tenant_key(db, anna), await tenant_key(db, bert)
    assert await listed(client, "/v1/tenants/ten_acct_anna/events", of_anna) == [ids["dead"], ids["done"]]
    assert await listed(client, "/v1/tenants/ten_acct_anna/events?state=done", of_anna) == [ids["done"]]
    assert await listed(client, "/v1/tenants/ten_acct_bert/events", of_bert) == [ids["ignored"]]
    assert await listed(client, "/v1/tenants/ten_acct_bert/events") == [ids["ignored"]]
    assert (await client.call("GET", "/v1/tenants/ten_acct_bert/events", of_anna)).status_code == 404
    assert (await client.call("GET", "/v1/events", of_anna)).status_code == 403
    assert (await client.call("POST", f"/v1/events/{ids['dead']}/replay", of_anna)).status_code == 403


@pytest.mark.parametrize("state", ["dead", "quarantined", "ignored", "done"])
async def test_replay_starts_anew_and_wakes_the_workers(running: Running, state: str) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    woken = asyncio.Event()
    await db.connection.add_listener("colonnade_inbox", lambda *_: woken.set())
    answer = await client.call("POST", f"/v1/events/{ids[state]}/replay")
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    async with asyncio.timeout(5):
        await woken.wait()
    row = await db.row(ids[state])
    assert (row["state"], row["attempts"]) == ("pending", 0)
    assert [row[name] for name in ("reason", "tenant_id", "rung", "done_at")] == [None] * 4
    assert await db.connection.fetchval("select not_before <= now() from inbox where id = $1", row["id"])
    others = [each for each in await db.inbox() if each["event_id"] not in (ids[state], ids["pending"])]
    assert all(each["state"] != "pending" for each in others)


async def test_replay_of_what_waits_for_its_next_try_tries_now(running: Running) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    await settle(db, ids["done"], "pending")
    assert (await client.call("POST", f"/v1/events/{ids['done']}/replay")).status_code == 202
    assert (await client.call("POST", f"/v1/events/{ids['done']}/replay")).status_code == 409


async def test_replay_of_what_is_queued_or_unknown_is_refused(running: Running) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    assert (await client.call("POST", f"/v1/events/{ids['pending']}/replay")).status_code == 409
    unknown = await client.call("POST", "/v1/events/evt_nobody/replay")
    assert (unknown.status_code, unknown.json()["param"]) == (404, "event")
    assert (await db.row(ids["pending"]))["state"] == "pending"
