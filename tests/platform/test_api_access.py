"""Every route of a tenant is closed to whoever is not that tenant or the platform team."""

from typing import Any

import pytest

from colonnade.app import create_app
from colonnade.settings import Settings
from tests.platform.api import Api, TenantApi, problem

Route = tuple[str, str]


def _routes() -> list[Route]:
    """The method and path of every operation below /v1, as the OpenAPI document has them."""
    app = create_app(Settings(), database_url="postgresql:///unused", secret_key="k" * 32)
    paths: dict[str, Any] = app.openapi_schema.to_schema()["paths"]
    return [(method.upper(), path) for path, operations in paths.items() for method in operations if "/v1/" in path]


ROUTES = _routes()
OF_TENANT = [route for route in ROUTES if "{tenant}" in route[1]]
OF_PLATFORM = [route for route in ROUTES if "{tenant}" not in route[1]]


def filled(path: str, tenant: str) -> str:
    """*path* with something in place of each parameter."""
    return path.replace("{tenant}", tenant).replace("{", "").replace("}", "")


async def revoke(api: Api, tenant: TenantApi) -> None:
    await api.sql(
        "update api_keys set revoked_at = now() where tenant_id = (select id from tenants where public_id = $1)",
        tenant.id,
    )


def test_the_routes_are_found() -> None:
    assert len(OF_TENANT) >= 25
    assert ("POST", "/v1/tenants") in OF_PLATFORM


async def test_another_tenant_is_not_there(fern: TenantApi, kiln: TenantApi) -> None:
    for method, path in OF_TENANT:
        reply = await fern.api.call(method, filled(path, fern.id), {}, key=kiln.key)
        problem(reply, 404, "tenant")


async def test_a_tenant_that_does_not_exist_is_answered_the_same(fern: TenantApi, kiln: TenantApi) -> None:
    taken = await fern.api.call("GET", f"/v1/tenants/{fern.id}/plans", key=kiln.key)
    unknown = await fern.api.call("GET", "/v1/tenants/ten_0/plans", key=kiln.key)
    assert problem(taken, 404, "tenant")["detail"] == problem(unknown, 404, "tenant")["detail"].replace(
        "ten_0", fern.id
    )


async def test_without_a_key_nothing_opens(fern: TenantApi) -> None:
    for method, path in ROUTES:
        reply = await fern.api.call(method, filled(path, fern.id), {}, key="")
        problem(reply, 401)
        assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", ["col_tenant_unknown", "x", "col_platform_" + "2" * 32])
async def test_an_unknown_key_opens_nothing(fern: TenantApi, key: str) -> None:
    for method, path in ROUTES:
        problem(await fern.api.call(method, filled(path, fern.id), {}, key=key), 401)


async def test_a_revoked_key_opens_nothing(api: Api, fern: TenantApi) -> None:
    assert (await fern.call("GET", "")).status_code == 200
    await revoke(api, fern)
    for method, path in ROUTES:
        problem(await api.call(method, filled(path, fern.id), {}, key=fern.key), 401)


async def test_the_platforms_routes_are_closed_to_tenants(fern: TenantApi) -> None:
    for method, path in OF_PLATFORM:
        problem(await fern.api.call(method, filled(path, fern.id), {}, key=fern.key), 403)


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


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/portal", 405)])
async def test_what_no_route_serves_has_a_request_id_too(api: Api, method: str, path: str, status: int) -> None:
    answer = await api.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["request-id"] == answer.json()["request_id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
