"""Failed calls of operators' own handlers: listed, and made once more, by the platform team alone."""

from typing import Any

import pytest

from tests.conftest import ScratchDatabase
from tests.platform.deliveries import Admin, admin, event, web
from tests.platform.test_webhooks_events import settle, tenant_key

pytestmark = pytest.mark.slow

CALL = (
    "insert into extension_calls (inbox_id, tenant_id, extension, state, attempts, reason, not_before, done_at) "
    "select id, tenant_id, $2, $3, $4, $5, now() + interval '1 h', case when $3 = 'pending' then null else now() end "
    "from inbox where event_id = $1 returning 'ext_' || id"
)
STATES = ("pending", "dead", "done")


async def failed(db: Admin, client: Any) -> tuple[dict[str, str], str]:
    """One call in each state, of a tenant's event; and one dead one of another handler and tenant."""
    anna, bert = await db.tenant("acct_anna"), await db.tenant("acct_bert")
    sent, others = event("invoice.paid"), event("invoice.paid")
    for each, tenant in ((sent, anna), (others, bert)):
        await client.deliver(each)
        await settle(db, each["id"], "done", tenant)
    calls = {
        state: await db.connection.fetchval(CALL, sent["id"], f"acme:{state}", state, 12, "RuntimeError: Acme is down")
        for state in STATES
    }
    return calls, await db.connection.fetchval(CALL, others["id"], "other:dead", "dead", 12, "no")


async def test_they_are_listed_newest_first_by_pages_and_filters(shared_database: ScratchDatabase) -> None:
    async with admin(shared_database) as db, web(shared_database) as client:
        await db.clear()
        calls, other = await failed(db, client)
        wanted = {
            "": [other, calls["done"], calls["dead"], calls["pending"]],
            "state=dead": [other, calls["dead"]],
            "state=dead&tenant=ten_acct_anna": [calls["dead"]],
            "extension=other:dead": [other],
        }
        for query, ids in wanted.items():
            answer = (await client.call("GET", f"/v1/extension-calls?{query}")).json()
            assert [each["id"] for each in answer["data"]] == ids
        first = (await client.call("GET", "/v1/extension-calls?limit=3")).json()
        rest = (await client.call("GET", f"/v1/extension-calls?limit=3&after={first['next']}")).json()
        assert ([each["id"] for each in rest["data"]], rest["next"]) == ([calls["pending"]], None)
        shown = first["data"][2]
        assert (shown["type"], shown["tenant"], shown["attempts"]) == ("invoice.paid", "ten_acct_anna", 12)
        assert (shown["reason"], shown["next_attempt_at"]) == ("RuntimeError: Acme is down", None)


async def test_a_failed_one_is_made_once_more_and_one_that_succeeded_is_not(shared_database: ScratchDatabase) -> None:
    async with admin(shared_database) as db, web(shared_database) as client:
        await db.clear()
        calls, _ = await failed(db, client)
        for state in ("dead", "pending"):
            answer = await client.call("POST", f"/v1/extension-calls/{calls[state]}/replay")
            assert answer.status_code == 202, answer.text
            assert (answer.json()["state"], answer.json()["attempts"]) == ("pending", 0)
        assert (await client.call("POST", f"/v1/extension-calls/{calls['done']}/replay")).status_code == 409
        for unknown in ("ext_999999999", "ext_x", "1", "ext_9999999999999999999"):
            answer = await client.call("POST", f"/v1/extension-calls/{unknown}/replay")
            assert (answer.status_code, answer.json()["param"]) == (404, "call")
        due = "select count(*) from extension_calls where state = 'pending' and not_before <= now() and done_at is null"
        assert await db.connection.fetchval(due) == 2
        assert {row["state"] for row in await db.inbox()} == {"done"}, "the core handler is not run again"


@pytest.mark.parametrize(
    ("body", "status", "count"),
    [
        ({"state": "dead"}, 202, 2),
        ({"state": "dead", "extension": "acme:dead"}, 202, 1),
        ({"tenant": "ten_acct_anna"}, 202, 2),
        ({"state": "done"}, 202, 0),
        ({}, 400, 0),
        ({"state": "lost"}, 400, 0),
        ({"handler": "acme:dead"}, 400, 0),
    ],
)
async def test_many_are_made_once_more_by_filter(
    shared_database: ScratchDatabase, body: dict[str, Any], status: int, count: int
) -> None:
    async with admin(shared_database) as db, web(shared_database) as client:
        await db.clear()
        await failed(db, client)
        answer = await client.call("POST", "/v1/extension-calls/replay", body=body)
        assert (answer.status_code, answer.json().get("calls", 0)) == (status, count)
        assert await db.connection.fetchval("select count(*) from extension_calls where attempts = 0") == count


async def test_they_are_for_the_platform_team(shared_database: ScratchDatabase) -> None:
    async with admin(shared_database) as db, web(shared_database) as client:
        await db.clear()
        calls, _ = await failed(db, client)
        anna = await db.connection.fetchval("select id from tenants where stripe_account = 'acct_anna'")
        key = await tenant_key(db, anna)
        for method, path in (
            ("GET", "/v1/extension-calls"),
            ("POST", f"/v1/extension-calls/{calls['dead']}/replay"),
            ("POST", "/v1/extension-calls/replay"),
        ):
            body = {"state": "dead"} if path.endswith("calls/replay") else None
            assert (await client.call(method, path, key, body)).status_code == 403
        assert await db.connection.fetchval("select count(*) from extension_calls where attempts = 0") == 0


@pytest.mark.parametrize(("query", "param"), [("state=lost", "state"), ("after=%21", "after"), ("after=LTE", "after")])
async def test_a_query_that_makes_no_sense_is_refused_by_name(
    shared_database: ScratchDatabase, query: str, param: str
) -> None:
    async with web(shared_database) as client:
        answer = await client.call("GET", f"/v1/extension-calls?{query}")
        assert (answer.status_code, answer.json()["param"]) == (400, param)
