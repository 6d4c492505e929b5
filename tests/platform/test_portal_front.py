"""Sessions that are opened before the application's routing are those that its route opens."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from colonnade.portals import front, session_routes
from tests.conftest import ScratchDatabase
from tests.platform.api import ORIGIN, Sandbox, TenantApi, problem, running_api

SESSIONS = "/customers/ada/portal-sessions"
OWN = {"date", "request-id", "content-length", "ratelimit"}
"""Headers that two answers do not share."""


class Spy:
    """Counts who opens sessions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = {"front": 0, "route": 0}
        self._open = front.open_session
        monkeypatch.setattr(front, "open_session", self._counted("front"))
        monkeypatch.setattr(session_routes, "open_session", self._counted("route"))

    def _counted(self, by: str) -> Any:
        async def counted(*args: Any) -> Any:
            self.opened[by] += 1
            return await self._open(*args)

        return counted


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


@pytest.fixture
async def shop(fern: TenantApi) -> TenantApi:
    """Whose key was seen just now."""
    await fern.configuration()
    await fern.customer("ada")
    reply = await fern.call("POST", SESSIONS, {})
    assert reply.status_code == 201, reply.text
    return fern


def shown(reply: httpx.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    """What two answers have to share: names of fields alone where each session has its own values."""
    said = {name: value for name, value in reply.headers.items() if name not in OWN}
    body = reply.json()
    own = {"id", "url", "expires_at", "request_id"}
    return reply.status_code, said, {name: "own" if name in own else value for name, value in body.items()}


DEAD_END = {"flow": {"type": "subscription_cancel", "subscription": "sub_none"}}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (SESSIONS, {}, 201),
        (SESSIONS, {"configuration": "main", "locale": "de", "return_url": f"{ORIGIN}/x"}, 201),
        (SESSIONS, {"configuration": "none"}, 404),
        (SESSIONS, {"return_url": "https://elsewhere.example/"}, 400),
        (SESSIONS, DEAD_END, 404),
        ("/customers/nobody/portal-sessions", {}, 404),
        ("/customers/%00/portal-sessions", {}, 404),
    ],
)
async def test_an_answer_is_the_routes(shop: TenantApi, spy: Spy, path: str, body: Any, status: int) -> None:
    before = await shop.call("POST", path, body)
    behind = await shop.call("POST", f"{path}?by=route", body)
    assert spy.opened == {"front": 1, "route": 1}
    assert before.status_code == status
    assert shown(before) == shown(behind)
    assert before.headers["request-id"] != behind.headers["request-id"]


@pytest.mark.parametrize("fact", ["suspended_at", "archived_at", "disconnected_at"])
async def test_a_closed_tenants_answer_is_the_routes(shop: TenantApi, spy: Spy, fact: str) -> None:
    await shop.api.sql(f"update tenants set {fact} = now() where public_id = $1", shop.id)
    code = fact.removesuffix("_at")
    async with asyncio.timeout(5):
        while (await shop.call("POST", f"{SESSIONS}?by=route", {})).json().get("code") != code:
            await asyncio.sleep(0.05)  # until the key is looked up anew
    spy.opened["front"] = 0
    before = await shop.call("POST", SESSIONS, {})
    assert spy.opened["front"] == 1
    assert shown(before) == shown(await shop.call("POST", f"{SESSIONS}?by=route", {}))
    problem(before, 409, "tenant")


WRONG_BODIES = {
    b"": (400, None),
    b"{": (400, None),
    b"[]": (400, None),
    b"\xff": (400, None),
    b'{"configuration": 7}': (400, "configuration"),
    rb'{"configuration": "\u0000"}': (400, "configuration"),
    b'{"customer": "cus_1"}': (400, "customer"),
}
WRONG_HEADERS: list[tuple[dict[str, str], int, str | None]] = [
    ({"Content-Type": "text/plain"}, 415, None),
    ({"Idempotency-Key": ""}, 400, "Idempotency-Key"),
    ({"Idempotency-Key": "k" * 201}, 400, "Idempotency-Key"),
    ({"Authorization": "Bearer col_tenant_wrong"}, 401, None),
    ({"Authorization": ""}, 401, None),
]


@pytest.mark.parametrize(
    ("content", "headers", "status", "param"),
    [
        *((content, {}, status, param) for content, (status, param) in WRONG_BODIES.items()),
        *((b"{}", headers, status, param) for headers, status, param in WRONG_HEADERS),
    ],
)
async def test_what_is_wrong_is_said_by_the_route(
    shop: TenantApi, spy: Spy, content: bytes, headers: dict[str, str], status: int, param: str | None
) -> None:
    sent = {"Authorization": f"Bearer {shop.key}", "Content-Type": "application/json"} | headers
    reply = await shop.api.client.post(f"/v1/tenants/{shop.id}{SESSIONS}", content=content, headers=sent)
    problem(reply, status, param)
    assert spy.opened == {"front": 0, "route": 0}


async def test_a_body_in_parts_and_one_with_a_charset_are_the_routes(shop: TenantApi, spy: Spy) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"{"
        yield b"}"

    path, key = f"/v1/tenants/{shop.id}{SESSIONS}", {"Authorization": f"Bearer {shop.key}"}
    for sent, media in ((parts(), "application/json"), (b"{}", "application/json; charset=utf-8")):
        reply = await shop.api.client.post(path, content=sent, headers=key | {"Content-Type": media})
        assert reply.status_code == 201, reply.text
    assert spy.opened == {"front": 0, "route": 2}


async def test_another_tenants_key_and_one_without_the_scope_open_nothing(
    shop: TenantApi, kiln: TenantApi, spy: Spy
) -> None:
    await kiln.get("")
    problem(await shop.call("POST", SESSIONS, {}, key=kiln.key), 404, "tenant")
    made = (await shop.call("POST", "/keys", {"name": "reads", "scopes": ["read", "customers"]})).json()
    for _ in range(2):
        problem(await shop.call("POST", SESSIONS, {}, key=made["key"]), 403)
    assert spy.opened == {"front": 0, "route": 0}
    made = (await shop.call("POST", "/keys", {"name": "opens", "scopes": ["portals"]})).json()
    for _ in range(2):
        assert (await shop.call("POST", SESSIONS, {}, key=made["key"])).status_code == 201
    assert spy.opened == {"front": 1, "route": 1}


async def test_each_counts_once_as_its_tenants_request(shared_database: ScratchDatabase, sandbox: Sandbox) -> None:
    async with running_api(shared_database, sandbox, tenant_requests_per_minute=6) as api:
        fern = await api.tenant()
        left = []
        for path in ("/customers/no/portal-sessions", *[SESSIONS] * 6):
            reply = await fern.call("POST", path, {})
            left.append((reply.status_code, reply.headers["ratelimit"].split(";")[1]))
        assert left == [*((404, f"r={number}") for number in (5, 4, 3, 2, 1, 0)), (429, "r=0")]
