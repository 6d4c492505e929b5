"""Of the platform's keys and people a tenant learns that they did something, not who: in no answer of any route."""

import re
from typing import Any

import pytest

from colonnade.access.actors import Told, told_sql
from colonnade.app import GUARDED
from colonnade.database.connections import Database
from colonnade.openapi.operations import described
from colonnade.openapi.schemas import components
from tests.platform.api import ORIGIN, RETURN_URL, Api, TenantApi
from tests.platform.portals import OPEN, body, edit, services_of

ADA = "/customers/ada"
DENIAL = {"feature": "seats", "effect": "deny", "reason": "Abuse", "author": "Grace"}
TELLING = {
    ("AuditEntry", "by"),
    ("Drift", "resolved_by"),
    ("Lifecycle", "by"),
    ("Override", "author_key"),
    ("Override", "revoked_by"),
    ("Passage", "by"),
    ("PortalPolicy", "author"),
    ("JourneyStep", "by"),
    ("Version", "author"),
    ("VisitView", "opened_by"),
}
"""Fields of answers that name who acted: what each shows a tenant is tested here, or with the route."""
OTHERS = {
    ("ChosenBy", "by"): "a rule",
    ("EntitlementsReasonsReason", "ends_by"): "a state",
    ("EventDetail", "attributed_by"): "a rung",
    ("EventView", "attributed_by"): "a rung",
    ("JudgingPreview", "chosen_by"): "a rule",
    ("Override", "author"): "the caller's words",
    ("PortalSession", "chosen_by"): "a rule",
    ("VisitView", "chosen_by"): "a rule",
}


async def _everything(fern: TenantApi, key: str) -> str:
    """Do with *key* all that is kept with who did it; the override's id."""

    async def do(method: str, path: str, sent: Any = None) -> dict[str, Any]:
        reply = await fern.call(method, path, sent, key=key)
        assert reply.status_code < 300, reply.text
        found: dict[str, Any] = reply.json() if reply.content else {}
        return found

    made = await do("PUT", OPEN, body() | {"default_return_url": RETURN_URL})
    await edit(fern, made, business_profile__headline="Hello")
    await do("POST", f"{OPEN}/check")
    assert (await do("POST", f"{OPEN}/revert"))["drift"]["resolved_by"].startswith("key_")
    await do("PUT", "/portal-policy", {"drift": "revert"})
    await do("PUT", "/portal-policy", {"drift": "report"})
    await do("PUT", "/features/seats", {"kind": "quantity", "name": "Seats"})
    await do("PUT", ADA, {"email": "ada@example.com"})
    await do("POST", f"{ADA}/portal-sessions", {})
    override: str = (await do("POST", f"{ADA}/overrides", DENIAL))["id"]
    await do("DELETE", f"{ADA}/overrides/{override}")
    return override


async def _read(fern: TenantApi, override: str, key: str | None = None) -> dict[str, Any]:
    """All that tells who did it, as *key* is told it."""

    async def get(path: str) -> Any:
        reply = await fern.call("GET", path, key=key)
        assert reply.status_code == 200, reply.text
        return reply.json()

    listed = (await get(f"{ADA}/overrides"))["data"]
    assert await get(f"{ADA}/overrides/{override}") in listed
    one = await get(OPEN)
    assert (await get("/portal-configurations"))["data"] == [one]
    return {
        "opened": {each["opened_by"] for each in (await get(f"{ADA}/portal-sessions"))["data"]},
        "overrides": {each["author_key"] for each in listed},
        "revoked": {each["revoked_by"] for each in listed if each["id"] == override},
        "resolved": {one["drift"]["resolved_by"]},
        "versions": {each["author"] for each in (await get(f"{OPEN}/versions"))["data"]},
        "policy": {(await get("/portal-policy"))["author"]},
    }


async def test_a_tenant_is_told_of_its_own_keys_alone_and_the_platform_of_all(api: Api, fern: TenantApi) -> None:
    (own,) = [each["id"] for each in (await fern.get("/keys"))["data"]]
    told = await _read(fern, await _everything(fern, fern.key))
    assert all(each == {own} for each in told.values()), told

    kiln = await api.tenant(name="Kiln", return_origins=[ORIGIN])
    override = await _everything(kiln, api.key)
    told = await _read(kiln, override)
    assert all(each == {None} for each in told.values()), told
    whole = await _read(kiln, override, api.key)
    assert all(len(each) == 1 and str(*each).startswith("key_") for each in whole.values()), whole


async def test_a_tenants_answer_to_its_own_change_does_not_tell_who_of_the_platform_it_was(
    api: Api, fern: TenantApi
) -> None:
    await fern.call("PUT", "/portal-policy", {"drift": "revert"}, key=api.key)
    same = await fern.put("/portal-policy", {"drift": "revert"})
    assert same["author"] is None
    mine = await fern.call("GET", "/portal-policy")
    theirs = await fern.call("GET", "/portal-policy", key=api.key)
    assert theirs.json()["author"].startswith("key_")
    assert mine.headers["ETag"] == theirs.headers["ETag"]
    await fern.put("/portal-policy", {"drift": "report"}, if_match=mine.headers["ETag"])


async def test_the_rule_is_the_same_in_an_export(api: Api, fern: TenantApi, kiln: TenantApi) -> None:
    keys = [row["public_id"] for row in await api.sql("select public_id from api_keys order by id")]
    actors = [None, "browser", "evt_1", "worker", "cli:ada", "grace@example.com", "", "browser2", *keys]
    ((tenant,),) = await api.sql("select id from tenants where public_id = $1", fern.id)
    own = await api.sql("select public_id from api_keys where tenant_id = $1", tenant)
    async with services_of(fern) as services:
        told = await Told(services.database, tenant).of(actors)
    query = f"select {told_sql('a')} from unnest($2::text[]) with ordinality as u (a, n) order by n"
    assert [row[0] for row in await api.sql(query, tenant, actors)] == [told(each) for each in actors]
    assert {told(each) for each in actors} == {None, "browser", "evt_1", *(row["public_id"] for row in own)}


async def test_the_database_is_asked_of_keys_alone(api: Api) -> None:
    unopened = Database(api.database.service_url)
    mine, all_of_it = Told(unopened, 1), Told(unopened, None)
    some = [None, "browser", "evt_1"]
    assert [(await mine.of(some))(each) for each in some] == some
    assert (await all_of_it.of(["key_1"]))("key_1") == "key_1"
    with pytest.raises(AttributeError, match="platform_pool"):
        await mine.of(["key_1"])


def test_every_field_that_names_who_acted_is_known() -> None:
    types = [each for one in described(GUARDED).values() for some in one.answers.values() for each in some]
    _, schemas = components(types)
    names = re.compile(r"(^|_)(by|author|actor)(_key)?$")
    found = {(title, name) for title, each in schemas.items() for name in each.get("properties", {})}
    assert {each for each in found if names.search(each[1])} == TELLING | OTHERS.keys()
