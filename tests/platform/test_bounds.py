"""No value, wherever the OpenAPI document lets a caller put one, gets as far as where it breaks something.

A new route is walked too: the document has it.
"""

import json
from typing import Any

import asyncpg
import httpx
import pytest

from colonnade.app import create_app
from colonnade.settings import Settings
from colonnade_tenants.times import RULE
from tests.platform.api import Api, TenantApi, problem
from tests.platform.document_inputs import Input, inputs
from tests.platform.test_every_route import nothing_written

OUT_OF_BOUNDS = {
    "time": (
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00+14:00",
        "1999-12-31T23:59:59Z",
        "3000-01-01T00:00:00Z",
        "2026-12-01T00:00:00",
    ),
    "text": ("a\0b",),
    "number": (2**63, -(2**63) - 1, 10**30),
}
ODD = {"text": (), "time": ("2000-01-01T00:00:00Z", "2999-12-31T23:59:59-10:00"), "number": (2**31, -1, 2**53 - 1)}
"""What a field may well take, or else refuses."""


@pytest.fixture(scope="module")
def found() -> list[Input]:
    app = create_app(Settings(), database_url="postgresql://nowhere/none", secret_key="k" * 32)
    return [each for each in inputs(app.openapi_schema.to_schema()) if each.operation.path.startswith("/v1/")]


async def send(api: Api, tenant: TenantApi, where: Input, value: Any) -> httpx.Response:
    method, path, body = where.request({"tenant": tenant.id, "reference": "ada"}, value)
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    return await api.client.request(method, path, content=content, headers=headers)


async def refused(api: Api, tenant: TenantApi, found: list[Input], kind: str) -> int:
    """That every place for such a value refuses those out of bounds by its name; how many places there are."""
    places = [each for each in found if each.kind == kind and each.place != "path"]
    async with nothing_written(api):
        for where in places:
            for value in OUT_OF_BOUNDS[kind]:
                reply = await send(api, tenant, where, value)
                assert reply.status_code == 400, (str(where), value, reply.text)
                assert problem(reply, 400, where.param)["detail"], str(where)
    return len(places)


async def test_no_route_takes_a_time_that_is_out_of_bounds(api: Api, fern: TenantApi, found: list[Input]) -> None:
    await fern.customer("ada")
    assert await refused(api, fern, found, "time") >= 20


def test_the_document_says_which_times_are_taken(found: list[Input]) -> None:
    bodies = [each for each in found if each.kind == "time" and each.place == "body"]
    assert [str(each) for each in bodies if RULE not in each.schema.get("description", "")] == []
    queries = {each.param for each in found if each.kind == "time" and each.place == "query"}
    assert queries == {"at", "from", "to"}
    assert {each.kind for each in found if each.param in queries} == {"time"}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("text", 180), ("number", 50)])
async def test_no_route_takes_what_cannot_be_kept(
    api: Api, fern: TenantApi, found: list[Input], kind: str, least: int
) -> None:
    await fern.customer("ada")
    assert await refused(api, fern, found, kind) >= least


@pytest.mark.slow
async def test_no_value_within_bounds_is_a_failure_of_ours(api: Api, fern: TenantApi, found: list[Input]) -> None:
    await fern.customer("ada")
    for where in found:
        values = ODD.get(where.kind, ()) if where.place != "path" else OUT_OF_BOUNDS.get(where.kind, ())
        for value in values:
            reply = await send(api, fern, where, value)
            assert reply.status_code < 500, (str(where), value, reply.text)


async def test_a_lone_surrogate_is_no_text(api: Api, fern: TenantApi) -> None:
    headers = {"Authorization": f"Bearer {fern.key}", "Content-Type": "application/json"}
    for text in (rb'{"email": "a\ud800@b.example"}', rb'{"metadata": {"\udc00": "x"}}'):
        path = f"/v1/tenants/{fern.id}/customers/ada"
        problem(await api.client.put(path, content=text, headers=headers), 400)


BOUNDED = {
    "api_keys": "expires_at",
    "entitlement_overrides": "ends_at",
    "entitlement_policies": "effective_from",
    "feature_versions": "effective_from",
    "plan_versions": "effective_from",
}


async def test_the_database_keeps_no_time_out_of_bounds_either(api: Api, fern: TenantApi) -> None:
    await fern.customer("ada")
    await fern.put("/features/export", {"kind": "flag", "name": "Export"})
    await fern.put("/plans/pro", {"name": "Pro", "price": "price_b", "grants": [{"feature": "export", "value": True}]})
    await fern.put("/policy", {"grace": 3})
    given = {"feature": "export", "effect": "grant", "reason": "x", "author": "y"}
    assert (await fern.call("POST", "/customers/ada/overrides", given)).status_code == 201
    for table, column in BOUNDED.items():
        for time in ("infinity", "-infinity", "3000-01-01Z"):
            with pytest.raises(asyncpg.CheckViolationError):
                await api.sql(f"update {table} set {column} = '{time}'")


async def test_a_wrong_header_is_named_as_it_was_sent(api: Api, fern: TenantApi) -> None:
    problem(await fern.call("PUT", "/policy", {"grace": 3}, **{"If-Match": "x" * 501}), 400, "If-Match")
    problem(await fern.call("POST", "/keys", {"name": "x"}, **{"Idempotency-Key": "x" * 501}), 400, "Idempotency-Key")


async def test_a_page_after_nothing_is_refused(api: Api, fern: TenantApi, found: list[Input]) -> None:
    places = [each for each in found if (each.place, each.param) == ("query", "after")]
    assert len(places) >= 20
    await fern.customer("ada")
    for where in places:
        reply = await send(api, fern, where, "")
        assert reply.status_code in (400, 404), (str(where), reply.text)
        assert reply.status_code == 404 or reply.json()["param"] == "after", (str(where), reply.text)
