"""The audit log: every change of a request leaves one line, which nobody can change, read or write as another."""

import json
from typing import Any

import asyncpg
import pytest

from colonnade.access import audit
from colonnade.access.actions import ACTIONS, READING, UNLOGGED
from colonnade.access.principals import COMMAND_LINE, WORKER
from colonnade.app import GUARDED
from colonnade.database.connections import Database
from colonnade.database.roles import Duty, quote
from colonnade.errors import StripeRefused
from colonnade.stripe_api.client import StripeClient
from colonnade_tenants.partition import TenantConnection
from tests.platform.api import RETURN_URL, Api, TenantApi, problem
from tests.platform.portals import edit, post

SEATS = {"kind": "quantity", "name": "Seats"}
PRODUCT = {"product": "prod_unknown", "prices": ["price_unknown"]}
CANCEL = {"subscription_cancel": {"enabled": True}}
_PRODUCTS = "features.subscription_update.products"


async def _refuse(*_: Any, **__: Any) -> None:
    raise StripeRefused("No.", status=400)


async def lines(api: Api | TenantApi, **query: str) -> list[dict[str, Any]]:
    """The newest lines that the caller may read."""
    path = "/v1/audit" if isinstance(api, Api) else "/audit"
    reply = await api.call("GET", f"{path}?{'&'.join(f'{name}={value}' for name, value in query.items())}")
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["data"]
    return found


def test_every_route_that_changes_something_has_a_name_in_the_log_or_a_reason_to_have_none() -> None:
    changing = {route.fn.__name__ for route in GUARDED if not route.http_methods <= READING}
    assert changing == ACTIONS.keys() | UNLOGGED.keys()
    assert not ACTIONS.keys() & UNLOGGED.keys()


async def test_a_change_is_logged_with_who_and_what_and_the_request(fern: TenantApi) -> None:
    reply = await fern.call("PUT", "/features/seats", SEATS)
    (line,) = await lines(fern, target=f"tenants/{fern.id}/features/seats")
    key = (await fern.get("/keys"))["data"][0]["id"]
    assert line["action"] == "feature.changed"
    assert line["by"] == {"kind": "tenant_key", "id": key}
    assert line["tenant"] == fern.id
    assert line["request_id"] == reply.headers["request-id"]


async def test_a_tenants_change_has_before_and_after(api: Api, fern: TenantApi) -> None:
    await api.call("PATCH", f"/v1/tenants/{fern.id}", {"name": "Fern & Co", "event_weight": 3})
    line, made = await lines(api, tenant=fern.id)
    assert (line["before"]["name"], line["after"]["name"]) == ("Fern", "Fern & Co")
    assert (line["before"]["event_weight"], line["after"]["event_weight"]) == (1, 3)
    assert line["by"]["kind"] == "platform_key"
    assert made["action"] == "tenant.created"
    assert made["after"]["stripe_account"] == fern.account


async def test_what_is_sold_and_decided_has_before_and_after(fern: TenantApi) -> None:
    await fern.put("/features/seats", SEATS)
    await fern.put("/features/seats", {**SEATS, "name": "Places"})
    second, first = await lines(fern, target=f"tenants/{fern.id}/features/seats")
    assert (first["before"], first["after"]["name"]) == (None, "Seats")
    assert (second["before"]["name"], second["after"]["name"]) == ("Seats", "Places")
    await fern.call("DELETE", "/features/seats")
    assert (await lines(fern))[0]["before"]["name"] == "Places"
    endpoint = {"url": "https://hooks.example/secret-path?token=1", "description": "Ours"}
    made = (await fern.call("POST", "/notification-endpoints", endpoint)).json()
    (line,) = await lines(fern, target=f"tenants/{fern.id}/notification-endpoints/{made['id']}")
    assert line["after"]["host"] == "hooks.example"
    await fern.call("PATCH", f"/notification-endpoints/{made['id']}", {"url": "https://hooks.example/other"})
    (moved, line) = await lines(fern, target=f"tenants/{fern.id}/notification-endpoints/{made['id']}")
    assert moved["before"] == line["after"]
    assert moved["before"] != moved["after"], "that the path is another is told"
    assert "secret-path" not in str(line) + str(moved)
    for name in ("Fern", "Fern & Co"):
        await fern.put("/branding", {"name": name})
    (second, first) = await lines(fern, action="branding.changed")
    assert (first["before"], first["after"]["name"]) == (None, "Fern")
    assert (second["before"]["name"], second["after"]["name"]) == ("Fern", "Fern & Co")
    await fern.call("PUT", "/closed-checks", {"closed_checks": "deny"}, key=fern.api.key)
    (closed,) = await lines(fern, action="tenant.closed_checks_changed")
    assert (closed["before"], closed["after"]) == ({"closed_checks": "keep"}, {"closed_checks": "deny"})


async def test_a_customers_line_names_what_was_changed_and_nothing_of_the_person(fern: TenantApi) -> None:
    await fern.put("/customers/ada", {"name": "Ada", "email": "ada@fern.example"})
    await fern.put("/customers/ada", {"name": "Ada", "email": "countess@fern.example"})
    second, first = await lines(fern, action="customer.changed")
    assert (first["after"], second["after"]) == ({"changed": ["email", "name"]}, {"changed": ["email"]})
    assert "fern.example" not in str([first, second])


async def test_a_configurations_line_has_its_versions_and_what_others_had_changed(fern: TenantApi) -> None:
    made = await fern.configuration()
    for nothing_to_do in ("adopt", "revert"):
        await post(fern, f"/portal-configurations/main/{nothing_to_do}")
    await edit(fern, made, business_profile__headline="Hello")
    await post(fern, "/portal-configurations/main/revert")
    await edit(fern, made, business_profile__headline="Welcome")
    await post(fern, "/portal-configurations/main/adopt")
    await fern.put("/branding", {"name": "Fern", "privacy_policy_url": "https://fern.example/privacy"})
    first = {"version": 1, "active": True, "default": True}
    edited = first | {"edited": ["business_profile.headline"]}
    found = await lines(fern, target=f"tenants/{fern.id}/portal-configurations/main")
    assert [(each["action"].partition(".")[2], each["before"], each["after"]) for each in reversed(found)] == [
        ("changed", None, first),
        ("reverted", edited, first),
        ("adopted", edited, first | {"version": 2}),
    ]
    (branding,) = await lines(fern, action="branding.changed")
    assert "version" not in branding["after"]


async def test_a_tenant_is_not_told_who_of_the_platform_it_was(api: Api, fern: TenantApi) -> None:
    await api.call("PATCH", f"/v1/tenants/{fern.id}", {"event_weight": 3})
    line, _ = await lines(fern)
    assert line["by"] == {"kind": "platform_key", "id": None}
    (told, _) = (await api.call("GET", f"/v1/tenants/{fern.id}/audit")).json()["data"]
    assert told["by"]["id"].startswith("key_")


async def test_a_refused_change_is_not_logged(fern: TenantApi) -> None:
    problem(await fern.call("PUT", "/features/seats", {**SEATS, "kind": "odd"}), 400, "kind")
    problem(await fern.call("DELETE", "/features/none"), 404, "key")
    assert await lines(fern, target=f"tenants/{fern.id}/features") == []


async def test_what_is_refused_after_a_lease_or_a_reservation_is_not_logged(
    fern: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fern.configuration()
    before = await lines(fern)
    unknown = {"enabled": True, "default_allowed_updates": ["price"], "products": [PRODUCT]}
    wanted = {"features": {"subscription_update": unknown}, "default_return_url": RETURN_URL}
    problem(await fern.call("PUT", "/portal-configurations/main", wanted), 400, f"{_PRODUCTS}[0].product")
    problem(await fern.call("POST", "/portal-configurations/main/deactivate"), 409, "name")
    with monkeypatch.context() as patch:
        patch.setattr(StripeClient, "post", _refuse)
        problem(await fern.call("PUT", "/customers/ada", {"email": "ada@fern.example"}), 422)
        problem(await fern.call("PUT", "/portal-configurations/other", {**wanted, "features": CANCEL}), 422)
    assert await lines(fern) == before

    await fern.customer()
    await fern.configuration("other")
    made = [line["action"] for line in await lines(fern)][: -len(before)]
    assert sorted(made) == ["customer.changed", "portal_configuration.changed"]


async def test_what_reads_is_not_logged(fern: TenantApi) -> None:
    before = await lines(fern)
    await fern.call("GET", "/features")
    await fern.customer()
    await fern.call("POST", "/entitlement-checks", {"customers": ["ada"]})
    assert [line["action"] for line in await lines(fern)][: -len(before)] == ["customer.changed"]


async def test_what_is_done_at_stripe_alone_is_logged_too(fern: TenantApi) -> None:
    reply = await fern.call("POST", "/onboarding-links", {"return_url": "https://shop.example/account"})
    assert reply.status_code == 201
    assert (await lines(fern))[0]["action"] == "onboarding_link.created"


async def test_counting_events_to_replay_is_not_logged(api: Api) -> None:
    for dry_run in (True, False):
        await api.call("POST", "/v1/events/replay", {"type": "customer.updated", "dry_run": dry_run})
    (line,) = await lines(api, action="events.replayed")
    assert line["after"] == {"type": "customer.updated", "tenant": None, "state": None, "from": None, "to": None}


async def test_a_repeated_creation_is_logged_once(api: Api) -> None:
    body = {"name": "Fern", "country": "DE"}
    made = [(await api.call("POST", "/v1/tenants", body, idempotency_key="once")).json() for _ in range(2)]
    assert made[0] == made[1]
    path = f"/v1/tenants/{made[0]['id']}/keys"
    for _ in range(2):
        assert (await api.call("POST", path, {"name": "backend"}, idempotency_key="once")).status_code == 201
    found = await lines(api, tenant=made[0]["id"])
    assert [line["action"] for line in found] == ["key.created", "tenant.created"]


async def test_no_key_is_in_the_log(api: Api, fern: TenantApi) -> None:
    made = (await fern.call("POST", "/keys", {"name": "backend"})).json()
    (line,) = await lines(fern, target=f"tenants/{fern.id}/keys/{made['id']}")
    assert (line["after"]["name"], line["after"]["scopes"]) == ("backend", ["admin"])
    everything = str([dict(row) for row in await api.sql("select * from audit_log")])
    assert fern.key not in everything
    assert made["key"] not in everything


async def test_another_tenant_reads_nothing_of_it(fern: TenantApi, kiln: TenantApi) -> None:
    for path in ("/audit", "/audit/export"):
        problem(await fern.call("GET", path, key=kiln.key), 404, "tenant")
        problem(await fern.api.call("GET", "/v1" + path, key=kiln.key), 403)
    assert fern.id not in str(await lines(kiln))


async def test_a_tenant_confirms_no_platforms_id_by_asking_for_it(api: Api, fern: TenantApi) -> None:
    await fern.call("PUT", "/features/seats", SEATS)
    (made,) = await lines(api, tenant=fern.id, action="tenant.created")
    assert await lines(fern, by=made["by"]["id"]) == []
    assert (await fern.call("GET", f"/audit/export?by={made['by']['id']}")).text == ""
    assert len(await lines(api, tenant=fern.id, by=made["by"]["id"])) == 1
    own = (await lines(fern, action="feature.changed"))[0]["by"]["id"]
    assert len(await lines(fern, by=own)) == 1


async def test_filters_and_pages(api: Api, fern: TenantApi) -> None:
    for name in ("a", "b", "c"):
        await fern.call("PUT", f"/features/{name}", SEATS)
    assert len(await lines(fern, action="feature.changed")) == 3
    assert len(await lines(fern, target=f"tenants/{fern.id}/features")) == 3
    assert await lines(fern, target=f"tenants/{fern.id}/feature_") == []
    first = (await fern.call("GET", "/audit?limit=2")).json()
    rest = (await fern.call("GET", f"/audit?after={first['next']}")).json()
    targets = [line["target"].rpartition("/")[2] for line in first["data"] + rest["data"]]
    assert targets == ["c", "b", "a", fern.id]
    assert await lines(api, tenant=fern.id, to="2020-01-01T00:00:00Z") == []
    problem(await api.call("GET", "/v1/audit?from=monday"), 400, "from")
    problem(await api.call("GET", "/v1/audit?tenant=ten_0"), 404, "tenant")
    problem(await api.call("GET", "/v1/audit?by=%00"), 400, "by")


async def test_the_export_has_every_line_and_goes_on_after_any(
    fern: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colonnade.access.audit_reading.BATCH", 2)
    for name in ("a", "b", "c", "d"):
        await fern.call("PUT", f"/features/{name}", SEATS)
    reply = await fern.call("GET", "/audit/export")
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    exported = [json.loads(line) for line in reply.text.splitlines()]
    assert exported == list(reversed(await lines(fern)))
    rest = await fern.call("GET", f"/audit/export?after={exported[2]['id']}")
    assert [json.loads(line) for line in rest.text.splitlines()] == exported[3:]
    problem(await fern.call("GET", "/audit/export?after=aud_0"), 404, "after")


@pytest.mark.parametrize(
    "statement", ["update audit_log set action = 'x'", "delete from audit_log", "truncate audit_log"]
)
async def test_nobody_changes_it(api: Api, fern: TenantApi, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await api.sql(statement)  # a superuser
    connection = await asyncpg.connect(api.database.service_url)
    for duty in (Duty.APP, Duty.WORKER, Duty.PLATFORM, Duty.INGEST):
        await connection.execute(f"set role {quote(duty)}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await connection.execute(statement)
    await connection.close()


async def test_a_change_and_its_line_are_committed_together_or_not_at_all(
    api: Api, fern: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> bool:
        raise asyncpg.PostgresConnectionError("the database went away")

    monkeypatch.setattr(audit, "_add", fail)
    problem(await fern.call("PUT", "/features/seats", SEATS), 503)
    monkeypatch.undo()
    problem(await fern.call("GET", "/features/seats"), 404, "key")
    assert await lines(fern, action="feature.changed") == []


async def test_the_program_itself_records_what_it_does(api: Api, fern: TenantApi) -> None:
    tenant_id = (await api.sql("select id from tenants where public_id = $1", fern.id))[0]["id"]
    said = {"tenant_id": tenant_id, "target": f"tenants/{fern.id}"}
    async with Database(api.database.service_url) as connections:
        async with connections.tenant(tenant_id) as session:
            await audit.record(session, WORKER, "tenant.disconnected", **said, after={"state": "disconnected"})
        async with connections.tenant_connection(tenant_id) as connection:
            await audit.record(connection, WORKER, "tenant.returned", **said)
        async with connections.platform() as platform:
            await audit.record(platform, COMMAND_LINE, "tenant.suspended", **said)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connections.tenant_connection(tenant_id + 1) as other:
                await audit.record(TenantConnection(other.driver, tenant_id + 1), WORKER, "tenant.forged", **said)
    suspended, returned, disconnected, _ = await lines(api, tenant=fern.id)
    assert suspended["by"] == {"kind": "system", "id": "command line"}
    assert (returned["action"], disconnected["after"]) == ("tenant.returned", {"state": "disconnected"})
