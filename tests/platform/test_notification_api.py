"""The routes of notification endpoints: whose they are, what they refuse, and what they show."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import Response

from colonnade.access import keys
from colonnade_tenants.notifications import payloads
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import SETTINGS, web
from tests.platform.notifying import Notified, another, notified

PATH = "/notification-endpoints"
URL = "https://shop.example/hook"


@pytest.fixture(scope="module")
async def first(shared_database: ScratchDatabase) -> AsyncIterator[Notified]:
    async with notified(shared_database) as first:
        yield first


@pytest.fixture
async def fern(first: Notified) -> Notified:
    """A new tenant of the module's application."""
    return await another(first.web, first.db, first.pool)


def refused(reply: Response, status: int, param: str | None) -> None:
    assert (reply.status_code, reply.json().get("param")) == (status, param), reply.text


async def add(tenant: Notified, **fields: Any) -> dict[str, Any]:
    reply = await tenant.call("POST", PATH, {"url": URL, **fields})
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_a_secret_is_shown_once_and_stored_encrypted(fern: Notified) -> None:
    made = await add(fern, description="production")
    assert made["secret"].startswith("whsec_")
    assert (made["state"], made["types"], made["disabled_reason"]) == ("enabled", [], None)
    shown = await fern.endpoint(made["id"])
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    listed = (await fern.call("GET", PATH)).json()
    assert listed == {"data": [shown], "next": None}
    stored = await fern.db.connection.fetchval(
        "select secrets::text from notification_endpoints where public_id = $1", made["id"]
    )
    assert made["secret"] not in stored
    assert made["secret"].removeprefix("whsec_") not in stored


async def test_a_repeated_request_makes_one_endpoint_and_answers_the_same(fern: Notified) -> None:
    async def post(url: str) -> Response:
        headers = {"Authorization": f"Bearer {fern.key}", "Idempotency-Key": "once"}
        return await fern.web.client.post(f"/v1/tenants/{fern.name}{PATH}", json={"url": url}, headers=headers)

    first, second = await post(URL), await post(URL)
    assert first.json() == second.json()
    assert len((await fern.call("GET", PATH)).json()["data"]) == 1
    refused(await post("https://other.example"), 409, "Idempotency-Key")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"url": "http://shop.example"}, "url"),
        ({"url": "https://10.0.0.1"}, "url"),
        ({"url": "https://shop.example/\n"}, "url"),
        ({}, "url"),
        ({"url": URL, "types": ["entitlements.changed", "nonsense"]}, "types[1]"),
        ({"url": URL, "types": ["ping"]}, "types[0]"),
        ({"url": URL, "description": ""}, "description"),
        ({"url": URL, "secret": "whsec_mine"}, "secret"),
    ],
)
async def test_a_wrong_endpoint_is_refused_naming_the_field(fern: Notified, fields: dict[str, Any], param: str) -> None:
    refused(await fern.call("POST", PATH, fields), 400, param)
    assert (await fern.call("GET", PATH)).json()["data"] == []


async def test_a_development_setting_alone_lets_loopback_in(shared_database: ScratchDatabase, fern: Notified) -> None:
    assert (await fern.call("POST", PATH, {"url": "http://127.0.0.1:9/hook"})).status_code == 201
    async with web(shared_database, SETTINGS) as strict:
        path = f"/v1/tenants/{fern.name}{PATH}"
        refused(await strict.call("POST", path, fern.key, {"url": "http://127.0.0.1:9/hook"}), 400, "url")


async def test_an_endpoint_changes_where_it_is_as_it_was_read(fern: Notified) -> None:
    made = await add(fern)
    path = f"/v1/tenants/{fern.name}{PATH}/{made['id']}"
    headers = {"Authorization": f"Bearer {fern.key}"}
    tag = (await fern.web.client.get(path, headers=headers)).headers["etag"]
    change = {"types": ["subscription.changed"], "state": "disabled"}
    reply = await fern.web.client.patch(path, json=change, headers={**headers, "If-Match": tag})
    assert reply.status_code == 200
    assert (reply.json()["types"], reply.json()["state"]) == (["subscription.changed"], "disabled")
    reply = await fern.web.client.patch(path, json=change, headers={**headers, "If-Match": tag})
    refused(reply, 412, "If-Match")
    refused(await fern.call("PATCH", f"{PATH}/{made['id']}", {"url": "http://shop.example"}), 400, "url")
    refused(await fern.call("POST", f"{PATH}/{made['id']}/ping"), 409, "endpoint")
    refused(await fern.call("POST", f"{PATH}/{made['id']}/replay", {"failed": True}), 409, "endpoint")


async def test_no_more_endpoints_than_allowed_and_no_more_secrets(fern: Notified) -> None:
    for _ in range(20):
        made = await add(fern)
    assert (await fern.call("POST", PATH, {"url": URL})).status_code == 409
    for _ in range(4):
        assert (await fern.call("POST", f"{PATH}/{made['id']}/secret", {})).status_code == 201
    assert (await fern.call("POST", f"{PATH}/{made['id']}/secret", {})).status_code == 409
    page = (await fern.call("GET", f"{PATH}?limit=15")).json()
    rest = (await fern.call("GET", f"{PATH}?limit=15&after={page['next']}")).json()
    assert (len(page["data"]), len(rest["data"]), rest["next"]) == (15, 5, None)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "notifications"),
        ({"notifications": []}, "notifications"),
        ({"types": ["nonsense"]}, "types[0]"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
    ],
)
async def test_a_wrong_replay_is_refused_naming_the_field(fern: Notified, body: dict[str, Any], param: str) -> None:
    made = await add(fern)
    refused(await fern.call("POST", f"{PATH}/{made['id']}/replay", body), 400, param)


ROUTES = (
    ("GET", "", None),
    ("PATCH", "", {"url": "https://thief.example"}),
    ("DELETE", "", None),
    ("POST", "/secret", {}),
    ("POST", "/ping", None),
    ("POST", "/replay", {"failed": True}),
    ("GET", "/deliveries", None),
    ("GET", "/deliveries/ntf_1", None),
)


async def test_another_tenants_endpoints_do_not_exist(fern: Notified) -> None:
    mine = await add(fern)
    kiln = await another(fern.web, fern.db, fern.pool)
    theirs = await add(kiln)
    for method, path, body in ROUTES:
        refused(await fern.call(method, f"{PATH}/{theirs['id']}{path}", body), 404, "endpoint")
        refused(await kiln.call(method, f"{PATH}/{theirs['id']}{path}", body, key=fern.key), 404, "tenant")
    for path in (PATH, "/notifications", "/stream"):
        refused(await kiln.call("GET", path, key=fern.key), 404, "tenant")
    refused(await kiln.call("POST", PATH, {"url": URL}, key=fern.key), 404, "tenant")
    assert await kiln.endpoint(theirs["id"]) == {name: theirs[name] for name in theirs if name != "secret"}
    assert [each["id"] for each in (await fern.call("GET", PATH)).json()["data"]] == [mine["id"]]


async def test_another_tenants_notifications_are_neither_shown_nor_replayed(fern: Notified) -> None:
    kiln = await another(fern.web, fern.db, fern.pool)
    (theirs,) = await kiln.tell(await kiln.customer())
    mine = await add(fern)
    refused(await fern.call("GET", f"/notifications/{theirs}"), 404, "notification")
    assert (await kiln.call("GET", f"/notifications/{theirs}")).json()["id"] == theirs
    await fern.db.connection.execute("update notifications set position = 1 where public_id = $1", theirs)
    reply = await fern.call("POST", f"{PATH}/{mine['id']}/replay", {"notifications": [theirs]})
    assert reply.json() == {"count": 0}
    assert (await fern.call("GET", "/notifications")).json()["data"] == []


async def test_a_deleted_endpoint_takes_its_deliveries_with_it(fern: Notified) -> None:
    made = await add(fern)
    assert (await fern.call("DELETE", f"{PATH}/{made['id']}")).status_code == 204
    refused(await fern.call("GET", f"{PATH}/{made['id']}"), 404, "endpoint")


async def test_every_type_is_documented_with_the_body_that_is_sent(fern: Notified) -> None:
    document = (await fern.web.client.get("/docs/openapi.json")).json()
    assert set(document["webhooks"]) == set(payloads.TYPES)
    for name, described in document["webhooks"].items():
        schema = described["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        found = document["components"]["schemas"][schema.rpartition("/")[2]]
        assert found["properties"]["type"]["const"] == name
        assert {"webhook-id", "webhook-timestamp", "webhook-signature"} == {
            parameter["name"] for parameter in described["post"]["parameters"]
        }


async def test_a_key_that_was_revoked_opens_nothing(fern: Notified) -> None:
    await fern.db.connection.execute("update api_keys set revoked_at = now() where digest = $1", keys.digest(fern.key))
    refused(await fern.call("GET", PATH), 401, None)
