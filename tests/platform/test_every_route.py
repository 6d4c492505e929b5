"""Every route below /v1, found in the application's route table, is closed to who has no right to it, and refuses what
it does not know. A new route is walked too; one that takes a body has to be in `route_bodies`."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, get_type_hints

import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from colonnade.access.scopes import ALLOWED, Scope
from colonnade.app import create_app
from colonnade.settings import Settings
from tests.platform.api import Api, TenantApi, problem
from tests.platform.route_bodies import BODIES

UNKNOWN = {"col_tenant_unknown", "x", "col_platform_" + "2" * 32, "a.b.c"}


class Route(NamedTuple):
    """A method of a path, and the handler behind it."""

    method: str
    path: str
    handler: HTTPRouteHandler

    def filled(self, tenant: str) -> str:
        """The path with the tenant, and something in place of each other parameter."""
        return re.sub(r"\{(\w+)\}", r"\1", self.path.replace("{tenant}", tenant))

    @property
    def name(self) -> str:
        return self.handler.fn.__name__

    @property
    def enough(self) -> frozenset[str]:
        """The scopes that open it."""
        found: frozenset[str] = self.handler.opt.get(ALLOWED, frozenset())
        return found | {Scope.ADMIN}

    @property
    def body(self) -> Any:
        """The type of its body; None: it takes none as JSON."""
        return get_type_hints(self.handler.fn).get("data")


def _routes() -> Iterator[Route]:
    app = create_app(Settings(), database_url="postgresql:///unused", secret_key="k" * 32)
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith("/v1/"):
            for method, (handler, _) in route.route_handler_map.items():
                if method != "OPTIONS":
                    yield Route(str(method), route.path_format, handler)


ROUTES = list(_routes())
OF_TENANT = [route for route in ROUTES if "{tenant}" in route.path]
OF_PLATFORM = [route for route in ROUTES if "{tenant}" not in route.path]
WITH_BODY = [route for route in ROUTES if route.body is not None]
LISTS = [route for route in ROUTES if "limit" in get_type_hints(route.handler.fn)]

_TABLES = """
select relname::text as name from pg_class
where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
"""


async def _content(api: Api) -> dict[str, Any]:
    """What each table holds: rows, and a sum that changes with any of them."""
    sums = [
        f"select '{row['name']}' as name, count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) as sum"
        f" from {row['name']} t"
        for row in await api.sql(_TABLES)
    ]
    return {row["name"]: (row["count"], row["sum"]) for row in await api.sql(" union all ".join(sums))}


@asynccontextmanager
async def nothing_written(api: Api) -> AsyncIterator[None]:
    """A block after which every table is as it was."""
    before = await _content(api)
    assert len(before) > 30
    yield
    assert await _content(api) == before


async def key_with(tenant: TenantApi, scopes: list[str]) -> str:
    reply = await tenant.call("POST", "/keys", {"name": "test", "scopes": scopes})
    assert reply.status_code == 201, reply.text
    key: str = reply.json()["key"]
    return key


def test_the_routes_are_found() -> None:
    names = {route.name for route in ROUTES}
    assert len(OF_TENANT) >= 90
    assert len(OF_PLATFORM) >= 18
    assert {"create_tenant", "check_entitlement", "follow", "export_audit", "list_sweeps"} <= names


def test_every_route_that_takes_a_body_has_an_example() -> None:
    assert {route.name for route in WITH_BODY} == BODIES.keys()


async def test_without_a_key_or_with_a_wrong_one_nothing_opens(fern: TenantApi) -> None:
    async with nothing_written(fern.api):
        for route in ROUTES:
            reply = await fern.api.call(route.method, route.filled(fern.id), BODIES.get(route.name), key="")
            problem(reply, 401)
            assert reply.headers["www-authenticate"] == "Bearer"
        for number, route in enumerate(ROUTES):
            key = sorted(UNKNOWN)[number % len(UNKNOWN)]
            problem(await fern.api.call(route.method, route.filled(fern.id), BODIES.get(route.name), key=key), 401)


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
async def test_a_key_that_is_over_opens_nothing(api: Api, fern: TenantApi, column: str) -> None:
    assert (await fern.call("GET", "")).status_code == 200
    await api.sql(
        f"update api_keys set {column} = now() where tenant_id = (select id from tenants where public_id = $1)",
        fern.id,
    )
    async with nothing_written(api):
        for route in ROUTES:
            reply = await api.call(route.method, route.filled(fern.id), BODIES.get(route.name), key=fern.key)
            problem(reply, 401)


async def test_another_tenant_is_not_there_and_the_platforms_routes_are_closed(
    fern: TenantApi, kiln: TenantApi
) -> None:
    async with nothing_written(fern.api):
        for route in OF_TENANT:
            reply = await fern.api.call(route.method, route.filled(fern.id), BODIES.get(route.name), key=kiln.key)
            problem(reply, 404, "tenant")
        for route in OF_PLATFORM:
            reply = await fern.api.call(route.method, route.filled(fern.id), BODIES.get(route.name), key=kiln.key)
            problem(reply, 403)


async def test_a_tenant_that_does_not_exist_is_answered_like_another_one(fern: TenantApi, kiln: TenantApi) -> None:
    taken = await fern.api.call("GET", f"/v1/tenants/{fern.id}/plans", key=kiln.key)
    unknown = await fern.api.call("GET", "/v1/tenants/ten_0/plans", key=kiln.key)
    said = [problem(reply, 404, "tenant") for reply in (taken, unknown)]
    assert said[0]["detail"] == said[1]["detail"].replace("ten_0", fern.id)


async def test_a_key_without_the_scope_opens_nothing(fern: TenantApi) -> None:
    keys: dict[frozenset[str], str] = {}
    for route in OF_TENANT:
        lacking = frozenset(Scope) - route.enough
        if lacking not in keys:
            keys[lacking] = await key_with(fern, sorted(lacking))
    async with nothing_written(fern.api):
        for route in OF_TENANT:
            key = keys[frozenset(Scope) - route.enough]
            reply = await fern.api.call(route.method, route.filled(fern.id), BODIES.get(route.name), key=key)
            problem(reply, 403)


async def test_a_role_that_only_reads_changes_nothing(api: Api, fern: TenantApi) -> None:
    key = (await api.call("POST", "/v1/keys", {"name": "auditor", "role": "read"})).json()["key"]
    async with nothing_written(api):
        for route in ROUTES:
            if not route.enough & {Scope.READ}:
                reply = await api.call(route.method, route.filled(fern.id), BODIES.get(route.name), key=key)
                problem(reply, 403)
    closed = {route.name for route in ROUTES if route.method == "GET" and Scope.READ not in route.enough}
    assert closed == {"list_keys", "list_platform_keys", "export_tenant", "export_customer"}


async def test_a_body_that_is_none_or_has_a_field_too_many_or_too_few_is_refused(api: Api, fern: TenantApi) -> None:
    async with nothing_written(api):
        for route in WITH_BODY:
            path, good = route.filled(fern.id), BODIES[route.name]
            headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
            broken = await api.client.request(route.method, path, headers=headers, content=b'{"name": ')
            assert broken.status_code == 400, (route.name, broken.text)
            problem(await api.call(route.method, path, {**good, "no_such_field": 1}), 400, "no_such_field")
            for field in msgspec.structs.fields(route.body):
                name = field.encode_name
                if field.required:
                    rest = {key: value for key, value in good.items() if key != name}
                    problem(await api.call(route.method, path, rest), 400, name)
                odd = await api.call(route.method, path, {**good, name: {"odd": [{}]}})
                assert odd.status_code == 400, (route.name, name, odd.text)
                assert re.split(r"[.\[]", odd.json()["param"])[0] == name, (route.name, odd.text)


async def test_a_page_of_no_size_is_refused(api: Api, fern: TenantApi) -> None:
    assert len(LISTS) >= 20
    for route in LISTS:
        for limit in ("0", "101", "x"):
            problem(await api.call(route.method, f"{route.filled(fern.id)}?limit={limit}"), 400, "limit")


async def test_the_platform_team_may_do_what_a_tenant_may(api: Api, fern: TenantApi) -> None:
    reply = await fern.call("PUT", "/features/seats", {"kind": "quantity", "name": "Seats"}, key=api.key)
    assert reply.status_code == 200
    assert (await fern.get("/features/seats"))["name"] == "Seats"


@pytest.mark.parametrize(
    "path", ["/v1/tenants/%00", "/v1/tenants/{tenant}/customers/%00", "/v1/tenants/{tenant}/plans/%00"]
)
async def test_a_character_that_no_database_takes_is_no_failure(fern: TenantApi, path: str) -> None:
    reply = await fern.api.call("GET", path.replace("{tenant}", fern.id), key=fern.key)
    assert reply.status_code in {400, 404}, reply.text


async def test_options_names_the_methods_that_another_is_refused_for(api: Api, fern: TenantApi) -> None:
    paths = {route.path: route for route in ROUTES}
    several = 0
    for route in paths.values():
        asked = await api.call("OPTIONS", route.filled(fern.id))
        refused = await api.call("TRACE", route.filled(fern.id))
        said = [set(reply.headers["allow"].split(", ")) for reply in (asked, refused)]
        wanted = {"OPTIONS", *(each.method for each in ROUTES if each.path == route.path)}
        assert (asked.status_code, refused.status_code, said) == (204, 405, [wanted, wanted]), route.path
        several += len(wanted) > 2
    assert several >= 20


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/portal", 405)])
async def test_what_no_route_serves_has_a_request_id_too(api: Api, method: str, path: str, status: int) -> None:
    answer = await api.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["request-id"] == answer.json()["request_id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
