"""What every route keeps to: strict bodies, request ids, headers, other origins, limits."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from colonnade.web import cursor
from tests.conftest import ScratchDatabase
from tests.platform.api import ORIGIN, Api, Sandbox, TenantApi, problem, running_api

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(shared_database: ScratchDatabase, sandbox_url: str) -> AsyncIterator[Api]:
    async with running_api(shared_database, Sandbox(sandbox_url)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fern(api: Api) -> TenantApi:
    """One tenant for all; the tests leave it as it is."""
    return await api.tenant()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"event_weight": "2"}, "event_weight"),
        ({"event_weight": 2.5}, "event_weight"),
        ({"event_weight": True}, "event_weight"),
        ({"name": 5}, "name"),
        ({"name": None}, "name"),
        ({"return_origins": ORIGIN}, "return_origins"),
        ({"return_origins": [1]}, "return_origins[0]"),
        ({"nmae": "Fern"}, "nmae"),
    ],
)
async def test_a_field_of_another_type_is_named_and_nothing_is_written(
    api: Api, fern: TenantApi, body: dict[str, Any], param: str
) -> None:
    before = await fern.get("")
    problem(await api.call("PATCH", f"/v1/tenants/{fern.id}", body), 400, param)
    assert await fern.get("") == before


async def test_a_body_that_is_no_json_is_refused(fern: TenantApi) -> None:
    path, key = f"/v1/tenants/{fern.id}", {"Authorization": f"Bearer {fern.key}"}
    client = fern.api.client
    for content in (b"{", b"\xff", b'{"name": NaN}', b'{"name": "a"} {}', b"[" * 100_000):
        problem(await client.patch(path, content=content, headers=key), 400)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/msgpack"):
        said = problem(await client.patch(path, content=b"{}", headers=key | {"Content-Type": kind}), 415)
        assert said["type"] == "urn:colonnade:problem:unsupported-media-type"


async def test_a_request_without_its_body_is_told_so(fern: TenantApi) -> None:
    for path in ("/keys", "/customers/ada/portal-sessions"):
        said = problem(await fern.call("POST", path), 400)
        assert said["detail"] == "Send a JSON body: this request has none."


async def test_a_merge_patch_clears_by_null_and_leaves_what_is_absent(api: Api) -> None:
    fern = await api.tenant(application_fee_percent=2.5)
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/merge-patch+json"}
    kept = await api.client.patch(f"/v1/tenants/{fern.id}", content=b'{"name": "Fern & Co"}', headers=headers)
    assert (kept.json()["name"], kept.json()["application_fee_percent"]) == ("Fern & Co", 2.5)
    cleared = await api.client.patch(
        f"/v1/tenants/{fern.id}", content=b'{"application_fee_percent": null}', headers=headers
    )
    assert (cleared.json()["name"], cleared.json()["application_fee_percent"]) == ("Fern & Co", None)


@pytest.mark.parametrize("name", ["Request-Id", "X-Request-Id"])
async def test_the_callers_request_id_comes_back(fern: TenantApi, name: str) -> None:
    answer = await fern.call("GET", "/nothing", **{name: "job-17:step.2"})
    assert problem(answer, 404)["request_id"] == "job-17:step.2"


async def test_an_ill_formed_request_id_is_replaced(fern: TenantApi) -> None:
    for odd in ("a b", "x" * 101, "{}", "-"):
        answer = await fern.call("GET", "", Request_Id=odd)
        assert answer.headers["request-id"].startswith("req_")


async def test_every_answer_carries_security_headers(api: Api, fern: TenantApi) -> None:
    for path in (f"/v1/tenants/{fern.id}", "/nowhere", "/health/live", "/docs", "/portal/return/x"):
        answer = await api.call("GET", path, key=fern.key)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
        assert answer.headers["x-frame-options"] == "DENY"
        assert "strict-transport-security" not in answer.headers  # this base URL is http


async def preflight(api: Api, path: str, origin: str) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    return await api.client.options(path, headers=asked)


async def test_a_page_of_the_tenants_origin_may_ask_and_read(api: Api, fern: TenantApi) -> None:
    asked = await preflight(api, f"/v1/tenants/{fern.id}/customers", ORIGIN)
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert "PATCH" in asked.headers["access-control-allow-methods"]
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    read = await fern.call("GET", "/customers", Origin=ORIGIN)
    assert read.headers["access-control-allow-origin"] == ORIGIN
    assert "Request-Id" in read.headers["access-control-expose-headers"]
    assert read.headers["vary"] == "Origin"
    refused = await api.call("GET", f"/v1/tenants/{fern.id}/customers", key="col_tenant_x", Origin=ORIGIN)
    assert problem(refused, 401)
    assert refused.headers["access-control-allow-origin"] == ORIGIN, "the page can read why"


OTHERS = ("https://evil.example", "null", f"{ORIGIN}.evil.test", "https://SHOP.example", "http://shop.example", "*")


@pytest.mark.parametrize("origin", OTHERS)
async def test_no_other_origin_is_let_in(api: Api, fern: TenantApi, origin: str) -> None:
    asked = await preflight(api, f"/v1/tenants/{fern.id}/customers", origin)
    read = await fern.call("GET", "/customers", Origin=origin)
    for answer in (asked, read):
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "Origin" in answer.headers["vary"]


async def test_another_tenants_origin_is_none_of_this_ones(api: Api, fern: TenantApi) -> None:
    kiln = await api.tenant(return_origins=["https://kiln.example"])
    for tenant, origin in ((fern, "https://kiln.example"), (kiln, ORIGIN)):
        asked = await preflight(api, f"/v1/tenants/{tenant.id}/customers", origin)
        assert "access-control-allow-origin" not in asked.headers
    unknown = await preflight(api, "/v1/tenants/ten_nobody/customers", ORIGIN)
    assert (unknown.status_code, "access-control-allow-origin" in unknown.headers) == (204, False)
    changed = await kiln.call("PATCH", "", {"return_origins": []})
    assert changed.status_code == 200
    gone = await preflight(api, f"/v1/tenants/{kiln.id}/customers", "https://kiln.example")
    assert "access-control-allow-origin" not in gone.headers


async def test_routes_of_the_platform_are_closed_to_browsers(api: Api, fern: TenantApi) -> None:
    for path in ("/v1/tenants", "/v1/events", "/health/ready", "/portal"):
        asked = await preflight(api, path, ORIGIN)
        assert not [name for name in asked.headers if name.startswith("access-control")], path
    assert "access-control-allow-credentials" not in (await preflight(api, f"/v1/tenants/{fern.id}", ORIGIN)).headers


async def test_a_body_over_the_limit_is_refused_unread(fern: TenantApi) -> None:
    answer = await fern.call("PATCH", "", {"name": "x" * 300_000})
    assert problem(answer, 413)["type"] == "urn:colonnade:problem:too-large"


EDITED: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("PATCH", "", {"name": "Fern"}, {"name": "Fern & Co"}),
    ("PUT", "/branding", {"name": "Fern"}, {"name": "Fern & Co"}),
    ("PUT", "/policy", {"grace": 7}, {"grace": 9}),
    ("PUT", "/portal-policy", {"drift": "report"}, {"drift": "revert"}),
    ("PUT", "/portal-rules", {"rules": []}, {"rules": [{"configuration": "main", "countries": ["DE"]}]}),
    ("PUT", "/features/seats", {"kind": "limit", "name": "Seats"}, {"kind": "limit", "name": "Places"}),
    ("PUT", "/customers/ada", {"email": "ada@example.com"}, {"email": "ada@example.org"}),
]


@pytest.mark.parametrize(
    ("method", "path", "first", "second"), EDITED, ids=[path or "tenant" for _, path, *_ in EDITED]
)
async def test_an_edit_of_what_has_changed_is_refused(
    api: Api, method: str, path: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    tenant, other = await api.tenant(), await api.tenant()
    await tenant.configuration()
    assert (await tenant.call(method, path, first)).status_code == 200
    read = (await tenant.call("GET", path)).headers["etag"]
    changed = await tenant.call(method, path, second, If_Match=read)
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] != read
    assert changed.headers["etag"] == (await tenant.call("GET", path)).headers["etag"]
    problem(await tenant.call(method, path, first, If_Match=read), 412, "If-Match")
    assert (await tenant.call("GET", path)).headers["etag"] == changed.headers["etag"]
    problem(await tenant.call(method, path, first, key=other.key, If_Match="*"), 404, "tenant")


async def test_of_two_who_read_the_same_tenant_one_may_write(api: Api) -> None:
    tenant = await api.tenant()
    read = (await tenant.call("GET", "")).headers["etag"]
    both = [tenant.call("PATCH", "", {"name": name}, If_Match=read) for name in ("Moss", "Lichen")]
    assert sorted(reply.status_code for reply in await asyncio.gather(*both)) == [200, 412]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"])
async def test_a_time_that_is_none_is_refused_by_name(api: Api, text: str) -> None:
    fern = await api.tenant()
    await fern.customer("ada")
    problem(await fern.call("GET", f"/audit?from={quote(text)}"), 400, "from")
    problem(await fern.call("GET", f"/customers/ada/portal-sessions?after={cursor(text)}"), 400, "after")
    line = json.dumps(["entitlements", ["1", "f", text], [fern.id, None]])
    problem(await fern.call("GET", f"/export?after={cursor(line)}"), 400, "after")


async def test_a_place_in_an_export_is_read_as_the_database_writes_it(fern: TenantApi) -> None:
    line = json.dumps(["entitlements", ["1_0", "f", "2026-W01-1T00:00:00Z"], [fern.id, None]])
    reply = await fern.call("GET", f"/export?after={cursor(line)}")
    assert reply.status_code == 200
    assert json.loads(reply.text.splitlines()[-1])["end"]
