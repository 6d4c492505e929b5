"""Checks by API: the same answers from memory and from the database, and what makes memory forget."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from colonnade.checks import listener
from colonnade.database import connections
from tests.platform.api import Api, TenantApi, problem
from tests.platform.checking import KILL_LISTENERS, SEATS, answered, checks_of, give, heard, seats
from tests.platform.test_every_route import ROUTES

OPEN_TO_CHECK = {
    ("GET", "/v1/tenants/{tenant}/customers/{reference}/entitlements"),
    ("GET", "/v1/tenants/{tenant}/customers/{reference}/entitlements/{feature}"),
    ("POST", "/v1/tenants/{tenant}/entitlement-checks"),
}


@pytest.fixture
async def shop(fern: TenantApi) -> TenantApi:
    """A tenant that sells seats, and its customer `ada`, who has 3."""
    await fern.put("/features/seats", SEATS)
    await fern.put("/features/export", {"kind": "flag", "name": "Export"})
    await fern.customer("ada")
    await give(fern, 3)
    await heard(fern)
    return fern


def known(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without the moment as of which it is known."""
    assert abs(datetime.now(UTC) - datetime.fromisoformat(answer["as_of"])) < timedelta(seconds=5)
    return {name: value for name, value in answer.items() if name != "as_of"}


async def test_memory_answers_what_the_database_answered(shop: TenantApi) -> None:
    for path in ("", "/seats", "/export"):
        checks_of(shop).memory.clear()
        async with answered(memory=1, database=1):
            first = await shop.call("GET", f"/customers/ada/entitlements{path}")
            second = await shop.call("GET", f"/customers/ada/entitlements{path}")
        assert known(first.json()) == known(second.json())
        for name in ("etag", "cache-control", "content-type", "x-content-type-options"):
            assert first.headers[name] == second.headers[name]
    (only,) = (await shop.get("/customers/ada/entitlements"))["data"]
    assert (only["feature"], only["value"]) == ("seats", 3)
    assert known(await shop.get("/customers/ada/entitlements/export"))["value"] is False


async def test_an_unknown_feature_and_an_unknown_customer_are_told_apart(shop: TenantApi) -> None:
    for _ in range(2):  # from the database, then with the customer in memory
        problem(await shop.call("GET", "/customers/ada/entitlements/nope"), 404, "feature")
        problem(await shop.call("GET", "/customers/nobody/entitlements/seats"), 404, "reference")
        problem(await shop.call("GET", "/customers/nobody/entitlements"), 404, "reference")


async def test_who_has_the_answer_is_not_sent_it_again_until_it_changes(shop: TenantApi) -> None:
    tag = (await seats(shop)).headers["etag"]
    for sent in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
        for source in ({"memory": 1}, {"database": 1}):
            if "database" in source:
                checks_of(shop).memory.clear()
            async with answered(**source):
                again = await seats(shop, if_none_match=sent)
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await give(shop, 4)
    await heard(shop)
    changed = await seats(shop, if_none_match=tag)
    assert (changed.status_code, changed.json()["value"]) == (200, 4)
    assert changed.headers["etag"] != tag


async def test_a_batch_answers_for_each_customer_in_its_order(shop: TenantApi) -> None:
    await shop.customer("bob")
    asked = {"customers": ["nobody", "bob", "ada", "a\1b"]}
    async with answered(database=4):
        found = (await shop.call("POST", "/entitlement-checks", asked)).json()
    async with answered(memory=2, database=2):  # who is unknown is asked for again
        again = (await shop.call("POST", "/entitlement-checks", asked)).json()
    assert known(found) == known(again)
    assert [(each["customer"], len(each["data"])) for each in found["data"]] == [("bob", 0), ("ada", 1)]
    assert found["unknown"] == ["nobody", "a\1b"]
    named = asked | {"features": ["seats", "export"]}
    found = (await shop.call("POST", "/entitlement-checks", named)).json()
    assert [[row["value"] for row in each["data"]] for each in found["data"]] == [[0, False], [3, False]]
    single = await shop.get("/customers/ada/entitlements/seats")
    assert found["data"][1]["data"][0] == {
        name: value for name, value in single.items() if name in found["data"][1]["data"][0]
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"customers": []}, "customers"),
        ({"customers": ["x"] * 101}, "customers"),
        ({"customers": ["ada"], "features": ["seats", "nope"]}, "features[1]"),
        ({"customers": ["ada"], "features": []}, "features"),
        ({"customers": ["ada"], "surprise": 1}, "surprise"),
        ({"customers": ["ada", "a\0b"]}, "customers[1]"),
        ({}, "customers"),
    ],
)
async def test_a_batch_is_bounded_and_names_what_is_wrong(shop: TenantApi, body: dict[str, Any], param: str) -> None:
    problem(await shop.call("POST", "/entitlement-checks", body), 400, param)


async def test_an_end_by_the_clock_needs_no_notification(shop: TenantApi) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    await give(shop, 9, ends_at=ends.isoformat())
    await heard(shop)
    seen = set()
    while datetime.now(UTC) < ends + timedelta(seconds=0.5):
        before = datetime.now(UTC)
        answer = (await seats(shop)).json()
        seen.add(answer["value"])
        assert answer["value"] == 9 or datetime.now(UTC) >= ends
        assert answer["value"] == 3 or before < ends
        await asyncio.sleep(0.003)
    assert seen == {3, 9}


async def test_what_is_read_while_nothing_can_be_heard_is_not_kept(
    shop: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its changes go unheard; later ones, which would make memory forget it anyway, need not come."""
    deaf, again = asyncio.Event(), asyncio.Event()

    async def connect(*arguments: Any) -> asyncpg.Connection:
        deaf.set()
        await again.wait()
        return await connections.connect(*arguments)

    monkeypatch.setattr(listener, "connect", connect)
    await shop.api.sql(KILL_LISTENERS)
    async with asyncio.timeout(20):
        await deaf.wait()
    async with answered(database=1):
        assert (await seats(shop)).json()["value"] == 3
    await give(shop, 5)
    again.set()
    await heard(shop)
    assert (await seats(shop)).json()["value"] == 5


async def test_memory_counts_from_the_question_not_from_its_answer(
    shop: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that took longer than memory may be behind makes it no newer."""
    slow = "select clock_timestamp() as at, null::timestamptz as complete_until from pg_sleep(1.1)"
    hearing = checks_of(shop).hearing
    monkeypatch.setattr(listener, "_PULSE", slow)
    while hearing.current(time.monotonic()):  # by the last quick answer
        await asyncio.sleep(0.02)
    before = hearing.as_of
    async with asyncio.timeout(20):
        while hearing.as_of == before:
            await asyncio.sleep(0.005)
    assert not hearing.current(time.monotonic())


async def test_another_tenant_gets_neither_answers_nor_memory(shop: TenantApi, kiln: TenantApi) -> None:
    await kiln.put("/features/seats", SEATS)
    await kiln.customer("ada")
    await give(kiln, 7)
    await heard(shop)
    for _ in range(2):
        assert (await seats(shop)).json()["value"] == 3
        assert (await seats(kiln)).json()["value"] == 7
        problem(await seats(shop, key=kiln.key), 404, "tenant")
        problem(await shop.call("POST", "/entitlement-checks", {"customers": ["ada"]}, key=kiln.key), 404, "tenant")
    async with answered(memory=1):
        assert (await seats(shop, key=shop.api.key)).json()["value"] == 3  # the platform team may


async def test_a_key_that_may_only_check_opens_checks_alone(shop: TenantApi, kiln: TenantApi) -> None:
    made = await shop.call("POST", "/keys", {"name": "shop front", "scopes": ["check"]})
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    assert {(route.method, route.path) for route in ROUTES} >= OPEN_TO_CHECK
    for route in ROUTES:
        method, path = route.method, route.path
        reply = await shop.api.call(method, route.filled(shop.id), {}, key=key)
        assert (reply.status_code == 403) == ((method, path) not in OPEN_TO_CHECK), (method, path)
    for _ in range(2):
        assert (await seats(shop, key=key)).json()["value"] == 3
        problem(await seats(kiln, key=key), 404, "tenant")
    async with answered(memory=1):
        await seats(shop, key=key)


async def test_a_revoked_key_opens_nothing_within_a_second(shop: TenantApi) -> None:
    made = (await shop.call("POST", "/keys", {"name": "leaked", "scopes": ["check"]})).json()
    assert [(await seats(shop, key=made["key"])).status_code for _ in range(3)] == [200] * 3
    assert (await shop.call("DELETE", f"/keys/{made['id']}")).status_code == 204
    revoked = asyncio.get_running_loop().time()
    while (await seats(shop, key=made["key"])).status_code == 200:
        assert asyncio.get_running_loop().time() < revoked + 1
    problem(await seats(shop, key=made["key"]), 401)


async def test_keys_are_made_once_listed_without_themselves_and_revoked(shop: TenantApi, kiln: TenantApi) -> None:
    body = {"name": "edge", "scopes": ["check"]}
    first = await shop.call("POST", "/keys", body, idempotency_key="a")
    assert (await shop.call("POST", "/keys", body, idempotency_key="a")).json() == first.json()
    problem(await shop.call("POST", "/keys", body | {"name": "x"}, idempotency_key="a"), 409, "Idempotency-Key")
    assert (await kiln.call("POST", "/keys", body, idempotency_key="a")).json()["key"] != first.json()["key"]
    listed = (await shop.get("/keys"))["data"]
    assert [(row["name"], row["scopes"]) for row in listed] == [("first key", ["admin"]), ("edge", ["check"])]
    assert "key" not in listed[1]
    problem(await kiln.call("DELETE", f"/keys/{listed[1]['id']}"), 404, "key")
    problem(await shop.call("POST", "/keys", {"name": "x", "scopes": ["rule"]}), 400, "scopes[0]")
    problem(await shop.call("POST", "/keys", {"name": "x", "scopes": []}), 400, "scopes")
    assert (await shop.call("DELETE", f"/keys/{listed[1]['id']}")).status_code == 204
    assert (await shop.get("/keys"))["data"][1]["revoked_at"] is not None
    problem(await shop.call("POST", "/keys", body, idempotency_key="a"), 409, "Idempotency-Key")


@pytest.mark.parametrize("charge_type", ["destination", "direct"])
async def test_an_answer_says_up_to_when_events_are_complete(api: Api, charge_type: str) -> None:
    shop = await api.tenant(charge_type=charge_type)
    await shop.put("/features/seats", SEATS)
    await api.sql(
        "with t as (insert into customers (tenant_id, public_id, reference) "
        "select id, 'ecu_' || id, 'ada' from tenants where public_id = $1 returning tenant_id) "
        "insert into sweeps (account, tenant_id, swept_until, complete_until) "
        "select $2, tenant_id, '2026-02-01Z', '2026-02-01Z' from t",
        shop.id,
        shop.account,
    )
    platform = (
        "insert into sweeps (account, swept_until, complete_until) values ('', $1, $1) "
        "on conflict (account) do update set complete_until = $1"
    )
    for at, complete in ((datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01"), (datetime.now(UTC), "2026-02-01")):
        await api.sql(platform, at)
        await heard(shop)
        for _ in range(2):
            found = (await seats(shop)).json()["events_complete_until"]
            assert found == ("2026-02-01" if charge_type == "direct" else complete) + "T00:00:00Z"
    await api.sql("delete from sweeps where account = ''")
    await heard(shop)
    assert ((await seats(shop)).json()["events_complete_until"] is None) == (charge_type == "destination")


async def test_a_reference_that_names_another_customer_now_is_heard_of(shop: TenantApi) -> None:
    await shop.customer("bob")
    assert (await seats(shop, "bob")).json()["value"] == 0
    assert (await seats(shop, "ada")).json()["value"] == 3
    rename = "update customers set reference = $2 where tenant_id = (select id from tenants where public_id = $1)"
    for old, new in (("bob", "gone"), ("ada", "bob")):
        await shop.api.sql(f"{rename} and reference = '{old}'", shop.id, new)
    await heard(shop)
    assert (await seats(shop, "bob")).json()["value"] == 3
    problem(await seats(shop, "ada"), 404, "reference")


async def test_a_feature_that_is_changed_made_or_deleted_is_heard_of(shop: TenantApi) -> None:
    assert (await shop.get("/customers/ada/entitlements/export"))["granted"] is False
    await shop.put("/features/export", {"kind": "flag", "name": "Export", "fallback": True})
    await heard(shop)
    assert (await shop.get("/customers/ada/entitlements/export"))["granted"] is True
    assert (await shop.call("DELETE", "/features/export")).status_code == 204
    await heard(shop)
    problem(await shop.call("GET", "/customers/ada/entitlements/export"), 404, "feature")


@pytest.mark.parametrize(
    "path", ["entitlements/seats/", "entitlements//seats", "entitlements/seats?at=1", "entitlements/%73eats"]
)
async def test_odd_paths_are_answered_as_the_application_answers_them(shop: TenantApi, path: str) -> None:
    await seats(shop)
    remembered = await shop.call("GET", f"/customers/ada/{path}")
    checks_of(shop).memory.clear()
    checks_of(shop).keys.forget()
    read = await shop.call("GET", f"/customers/ada/{path}")
    assert remembered.status_code == read.status_code
    assert {**remembered.json(), "as_of": 0, "request_id": 0} == {**read.json(), "as_of": 0, "request_id": 0}
