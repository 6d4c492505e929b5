"""Keys of tenants and of the platform team: scopes, roles, expiry, rotation, last use, lock-out and limits."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from colonnade.access.gate import Gate
from colonnade.access.scopes import Role
from tests.conftest import ScratchDatabase
from tests.platform.api import Api, Sandbox, TenantApi, problem, running_api

SOON = timedelta(hours=1)


def at(delta: timedelta) -> str:
    return (datetime.now(UTC) + delta).isoformat()


def gate_of(api: Api) -> Gate:
    transport: Any = api.client._transport
    found: Gate = transport.app.state.gate
    return found


async def made(tenant: TenantApi, **fields: Any) -> dict[str, Any]:
    reply = await tenant.call("POST", "/keys", {"name": "backend", **fields})
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def team_key(api: Api, role: Role) -> dict[str, Any]:
    reply = await api.call("POST", "/v1/keys", {"name": "team", "role": role})
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_a_key_is_shown_once_and_known_by_its_first_letters(fern: TenantApi) -> None:
    key = await made(fern, scopes=["read", "customers"])
    _, listed = (await fern.get("/keys"))["data"]
    assert "key" not in listed
    assert key["key"].startswith(listed["prefix"])
    assert len(listed["prefix"]) == len("col_tenant_") + 4
    assert (listed["scopes"], listed["expires_at"], listed["last_used_at"]) == (["customers", "read"], None, None)


@pytest.mark.parametrize(
    ("scope", "opens", "closed"),
    [
        ("read", ("GET", "/customers", None), ("PUT", "/customers/ada", {})),
        ("customers", ("PUT", "/customers/ada", {"email": "ada@example.com"}), ("GET", "/plans", None)),
        ("catalogue", ("PUT", "/features/seats", {"kind": "flag", "name": "Seats"}), ("GET", "/customers", None)),
        ("portals", ("GET", "/customers/bea/portal-sessions", None), ("GET", "/customers", None)),
        ("check", ("GET", "/customers/bea/entitlements", None), ("GET", "", None)),
    ],
)
async def test_a_scope_opens_its_routes_and_no_others(
    fern: TenantApi, scope: str, opens: tuple[str, str, Any], closed: tuple[str, str, Any]
) -> None:
    await fern.customer("bea")
    key = (await made(fern, scopes=[scope]))["key"]
    assert (await fern.call(*opens, key=key)).status_code == 200
    assert scope in problem(await fern.call(*closed, key=key), 403)["detail"]
    problem(await fern.call("GET", "/keys", key=key), 403)
    problem(await fern.call("POST", "/keys", {"name": "more"}, key=key), 403)


async def test_the_platforms_roles(api: Api, fern: TenantApi) -> None:
    may: list[tuple[str, str, Any, tuple[Role, ...]]] = [
        ("GET", "/v1/tenants", None, (Role.READ, Role.SUPPORT)),
        ("GET", "/v1/audit", None, (Role.READ, Role.SUPPORT)),
        ("PUT", f"/v1/tenants/{fern.id}/customers/ada", {"email": "ada@example.com"}, (Role.SUPPORT,)),
        ("POST", "/v1/events/replay", {"type": "x", "dry_run": True}, (Role.SUPPORT,)),
        ("PATCH", f"/v1/tenants/{fern.id}", {"name": "Fern"}, ()),
        ("GET", "/v1/keys", None, ()),
        ("GET", f"/v1/tenants/{fern.id}/keys", None, ()),
    ]
    for role in (Role.READ, Role.SUPPORT):
        key = (await team_key(api, role))["key"]
        for method, path, body, roles in may:
            reply = await api.call(method, path, body, key=key)
            if role in roles:
                assert reply.is_success, reply.text
            else:
                problem(reply, 403)


async def test_a_tenants_admin_key_makes_none_for_the_platform(fern: TenantApi) -> None:
    for method, path in (("POST", "/v1/keys"), ("GET", "/v1/keys"), ("DELETE", "/v1/keys/key_1")):
        problem(await fern.api.call(method, path, {"name": "x", "role": "admin"}, key=fern.key), 403)
    problem(await fern.call("POST", "/keys", {"name": "x", "scopes": ["support"]}), 400, "scopes[0]")
    problem(await fern.call("POST", "/keys", {"name": "x", "role": "admin"}), 400, "role")


async def test_a_key_expires(api: Api, fern: TenantApi) -> None:
    problem(await fern.call("POST", "/keys", {"name": "x", "expires_at": at(-SOON)}), 400, "expires_at")
    problem(await fern.call("POST", "/keys", {"name": "x", "expires_at": "2030-01-01T00:00:00"}), 400, "expires_at")
    key = await made(fern, expires_at=at(SOON))
    assert (await fern.call("GET", "", key=key["key"])).status_code == 200
    await api.sql("update api_keys set expires_at = now() where public_id = $1", key["id"])
    expired = problem(await fern.call("GET", "", key=key["key"]), 401)
    unknown = problem(await fern.call("GET", "", key="col_tenant_" + "2" * 32), 401)
    await fern.call("DELETE", f"/keys/{(second := await made(fern))['id']}")
    revoked = problem(await fern.call("GET", "", key=second["key"]), 401)
    assert expired["detail"] == unknown["detail"] == revoked["detail"]


async def test_a_key_in_memory_expires_too_though_nobody_announces_it(fern: TenantApi) -> None:
    await fern.customer()
    key = (await made(fern, scopes=["check"], expires_at=at(timedelta(seconds=3))))["key"]
    path = "/customers/ada/entitlements"
    assert (await fern.call("GET", path, key=key)).status_code == 200
    async with asyncio.timeout(30):
        while (reply := await fern.call("GET", path, key=key)).status_code == 200:
            await asyncio.sleep(0.05)
    problem(reply, 401)


async def test_rotation_has_an_overlap(api: Api, fern: TenantApi) -> None:
    old = await made(fern, scopes=["read"])
    reply = await fern.call("POST", f"/keys/{old['id']}/rotate", {"overlap": 3600}, idempotency_key="r")
    new = reply.json()
    assert (new["name"], new["scopes"], new["expires_at"]) == ("backend", ["read"], None)
    for key in (old["key"], new["key"]):
        assert (await fern.call("GET", "", key=key)).status_code == 200
    again = await fern.call("POST", f"/keys/{old['id']}/rotate", {"overlap": 3600}, idempotency_key="r")
    assert (again.json()["id"], again.json()["key"]) == (new["id"], new["key"])
    listed = {each["id"]: each for each in (await fern.get("/keys"))["data"]}
    assert datetime.fromisoformat(listed[old["id"]]["expires_at"]) > datetime.now(UTC) + timedelta(minutes=50)

    rotated, repeated = [
        await fern.call("POST", f"/keys/{new['id']}/rotate", {"overlap": 0}, idempotency_key="s") for _ in range(2)
    ]
    assert rotated.json() == repeated.json()
    assert len((await fern.get("/audit?action=key.rotated"))["data"]) == 2
    problem(await fern.call("GET", "", key=new["key"]), 401)
    problem(await fern.call("POST", f"/keys/{new['id']}/rotate", {}), 409, "key")


async def test_the_key_that_follows_one_that_expires_expires_as_well(fern: TenantApi) -> None:
    old = await made(fern, expires_at=at(SOON))
    new = (await fern.call("POST", f"/keys/{old['id']}/rotate", {"overlap": 30 * 86_400})).json()
    lasts = datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert timedelta(minutes=55) < lasts <= timedelta(minutes=61)
    listed = {each["id"]: each for each in (await fern.get("/keys"))["data"]}
    assert listed[old["id"]]["expires_at"] == old["expires_at"]  # an overlap never makes a key last longer


async def test_a_key_is_followed_by_one_key_and_no_more(api: Api, fern: TenantApi) -> None:
    old = await made(fern)
    new = (await fern.call("POST", f"/keys/{old['id']}/rotate", {"overlap": 3600})).json()
    again = problem(await fern.call("POST", f"/keys/{old['id']}/rotate", {"overlap": 3600}), 409, "key")
    assert new["id"] in again["detail"]
    listed = {each["id"]: each for each in (await fern.get("/keys"))["data"]}
    assert (listed[old["id"]]["followed_by"], listed[new["id"]]["followed_by"]) == (new["id"], None)
    # Who never got the answer goes on from the key that it names, with nothing left behind that nobody knows of.
    third = (await fern.call("POST", f"/keys/{new['id']}/rotate", {"overlap": 0}, key=old["key"])).json()
    assert third["expires_at"] is None
    assert (await fern.call("GET", "", key=third["key"])).status_code == 200
    problem(await fern.call("GET", "", key=new["key"]), 401)


async def test_a_key_made_till_the_last_day_is_followed_by_one_of_that_day(fern: TenantApi) -> None:
    old = await made(fern, expires_at="2999-12-31T23:59:59Z")
    new = await fern.call("POST", f"/keys/{old['id']}/rotate", {})
    assert (new.status_code, new.json()["expires_at"]) == (201, old["expires_at"])


async def test_a_repeated_request_says_what_became_of_its_key(fern: TenantApi) -> None:
    async def make(name: str) -> Any:
        return await fern.call("POST", "/keys", {"name": name}, idempotency_key="once")

    key = (await make("shop")).json()
    assert (await make("shop")).json() == key
    assert "another request" in problem(await make("other"), 409, "Idempotency-Key")["detail"]
    new = (await fern.call("POST", f"/keys/{key['id']}/rotate", {})).json()
    detail = problem(await make("shop"), 409, "Idempotency-Key")["detail"]
    assert (key["id"] in detail, new["id"] in detail, "was rotated" in detail) == (True, True, True)
    assert "another request" in problem(await make("other"), 409, "Idempotency-Key")["detail"]

    gone = (await fern.call("POST", "/keys", {"name": "x"}, idempotency_key="twice")).json()
    await fern.call("DELETE", f"/keys/{gone['id']}")
    again = await fern.call("POST", "/keys", {"name": "x"}, idempotency_key="twice")
    assert problem(again, 409, "Idempotency-Key")["detail"] == f"The key that this made, {gone['id']}, was revoked."


async def test_another_tenant_neither_rotates_nor_revokes(api: Api, fern: TenantApi, kiln: TenantApi) -> None:
    key = await made(fern)
    team = await team_key(api, Role.READ)
    for victim in (key["id"], team["id"]):
        problem(await kiln.call("POST", f"/keys/{victim}/rotate", {}), 404, "key")
        problem(await kiln.call("DELETE", f"/keys/{victim}"), 404, "key")
    problem(await api.call("DELETE", f"/v1/keys/{key['id']}"), 404, "key")
    assert (await fern.call("GET", "", key=key["key"])).status_code == 200


async def test_platform_keys_are_made_listed_rotated_and_revoked(api: Api) -> None:
    key = await team_key(api, Role.READ)
    assert (key["role"], key["prefix"]) == ("read", key["key"][: len("col_platform_") + 4])
    new = (await api.call("POST", f"/v1/keys/{key['id']}/rotate", {"overlap": 0})).json()
    problem(await api.call("GET", "/v1/tenants", key=key["key"]), 401)
    assert (await api.call("GET", "/v1/tenants", key=new["key"])).status_code == 200
    assert (await api.call("DELETE", f"/v1/keys/{new['id']}")).status_code == 204
    problem(await api.call("GET", "/v1/tenants", key=new["key"]), 401)
    listed = (await api.call("GET", "/v1/keys?limit=100")).json()["data"]
    assert {key["id"], new["id"]} <= {each["id"] for each in listed}
    assert all(each.keys() & {"key", "digest", "scopes"} == set() for each in listed)
    actions = [line["action"] for line in (await api.call("GET", "/v1/audit?limit=3")).json()["data"]]
    assert actions == ["key.revoked", "key.rotated", "key.created"]


async def test_the_last_use_is_kept_to_the_minute_and_announces_nothing(api: Api, fern: TenantApi) -> None:
    key = await made(fern)
    await fern.call("GET", "", key=key["key"])
    listener = await asyncpg.connect(api.database.admin_url)
    heard: list[Any] = []
    await listener.add_listener("colonnade_keys", lambda *news: heard.append(news))
    await gate_of(api).uses.write()
    used = {each["id"]: each["last_used_at"] for each in (await fern.get("/keys"))["data"]}[key["id"]]
    assert datetime.fromisoformat(used) > datetime.now(UTC) - timedelta(minutes=1)
    await fern.call("GET", "", key=key["key"])
    await gate_of(api).uses.write()
    assert {each["id"]: each["last_used_at"] for each in (await fern.get("/keys"))["data"]}[key["id"]] == used
    await listener.fetchval("select 1")
    assert heard == []
    await fern.call("DELETE", f"/keys/{key['id']}")
    await listener.fetchval("select 1")
    assert len(heard) == 1
    await listener.close()


async def test_wrong_keys_are_locked_out_and_right_ones_beside_them_are_not(
    shared_database: ScratchDatabase, sandbox: Sandbox
) -> None:
    async with running_api(shared_database, sandbox, wrong_keys_per_minute=3) as api:
        fern = await api.tenant()
        outdated = "col_tenant_AbCd" + "2" * 28
        said = [await fern.call("GET", "", key=outdated) for _ in range(5)]
        assert [reply.status_code for reply in said] == [401, 401, 401, 429, 429]
        assert 1 <= int(said[-1].headers["retry-after"]) <= 60
        assert problem(said[-1], 429)["type"] == "urn:colonnade:problem:too-many-requests"
        assert (await fern.call("GET", "")).status_code == 200
        for letter in "EFG":
            await fern.call("GET", "", key=f"col_tenant_AbC{letter}" + "2" * 28)
        assert (await fern.call("GET", "", key="col_tenant_AbCH" + "2" * 28)).status_code == 429
        assert (await fern.call("GET", "")).status_code == 200  # it may be another behind the same address


async def test_an_outdated_token_in_a_loop_does_not_lock_out_the_people_beside_it(
    shared_database: ScratchDatabase, sandbox: Sandbox
) -> None:
    async with running_api(shared_database, sandbox, wrong_keys_per_minute=3) as api:
        said = [await api.call("GET", "/v1/tenants", key="eyJ.out.dated") for _ in range(4)]
        assert [reply.status_code for reply in said] == [401, 401, 401, 429]
        problem(await api.call("GET", "/v1/tenants", key="eyJ.anoth.er"), 401)


async def test_a_tenant_has_so_many_requests_a_minute_and_is_told(
    shared_database: ScratchDatabase, sandbox: Sandbox
) -> None:
    async with running_api(shared_database, sandbox, tenant_requests_per_minute=2, tenant_checks_per_minute=3) as api:
        fern, kiln = await api.tenant(), await api.tenant()
        for tenant in (fern, kiln):
            await api.call("PUT", f"/v1/tenants/{tenant.id}/customers/ada", {"email": "ada@example.com"})
        said = [await fern.call("GET", "") for _ in range(3)]
        assert [reply.status_code for reply in said] == [200, 200, 429]
        assert [reply.headers["ratelimit"].split(";")[1] for reply in said] == ["r=1", "r=0", "r=0"]
        assert said[0].headers["ratelimit-policy"] == '"requests";q=2;w=60'
        problem(said[2], 429)
        assert 1 <= int(said[2].headers["retry-after"]) <= 60
        checks = [await fern.call("GET", "/customers/ada/entitlements") for _ in range(4)]
        assert [reply.status_code for reply in checks] == [200, 200, 200, 429]
        assert [reply.headers["ratelimit"].split(";")[1] for reply in checks] == ["r=2", "r=1", "r=0", "r=0"]
        assert (await kiln.call("GET", "")).status_code == 200
        platform = await api.call("GET", f"/v1/tenants/{fern.id}")
        assert (platform.status_code, platform.headers.get("ratelimit")) == (200, None)
