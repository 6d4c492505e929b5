"""Both endpoints are made once, kept as wanted, watched for drift, and replaced by overlap."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest
import stripe

from colonnade.database.connections import connect
from colonnade.database.roles import Duty
from colonnade.errors import StripeUnavailable
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks import endpoint_status
from colonnade.webhooks.endpoint_status import status
from colonnade.webhooks.provision import KINDS, provision, recorded, remove_old
from colonnade_tenants.handlers import HANDLERS
from tests.conftest import ScratchDatabase
from tests.platform.api import BASE_URL, PLENTY, Sandbox
from tests.platform.deliveries import admin, environment, event, headers_for, web
from tests.platform.test_cli import colonnade

pytestmark = [pytest.mark.alone, pytest.mark.slow]


class Stage(NamedTuple):
    connection: asyncpg.Connection
    gateway: StripeGateway
    sandbox: Sandbox
    database: ScratchDatabase

    async def endpoints(self) -> list[dict[str, Any]]:
        """As Stripe has them, oldest first."""
        return list(reversed((await self.sandbox.call("GET", "/v1/webhook_endpoints"))["data"]))

    async def provision(self, base_url: str = BASE_URL, *, roll: bool = False) -> list[Any]:
        return list(await provision(self.connection, self.gateway.platform, base_url, roll=roll))

    async def drifts(self, **settings: Any) -> set[tuple[str, str]]:
        """Kind and problem of each drift; both secrets are configured unless *settings* say otherwise."""
        configured = {f"stripe_{kind}_webhook_secrets": ("whsec_any",) for kind in KINDS}
        found = await status(self.connection, self.gateway, Settings(base_url=BASE_URL, **configured | settings))
        return {(drift.kind, drift.problem) for drift in found.drifts}


@pytest.fixture
async def stage(shared_database: ScratchDatabase, sandbox: Sandbox) -> AsyncIterator[Stage]:
    gateway = StripeGateway(
        Settings(stripe_api_key=sandbox.key, stripe_api_base=sandbox.url, stripe_budget_percent=PLENTY)
    )
    connection = await connect(shared_database.service_url, Duty.PLATFORM)
    await connection.execute("delete from webhook_endpoints; delete from inbox")
    yield Stage(connection, gateway, sandbox, shared_database)
    await connection.close()
    await gateway.close()


async def test_both_endpoints_are_made_once_with_the_version_and_exactly_the_handled_types(stage: Stage) -> None:
    made = await stage.provision()
    assert [(each.kind, each.done) for each in made] == [("platform", "created"), ("connect", "created")]
    assert all(each.secret.startswith("whsec_") for each in made)
    for kind, each in zip(KINDS, await stage.endpoints(), strict=True):
        assert each["url"] == f"{BASE_URL}/webhooks/stripe/{kind}"
        assert each["api_version"] == stripe.api_version
        assert set(each["enabled_events"]) == set(HANDLERS)
    assert [(each.kind, each.done, each.secret) for each in await stage.provision()] == [
        ("platform", "unchanged", None),
        ("connect", "unchanged", None),
    ]
    assert len(await stage.endpoints()) == 2
    assert await stage.drifts() == set()


async def test_no_secret_is_kept_in_the_database(stage: Stage) -> None:
    made = await stage.provision()
    async with admin(stage.database) as db:
        rows = await db.connection.fetch("select webhook_endpoints::text as all from webhook_endpoints")
    assert not any(each.secret in row["all"] for each in made for row in rows)


async def test_a_repeat_mends_what_was_changed_at_stripe(stage: Stage) -> None:
    platform, connect_endpoint = await stage.provision()
    await stage.sandbox.call("POST", f"/v1/webhook_endpoints/{platform.id}", {"disabled": "true"})
    form = {"url": "https://elsewhere.example", "enabled_events[0]": "charge.succeeded"}
    await stage.sandbox.call("POST", f"/v1/webhook_endpoints/{connect_endpoint.id}", form)
    assert await stage.drifts() == {
        ("platform", "it is disabled: nothing is delivered"),
        ("connect", f"it delivers to https://elsewhere.example instead of {BASE_URL}/webhooks/stripe/connect"),
        ("connect", f"these types are not sent: {', '.join(sorted(HANDLERS))}"),
        ("connect", "these types are sent and not handled: charge.succeeded"),
    }
    assert [(each.id, each.done) for each in await stage.provision()] == [
        (platform.id, "updated"),
        (connect_endpoint.id, "updated"),
    ]
    assert await stage.drifts() == set()


async def test_an_endpoint_deleted_at_stripe_is_named_and_made_anew(stage: Stage) -> None:
    platform, _ = await stage.provision()
    await stage.sandbox.call("DELETE", f"/v1/webhook_endpoints/{platform.id}")
    assert await stage.drifts() == {("platform", "Stripe does not have it any more")}
    again, kept = await stage.provision()
    assert (again.done, kept.done) == ("created", "unchanged")
    assert {each.id for each in await recorded(stage.connection)} == {again.id, kept.id}


async def test_what_was_never_made_and_what_is_not_ours_is_named(stage: Stage) -> None:
    assert {problem for _, problem in await stage.drifts()} == {
        "no endpoint was made: run `colonnade webhooks provision`"
    }
    await stage.provision()
    form = {"url": f"{BASE_URL}/webhooks/stripe/connect", "enabled_events[0]": "*", "connect": "true"}
    await stage.sandbox.call("POST", "/v1/webhook_endpoints", form)
    assert await stage.drifts() == {("connect", "it delivers here, and its secret is unknown: delete it at Stripe")}


@pytest.mark.parametrize("given", [(), ("whsec_old@2020-01-01T00:00Z",)])
async def test_a_secret_that_is_missing_or_expired_is_named(stage: Stage, given: tuple[str, ...]) -> None:
    await stage.provision()
    ((kind, problem),) = await stage.drifts(stripe_connect_webhook_secrets=given)
    assert kind == "connect"
    assert "COLONNADE_STRIPE_CONNECT_WEBHOOK_SECRETS" in problem


async def test_an_event_that_never_came_is_named_until_it_comes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_status, "GRACE", -60)
    await stage.provision()
    assert await stage.drifts() == set()
    made = await stage.sandbox.call("POST", "/v1/accounts", {"type": "express", "country": "DE"})
    await stage.sandbox.call("POST", f"/v1/accounts/{made['id']}", {"business_profile[name]": "Fern"})
    async with admin(stage.database) as db:
        await db.clear()
        await db.tenant(made["id"])
        ((kind, problem),) = await stage.drifts()
        assert kind == "connect"
        assert f"account.updated of {made['id']}" in problem
        missing = problem.split()[0]
        async with web(stage.database) as client:
            assert (await client.deliver(event(id=missing, account=made["id"]), "connect")).status_code == 200
        assert await stage.drifts() == set()


async def test_events_that_only_a_sweep_finds_are_named_until_one_is_delivered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_status, "GRACE", -60)
    monkeypatch.setattr(endpoint_status, "RECENT", 3)
    await stage.provision()
    for name in ("Ada", "Bo", "Cy"):
        await stage.sandbox.call("POST", "/v1/customers", {"name": name})
    made = (await stage.sandbox.call("GET", "/v1/events?types[0]=customer.created"))["data"]
    async with admin(stage.database) as db, web(stage.database) as client:
        await db.clear()
        for each in made:
            await client.deliver(json.dumps(each).encode())
        assert await stage.drifts() == set()
        await db.connection.execute("update inbox set swept = true")
        assert await stage.drifts() == {
            ("platform", "the last 3 events were found by a sweep alone: none is delivered")
        }
        await db.connection.execute("update inbox set swept = false where event_id = $1", made[1]["id"])
        assert await stage.drifts() == set()


async def test_an_endpoint_whose_answer_was_lost_is_named_and_never_adopted(stage: Stage) -> None:
    await stage.sandbox.fail(next=9, status=500, after=True)
    with pytest.raises(StripeUnavailable):
        await stage.provision()
    await stage.sandbox.fail()
    assert await recorded(stage.connection) == []
    lost = await stage.endpoints()
    assert lost
    assert [each.done for each in await stage.provision()] == ["created", "created"]
    problem = "it delivers here, and its secret is unknown: delete it at Stripe"
    assert await stage.drifts() == {("platform", problem)}


async def test_a_new_api_version_overlaps_the_old_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr(stripe, "api_version", "2025-09-30.clover")
        old = await stage.provision()
    new = await stage.provision()
    assert [each.done for each in new] == ["created", "created"]
    assert [each["api_version"] for each in await stage.endpoints()] == ["2025-09-30.clover"] * 2 + [
        stripe.api_version
    ] * 2
    problems = {problem for _, problem in await stage.drifts()}
    assert f"its API version is 2025-09-30.clover instead of {stripe.api_version}" in problems
    assert any("--remove-old" in problem for problem in problems)

    both = Settings(
        stripe_api_key="sk_test_1",
        stripe_platform_webhook_secrets=(new[0].secret, old[0].secret),
        stripe_connect_webhook_secrets=(new[1].secret, old[1].secret),
    )
    async with web(stage.database, both) as client, admin(stage.database) as db:
        sent = event()
        for secret, version in ((old[0].secret, "2025-09-30.clover"), (new[0].secret, stripe.api_version)):
            body = json.dumps(sent | {"api_version": version}).encode()
            assert (await client.post(body, headers_for(body, secret))).status_code == 200
        assert [row["api_version"] for row in await db.inbox()] == ["2025-09-30.clover"]

    removed = await remove_old(stage.connection, stage.gateway.platform)
    assert {each.id for each in removed} == {each.id for each in old}
    assert [each["id"] for each in await stage.endpoints()] == [each.id for each in new]
    assert await stage.drifts() == set()
    assert await remove_old(stage.connection, stage.gateway.platform) == []


async def test_a_roll_makes_new_secrets_and_keeps_both_endpoints(stage: Stage) -> None:
    first = await stage.provision()
    rolled = await stage.provision(roll=True)
    assert {each.done for each in rolled} == {"created"}
    assert not {each.secret for each in first} & {each.secret for each in rolled}
    assert len(await stage.endpoints()) == 4
    assert [each.id for each in await stage.provision()] == [each.id for each in rolled]


@pytest.mark.slow
def test_the_command_line_prints_each_secret_once_and_exits_by_drift(
    shared_database: ScratchDatabase, sandbox_url: str, tmp_path: Path
) -> None:
    async def forget() -> None:
        async with admin(shared_database) as db:
            await db.connection.execute("delete from webhook_endpoints; delete from inbox")

    asyncio.run(forget())
    environ = {name.removeprefix("COLONNADE_"): text for name, text in environment(shared_database, tmp_path).items()}
    environ = {name: text for name, text in environ.items() if "SECRETS" not in name}
    environ |= {"STRIPE_API_KEY": f"sk_test_{secrets.token_hex(12)}", "STRIPE_API_BASE": sandbox_url}
    assert colonnade("webhooks", "status", **environ).returncode == 1
    made = colonnade("webhooks", "provision", **environ)
    assert made.returncode == 0, made.stderr
    found = dict(line.removeprefix("COLONNADE_").split("=", 1) for line in made.stdout.splitlines())
    assert set(found) == {"STRIPE_PLATFORM_WEBHOOK_SECRETS", "STRIPE_CONNECT_WEBHOOK_SECRETS"}
    environ |= found
    good = colonnade("webhooks", "status", **environ)
    assert good.returncode == 0, good.stdout + good.stderr
    assert colonnade("webhooks", "provision", **environ).stdout == ""
    rolled = colonnade("webhooks", "provision", "--roll", **environ).stdout
    assert all(secret in rolled for secret in found.values())  # the old ones after the new
    seen = json.loads(colonnade("webhooks", "status", "--json", **environ).stdout)
    assert {drift["kind"] for drift in seen["drifts"]} == {"platform", "connect"}
    assert colonnade("webhooks", "provision", "--remove-old", **environ).returncode == 0
    assert colonnade("webhooks", "status", **environ).returncode == 0
    assert colonnade("webhooks", "provision", "--roll", "--remove-old", **environ).returncode == 2
