"""`colonnade doctor`: a deployment that is well, and each check where exactly what it looks for is broken."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
import pytest_asyncio

from colonnade import heartbeat
from colonnade.access.keys import create_platform_key
from colonnade.database.connections import connect
from colonnade.database.roles import Duty
from colonnade.doctor.examining import CHECKS, Report, examine
from colonnade.doctor.place import Finding, Place
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.provision import provision, remove_old
from colonnade_sandbox.ids import derived
from tests.conftest import ScratchDatabase
from tests.platform.api import PLENTY, Api, Sandbox, running_api
from tests.platform.cli import colonnade, external
from tests.platform.test_people import running as running_provider

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVENT = """
insert into inbox (event_id, endpoint, type, object_id, created, livemode, body, state, not_before)
values ('evt_broken', 'platform', 'x', 'x', now(), {live}, '', '{state}', now() - interval '1 hour')
"""
NO_EVENT = "delete from inbox where event_id = 'evt_broken'"
OTHERS = "'{https://shop.example}'"


class World(NamedTuple):
    api: Api
    settings: Settings
    gateway: StripeGateway

    def place(self, **changes: Any) -> Place:
        """The deployment, all of which can be looked at."""
        settings = msgspec.structs.replace(self.settings, **changes)
        place = Place(settings, self.api.database.service_url, self.gateway)
        place.has |= {"key", "database", "tables", "stripe", "home"}
        return place

    async def run(self, statements: str) -> None:
        """As the database's superuser."""
        for each in statements.rstrip(";").split("; "):
            await self.api.sql(each)


@asynccontextmanager
async def answering(body: bytes, status: int = 200) -> AsyncIterator[str]:
    """A web server that says *body* to everyone."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 %d Said\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        writer.write(head + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    shared_database: ScratchDatabase, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("data")
    heartbeat.beat(folder)
    sandbox = Sandbox(sandbox_url)
    async with answering(b'{"status":"ok","checks":{}}') as url, running_api(shared_database, sandbox) as api:
        settings = Settings(
            stripe_api_key=sandbox.key,
            stripe_api_base=sandbox_url,
            stripe_budget_percent=PLENTY,
            base_url=url,
            data_dir=folder,
            stripe_platform_webhook_secrets=("whsec_platform",),
            stripe_connect_webhook_secrets=("whsec_connect",),
        )
        gateway = StripeGateway(settings)
        connection = await connect(shared_database.service_url, Duty.PLATFORM)
        await provision(connection, gateway.platform, url)
        await connection.close()
        await api.sql("update webhook_endpoints set secret_digest = sha256(('whsec_' || kind)::bytea)")
        await (await api.tenant()).configuration(default=True)
        yield World(api, settings, gateway)
        await gateway.close()


async def found(place: Place, name: str) -> list[Finding]:
    check = next(each for each in CHECKS if each.name == name)
    return (await examine(place, checks=[check])).findings


async def test_a_deployment_that_is_well_passes_every_check(world: World) -> None:
    place = Place(world.settings, world.api.database.service_url, world.gateway)
    report = await examine(place)
    assert report == Report([], [each.name for each in CHECKS], [])
    assert report.healthy


TESTED = set[str]()


def broken(*cases: tuple[Any, ...]) -> Any:
    TESTED.update(case[0] for case in cases)
    return pytest.mark.parametrize("case", cases, ids=[f"{case[0]}-{case[-1]}"[:60] for case in cases])


@broken(
    ("stripe-key", {"stripe_api_key": None}, "is not set"),
    ("webhook-secrets", {"stripe_connect_webhook_secrets": ()}, "endpoint is off"),
    ("webhook-secrets", {"stripe_connect_webhook_secrets": ("whsec_a@2020-01-01T00:00Z",)}, "has expired"),
    (
        "expired-secrets",
        {"stripe_platform_webhook_secrets": ("whsec_platform", "whsec_a@2020-01-01T00:00Z")},
        "1 of the secrets",
    ),
    ("shared-secrets", {"stripe_connect_webhook_secrets": ("whsec_platform",)}, "in common"),
    ("shared-secrets", {"stripe_other_mode_webhook_secrets": ("whsec_connect",)}, "of this mode"),
    ("base-url", {"stripe_api_base": "https://api.stripe.com"}, "cannot deliver"),
    ("proxies", {"base_url": "https://billing.example"}, "count as one address"),
    ("reachable", {"base_url": "http://127.0.0.1:1"}, "cannot be reached"),
    ("live-database", {"stripe_api_key": "sk_live_x"}, "embedded"),
    ("worker", {"data_dir": Path("/nowhere")}, "no worker has run"),
    ("endpoint-secrets", {"stripe_platform_webhook_secrets": ("whsec_connect",)}, "has not the secret of we_"),
    (
        "endpoint-secrets",
        {
            "stripe_platform_webhook_secrets": ("whsec_other",),
            "stripe_connect_webhook_secrets": ("whsec_connect", "whsec_platform@2099-01-01T00:00Z"),
        },
        "stands in COLONNADE_STRIPE_CONNECT_WEBHOOK_SECRETS",
    ),
    ("unused-secrets", {"stripe_platform_webhook_secrets": ("whsec_a", "whsec_b")}, "2 secrets for 1 endpoint"),
)
async def test_a_setting_that_is_wrong_is_found(world: World, case: tuple[str, dict[str, Any], str]) -> None:
    name, changes, words = case
    said = await found(world.place(**changes), name)
    assert len(said) == 1
    assert words in said[0].problem
    assert said[0].cure


@broken(
    (
        "migrations",
        "update alembic_version set version_num = '0001'",
        "update alembic_version set version_num = '{head}'",
        "pending, after 0001: 0002, ",
    ),
    (
        "migrations",
        "update alembic_version set version_num = '9999'",
        "update alembic_version set version_num = '{head}'",
        "the database is at 9999, newer than this release",
    ),
    (
        "migrations",
        "update alembic_version set version_num = '0000'",
        "update alembic_version set version_num = '{head}'",
        "0000, which is none of this release's",
    ),
    (
        "row-security",
        "alter table branding no force row level security",
        "alter table branding force row level security",
        "branding",
    ),
    (
        "row-security",
        "create policy leak on subscriptions for select to public using (true)",
        "drop policy leak on subscriptions",
        "subscriptions leak",
    ),
    (
        "row-security",
        "create view all_customers as select * from customers; create view leak as select * from all_customers; "
        "grant select on leak to colonnade_app",
        "drop view leak; drop view all_customers",
        "owner's rights: leak",
    ),
    (
        "row-security",
        "create materialized view leak as select id from tenants; grant select (id) on leak to colonnade_ingest",
        "drop materialized view leak",
        "owner's rights: leak",
    ),
    (
        "row-security",
        "create function leak() returns setof tenants language sql security definer as 'select * from tenants'",
        "drop function leak()",
        "owner's rights: leak()",
    ),
    (
        "row-security",
        "create table stray (tenant_id bigint)",
        "drop table stray",
        "stray",
    ),
    ("mode", EVENT.format(live="true", state="done"), NO_EVENT, "1 handled events of the other"),
    ("backlog", EVENT.format(live="false", state="pending"), NO_EVENT, "has been due"),
    ("backlog", EVENT.format(live="false", state="dead"), NO_EVENT, "1 events are dead"),
    ("backlog", EVENT.format(live="false", state="quarantined"), NO_EVENT, "1 events are quarantined"),
    (
        "completeness",
        "insert into sweeps (account, swept_until, complete_until) "
        "values ('', now() - interval '1 day', now() - interval '1 day')",
        "delete from sweeps where account = ''",
        "complete up to",
    ),
    (
        "stored-secrets",
        "insert into notification_endpoints (public_id, tenant_id, url, secrets)"
        """ select 'nep_1', id, 'https://a.example', '[{"ciphertext": "gAAAAA", "expires_at": null}]' from tenants""",
        "delete from notification_endpoints",
        "nep_1",
    ),
    ("platform-keys", "update api_keys set revoked_at = now()", "update api_keys set revoked_at = null", "no API key"),
    (
        "origins",
        "update tenants set return_origins = '{}'",
        f"update tenants set return_origins = {OTHERS}",
        "no return_origins: ten_",
    ),
    (
        "configurations",
        "update portal_configurations set is_default = false",
        "update portal_configurations set is_default = true",
        "no default portal configuration at Stripe: ten_",
    ),
    (
        "configurations",
        "update portal_configurations set problem = 'No such price'",
        "update portal_configurations set problem = null",
        "main: No such price",
    ),
    (
        "unfinished-tenants",
        "insert into tenants (public_id, name, charge_type, fingerprint, created_at) "
        "values ('ten_half', 'Half', 'direct', '', now() - interval '2 days')",
        "delete from tenants where public_id = 'ten_half'",
        "no connected account for a day: ten_half",
    ),
)
async def test_what_is_wrong_in_the_database_is_found(world: World, case: tuple[str, str, str, str]) -> None:
    name, breaking, mending, words = case
    head = (await world.api.sql("select version_num from alembic_version"))[0][0]
    await world.run(breaking)
    try:
        said = await found(world.place(), name)
    finally:
        await world.run(mending.replace("{head}", head))
    assert [words in each.problem for each in said] == [True], said
    assert await found(world.place(), name) == []


@pytest.mark.parametrize(
    "breaking",
    [
        "create policy leak on subscriptions for select to public using (true)",
        'create view "Leak" as select * from customers; grant select on "Leak" to public',
        "create materialized view leak as select * from customers; grant select on leak to public",
        "create function leak(x int) returns setof tenants language sql security definer as 'select * from tenants'",
        "alter table branding no force row level security",
    ],
)
async def test_the_cure_of_a_hole_in_row_security_is_the_sql_that_closes_it(world: World, breaking: str) -> None:
    await world.run(breaking)
    (said,) = await found(world.place(), "row-security")
    await world.run(said.cure.split("`")[1])
    assert await found(world.place(), "row-security") == []


async def test_a_view_with_its_readers_rights_or_without_readers_is_no_hole(world: World) -> None:
    await world.run("create view own with (security_invoker = true) as select * from customers")
    await world.run("grant select on own to colonnade_app; create view unseen as select * from customers")
    assert await found(world.place(), "row-security") == []
    await world.run("drop view own; drop view unseen")


async def test_on_a_newer_schema_the_other_checks_are_made(world: World) -> None:
    place = Place(world.settings, world.api.database.service_url, world.gateway)
    head = (await world.api.sql("select version_num from alembic_version"))[0][0]
    await world.api.sql("update alembic_version set version_num = '9999'")
    try:
        report = await examine(place)
    finally:
        await world.api.sql(f"update alembic_version set version_num = '{head}'")
    assert [(each.check, each.severity) for each in report.findings] == [("migrations", "warning")]
    assert report.skipped == []
    assert report.healthy


async def test_plain_http_is_no_origin_in_live_mode(world: World) -> None:
    await world.api.sql("update tenants set return_origins = '{http://127.0.0.1:3000}'")
    try:
        assert await found(world.place(), "origins") == []
        said = await found(world.place(stripe_api_key="sk_live_x"), "origins")
    finally:
        await world.api.sql(f"update tenants set return_origins = {OTHERS}")
    assert ["with http in live mode" in each.problem for each in said] == [True]


@broken(("login", "bypass row-level security"))
async def test_a_login_that_could_read_across_tenants_is_found(world: World, case: tuple[str, str]) -> None:
    place = Place(world.settings, world.api.database.admin_url, world.gateway)
    report = await examine(place, checks=[each for each in CHECKS if each.name in ("login", "migrations")])
    assert [case[1] in each.problem for each in report.findings] == [True]
    assert report.skipped == ["migrations"], "what needs the database is not looked at"
    place = Place(world.settings, "postgresql://nobody@127.0.0.1:1/none", world.gateway)
    assert ["cannot be reached" in each.problem for each in await found(place, "login")] == [True]


async def test_something_else_at_the_base_url_is_found(world: World) -> None:
    async with answering(b"<h1>It works!</h1>") as url:
        said = await found(world.place(base_url=url), "reachable")
    assert ["not as Colonnade does" in each.problem for each in said] == [True]


async def test_a_worker_that_stands_still_is_found(world: World, tmp_path: Path) -> None:
    heartbeat.beat(tmp_path)
    os.utime(tmp_path / "worker.heartbeat", (0, 0))
    said = await found(world.place(data_dir=tmp_path), "worker")
    assert ["last round was" in each.problem for each in said] == [True]


@broken(("clock", 400, "ahead of"), ("clock", -400, "behind"))
async def test_a_clock_that_is_off_is_found(world: World, case: tuple[str, int, str]) -> None:
    name, seconds, words = case
    place = world.place()
    place.now = lambda: datetime.now(UTC) + timedelta(seconds=seconds)
    said = await found(place, name)
    assert len(said) == 1
    assert words in said[0].problem


@broken(
    ("account", 401, "Stripe refuses the key"),
    ("permissions", 403, "may not read: its own account (api_key_expired), Customers"),
)
async def test_a_key_that_stripe_does_not_take_is_found(world: World, case: tuple[str, int, str]) -> None:
    name, status, words = case
    refusal = b'{"error": {"type": "invalid_request_error", "message": "No.", "code": "api_key_expired"}}'
    async with answering(refusal, status) as url:
        place = world.place()
        place.gateway = StripeGateway(msgspec.structs.replace(world.settings, stripe_api_base=url))
        said = await found(place, name)
        await place.gateway.close()
    assert len(said) == 1
    assert words in said[0].problem


async def test_a_stripe_that_does_not_answer_is_told_from_a_key_that_it_refuses(world: World) -> None:
    place = world.place()
    place.gateway = StripeGateway(msgspec.structs.replace(world.settings, stripe_api_base="http://127.0.0.1:1"))
    said = await found(place, "account")
    await place.gateway.close()
    assert ["Stripe cannot be asked" in each.problem for each in said] == [True]


@broken(
    ("identity-provider", "{issuer}/", {}, "of another issuer"),
    ("identity-provider", "http://127.0.0.1:1", {}, "cannot be reached: connection refused"),
    ("identity-provider", "{issuer}", {"keys": [{"kty": "oct", "kid": "one"}]}, "publishes no key"),
    ("identity-provider", "{issuer}", {"broken": True}, "/keys answers 500"),
)
async def test_an_identity_provider_that_cannot_be_relied_on_is_found(
    world: World, case: tuple[str, str, dict[str, Any], str]
) -> None:
    name, issuer, changed, words = case
    async with running_provider() as provider:
        assert await found(world.place(oidc_issuer=provider.issuer, oidc_audience="x"), name) == []
        vars(provider).update(changed)
        said = await found(world.place(oidc_issuer=issuer.format(issuer=provider.issuer), oidc_audience="x"), name)
    assert [words in each.problem for each in said] == [True], said
    assert said[0].severity == "error"


@broken(("connect-application", "ca_unknown", "it answers 401"))
async def test_a_connect_application_that_stripe_does_not_know_is_found(
    world: World, case: tuple[str, str, str]
) -> None:
    name, client_id, words = case
    platform = (await world.api.sandbox.call("GET", "/v1/account"))["id"]
    assert await found(world.place(stripe_client_id=derived("ca", platform)), name) == []
    said = await found(world.place(stripe_client_id=client_id), name)
    assert [words in each.problem for each in said] == [True]
    assert "/connect/callback" in said[0].cure
    sentence = b'{"error": {"message": "Invalid redirect URI"}}'
    async with answering(sentence, 400) as url:
        said = await found(world.place(stripe_client_id=client_id, stripe_api_base=url), name)
    assert ["Invalid redirect URI" in each.problem for each in said] == [True]


async def test_an_overlap_is_a_warning_that_says_until_when(world: World) -> None:
    connection = await connect(world.api.database.service_url, Duty.PLATFORM)
    try:
        await provision(connection, world.gateway.platform, world.settings.base_url, roll=True)
        await world.api.sql("update webhook_endpoints set secret_digest = sha256(('whsec_' || kind)::bytea)")
        (made,) = await world.api.sql("select max(created_at) from webhook_endpoints where kind = 'connect'")
        report = await examine(world.place(), checks=[each for each in CHECKS if each.name.startswith("endpoint")])
        assert report.healthy, report
        until = made[0] + timedelta(days=3)
        problems = [each.problem for each in report.findings]
        assert [each.startswith(kind) for each, kind in zip(problems, ("platform", "connect"), strict=True)] == [
            True
        ] * 2
        assert f"from {until:%Y-%m-%d %H:%M} UTC on" in problems[1]
        assert "--remove-old" in report.findings[1].cure
        newest = "(select id from webhook_endpoints where kind = 'connect' order by created_at desc limit 1)"
        for which, severity in ((f"<> {newest}", "warning"), (f"= {newest}", "error")):
            broken_one = f"update webhook_endpoints set secret_digest = '' where kind = 'connect' and id {which}"
            await world.api.sql(broken_one)
            said = await found(world.place(), "endpoint-secrets")
            await world.api.sql("update webhook_endpoints set secret_digest = sha256(('whsec_' || kind)::bytea)")
            assert [each.severity for each in said] == [severity], said
    finally:
        await remove_old(connection, world.gateway.platform)
        await connection.close()
    assert await found(world.place(), "endpoints") == []


@broken(("endpoints", "it is disabled"))
async def test_an_endpoint_that_is_off_at_stripe_is_found(world: World, case: tuple[str, str]) -> None:
    endpoint = (await world.api.sql("select id from webhook_endpoints where kind = 'connect'"))[0][0]
    path = f"/v1/webhook_endpoints/{endpoint}"
    await world.api.sandbox.call("POST", path, {"disabled": "true"})
    try:
        said = await found(world.place(), "endpoints")
    finally:
        await world.api.sandbox.call("POST", path, {"disabled": "false"})
    assert [f"connect {endpoint}: {case[1]}" in each.problem for each in said] == [True]


@broken(("default-configurations", "was deactivated at Stripe"))
async def test_a_configuration_that_was_deactivated_at_stripe_is_found(world: World, case: tuple[str, str]) -> None:
    sql = "select stripe_configuration from portal_configurations where is_default"
    path = f"/v1/billing_portal/configurations/{(await world.api.sql(sql))[0][0]}"
    await world.api.sandbox.call("POST", path, {"active": "false"})
    try:
        said = await found(world.place(), "default-configurations")
    finally:
        await world.api.sandbox.call("POST", path, {"active": "true"})
    assert [case[1] in each.problem for each in said] == [True]


async def test_every_check_was_broken_once_and_is_documented() -> None:
    assert {each.name for each in CHECKS} == TESTED
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
    assert [each.name for each in CHECKS if f"| `{each.name}` | {each.about} |" not in page] == []


async def test_a_check_that_cannot_look_says_so(world: World) -> None:
    place = Place(world.settings, "postgresql://nobody@127.0.0.1:1/none", world.gateway)
    place.has |= {"tables"}
    said = await found(place, "backlog")
    assert ["could not be looked at" in each.problem for each in said] == [True]


@pytest.mark.slow
async def test_the_command_tells_all_and_exits_1(world: World) -> None:
    await create_platform_key(world.api.database.service_url, "team")
    given = external(world.api.database.service_url) | {
        "STRIPE_API_KEY": str(world.settings.stripe_api_key),
        "STRIPE_API_BASE": world.settings.stripe_api_base,
        "BASE_URL": world.settings.base_url,
        "DATA_DIR": str(world.settings.data_dir),
        "STRIPE_PLATFORM_WEBHOOK_SECRETS": "whsec_platform",
    }
    ended = await asyncio.to_thread(colonnade, "doctor", "--json", **given)
    report = json.loads(ended.stdout)
    assert (ended.returncode, [each["check"] for each in report["findings"]]) == (1, ["webhook-secrets"])
    assert "provision" in report["findings"][0]["cure"]
    well = await asyncio.to_thread(colonnade, "doctor", **given, STRIPE_CONNECT_WEBHOOK_SECRETS="whsec_connect")
    assert (well.returncode, well.stdout) == (0, ""), well.stdout
    wrong = await asyncio.to_thread(colonnade, "doctor", PORT="x")
    assert (wrong.returncode, "COLONNADE_PORT must be a number" in wrong.stdout) == (1, True)


@broken(("platform-account", "sk_test_somebodyelse", "the key is of acct_"))
async def test_a_key_of_another_account_is_named_and_nothing_that_follows_from_it(
    world: World, case: tuple[str, str, str]
) -> None:
    settings = msgspec.structs.replace(
        world.settings, stripe_api_key=case[1], stripe_connect_webhook_secrets=("whsec_a@2020-01-01T00:00Z",)
    )
    place = Place(settings, world.api.database.service_url, StripeGateway(settings))
    report = await examine(place)
    await place.gateway.close()
    said = report.findings[0]
    assert {each.check for each in report.findings[1:]} == {"webhook-secrets", "endpoint-secrets"}
    own = (await world.api.sandbox.call("GET", "/v1/account"))["id"]
    assert (said.check, case[2] in said.problem, f"belongs to {own} in test mode" in said.problem) == (
        case[0],
        True,
        True,
    )
    assert own in said.cure
    assert set(report.skipped) == {"permissions", "connect-application", "endpoints", "default-configurations"}


async def test_a_restricted_key_is_in_use_and_what_it_lacks_is_named(world: World) -> None:
    lacks = {"account": "rak_account_read", "billing_portal": "rak_billing_portal_read"}
    for noun, permission in lacks.items():
        async with httpx.AsyncClient(base_url=world.api.sandbox.url) as http:
            headers = {"Authorization": f"Bearer {world.api.sandbox.key}"}
            names = ("customers", "subscriptions", "invoices", "prices", "events", "accounts", "webhook_endpoints")
            wanted = {"permissions": dict.fromkeys({*names, *lacks} - {noun}, "write")}
            key = (await http.post("/_sandbox/restricted_keys", json=wanted, headers=headers)).json()["key"]
        settings = msgspec.structs.replace(world.settings, stripe_api_key=key)
        place = Place(settings, world.api.database.service_url, StripeGateway(settings))
        report = await examine(place)
        await place.gateway.close()
        assert report.skipped == []
        problems = {each.check: each for each in report.findings}
        assert permission in problems.pop("permissions").problem
        assert all("is not at Stripe" not in each.problem for each in problems.values()), problems
        if noun == "billing_portal":
            assert "`permissions` says" in problems.pop("default-configurations").cure
        assert problems == {}
