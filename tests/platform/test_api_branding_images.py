"""Icons and logos by the API: made anew, uploaded to the tenant's own account, and finished by a worker."""

import asyncio
from typing import Any

import httpx
import pytest

from colonnade.database.connections import create_engine
from colonnade.database.roles import Duty
from colonnade.portals.branding.pushing import push_due
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, PLENTY, Api, TenantApi, problem, running_api
from tests.platform.test_api_branding import BRAND, account, onboarded
from tests.platform.test_branding_images import SECRET, picture


async def send(tenant: TenantApi, kind: str, content: bytes, key: str | None = None, **headers: str) -> httpx.Response:
    """PUT a picture."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"Authorization": f"Bearer {key or tenant.key}", "Content-Type": "image/png"}
    path = f"/v1/tenants/{tenant.id}/branding/images/{kind}"
    return await tenant.api.client.put(path, content=content, headers=named)


async def look(tenant: TenantApi) -> dict[str, Any]:
    """What the account's branding is at Stripe."""
    found: dict[str, Any] = (await account(tenant))["settings"]["branding"]
    return found


async def work(database: ScratchDatabase, tenant: TenantApi) -> int:
    """One look of a worker, to whom Stripe answers."""
    sandbox = tenant.api.sandbox
    settings = Settings(stripe_api_key=sandbox.key, stripe_api_base=sandbox.url, stripe_budget_percent=PLENTY)
    engine, gateway = create_engine(database.service_url, Duty.WORKER, size=1), StripeGateway(settings, "worker")
    try:
        return await push_due(engine, gateway)
    finally:
        await gateway.close()
        await engine.dispose()


async def test_an_icon_reaches_the_tenants_own_account_as_a_png(fern: TenantApi) -> None:
    reply = await send(fern, "icon", picture("JPEG", (300, 300)) + SECRET)
    assert reply.status_code == 200, reply.text
    shown = reply.json()
    icon = shown["icon"]
    assert (shown["state"], icon["width"], icon["height"]) == ("applied", 300, 300)
    assert (await look(fern))["icon"] == icon["stripe_file"]
    file = await fern.api.sandbox.call("GET", f"/v1/files/{icon['stripe_file']}", account=fern.account)
    assert (file["purpose"], file["type"], file["size"]) == ("business_icon", "png", icon["bytes"])


async def test_it_is_shown_to_its_tenant_as_a_picture_and_nothing_else(fern: TenantApi) -> None:
    shown = (await send(fern, "logo", picture("GIF", (400, 130)) + SECRET)).json()
    reply = await fern.api.call("GET", shown["logo"]["url"], key=fern.key)
    assert reply.status_code == 200
    assert reply.content.startswith(b"\x89PNG")
    assert b"secret" not in reply.content
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in reply.headers["content-security-policy"]


async def test_the_same_picture_again_writes_nothing_at_stripe(fern: TenantApi) -> None:
    await send(fern, "icon", picture())
    before = await fern.api.sandbox.requests()
    assert (await send(fern, "icon", picture())).json()["state"] == "applied"
    assert await fern.api.sandbox.requests() == before


async def test_colours_do_not_send_the_pictures_again(fern: TenantApi) -> None:
    await send(fern, "icon", picture())
    await fern.put("/branding", BRAND)
    uploads = await fern.api.sandbox.requests(path="/v1/files")
    assert len(uploads) == 1
    found = await look(fern)
    assert found["icon"]
    assert found["primary_color"] == "#00aa55"


async def test_another_tenant_reaches_no_picture(fern: TenantApi, kiln: TenantApi) -> None:
    shown = (await send(fern, "icon", picture())).json()
    problem(await fern.api.call("GET", shown["icon"]["url"], key=kiln.key), 404, "tenant")
    problem(await send(fern, "icon", picture(colour="red"), key=kiln.key), 404, "tenant")
    problem(await fern.api.call("DELETE", shown["icon"]["url"], key=kiln.key), 404, "tenant")
    problem(await fern.call("GET", "/branding/consistency", key=kiln.key), 404, "tenant")
    problem(await fern.call("POST", "/branding/push", key=kiln.key), 404, "tenant")
    problem(await kiln.call("GET", "/branding/images/icon"), 404, "kind")
    assert (await fern.get("/branding"))["icon"] == shown["icon"]
    assert (await look(kiln))["icon"] is None


@pytest.mark.parametrize(
    ("kind", "content", "status", "param"),
    [
        ("icon", b"", 400, "icon"),
        ("icon", b"<svg/>", 400, "icon"),
        ("icon", picture(size=(200, 150)), 400, "icon"),
        ("logo", picture(size=(90, 300)), 400, "logo"),
        ("banner", picture(), 400, "kind"),
        ("icon", b"\x89PNG" + b"\0" * 600_000, 413, None),
    ],
)
async def test_what_is_no_picture_changes_nothing(
    fern: TenantApi, kind: str, content: bytes, status: int, param: str | None
) -> None:
    await send(fern, "icon", picture())
    before, requests = await fern.get("/branding"), await fern.api.sandbox.requests()
    problem(await send(fern, kind, content), status, param)
    assert await fern.get("/branding") == before
    assert await fern.api.sandbox.requests() == requests


async def test_an_edit_of_what_changed_since_is_refused(fern: TenantApi) -> None:
    tag = (await send(fern, "icon", picture())).headers["etag"]
    assert (await send(fern, "icon", picture(colour="red"), if_match=tag)).status_code == 200
    problem(await send(fern, "icon", picture(colour="blue"), if_match=tag), 412, "If-Match")


async def test_a_forgotten_picture_stays_at_stripe_and_the_report_says_so(fern: TenantApi) -> None:
    file = (await send(fern, "icon", picture())).json()["icon"]["stripe_file"]
    assert (await fern.call("DELETE", "/branding/images/icon")).json()["icon"] is None
    problem(await fern.call("DELETE", "/branding/images/icon"), 404, "kind")
    fields = {row["field"]: row for row in (await fern.get("/branding/consistency"))["fields"]}
    assert (fields["icon"]["verdict"], fields["icon"]["stripe"]) == ("only_at_stripe", file)


@pytest.mark.slow
async def test_a_worker_finishes_what_stripe_was_away_for(shared_database: ScratchDatabase, fern: TenantApi) -> None:
    async with running_api(shared_database, fern.api.sandbox, stripe=NOWHERE) as down:
        away = TenantApi(down, fern.said)
        assert (await away.put("/branding", BRAND))["state"] == "pending"
        assert (await send(away, "icon", picture())).json()["icon"]["stripe_file"] is None
    assert (await look(fern))["icon"] is None
    await fern.api.sql("update branding set try_at = now() where state = 'pending'")
    assert await work(shared_database, fern) >= 1
    shown, found = await fern.get("/branding"), await look(fern)
    assert (shown["state"], shown["problem"]) == ("applied", None)
    assert found["icon"] == shown["icon"]["stripe_file"]
    assert found["primary_color"] == "#00aa55"
    assert await work(shared_database, fern) == 0


async def test_what_a_killed_process_had_begun_is_taken_up(shared_database: ScratchDatabase, fern: TenantApi) -> None:
    await fern.put("/branding", BRAND)
    claimed = "update branding set settings = settings || '{\"name\": \"Later\"}', state = 'pending', try_at = now(), "
    own = " where tenant_id = (select id from tenants where public_id = $1)"
    await fern.api.sql(claimed + "claimed_until = now() + interval '1 hour'" + own, fern.id)
    assert await work(shared_database, fern) == 0, "another process has it"
    assert (await account(fern))["business_profile"]["name"] == "Fern & Co"
    await fern.api.sql("update branding set claimed_until = now() - interval '1 second'" + own, fern.id)
    assert await work(shared_database, fern) == 1
    assert (await account(fern))["business_profile"]["name"] == "Later"


async def test_of_several_writers_at_once_one_wins_here_and_at_stripe(fern: TenantApi) -> None:
    names = [f"Fern {number}" for number in range(8)]
    await asyncio.gather(*(fern.put("/branding", {"name": name}) for name in names))
    shown = await fern.get("/branding")
    assert shown["state"] == "applied"
    assert shown["name"] in names
    assert (await account(fern))["business_profile"]["name"] == shown["name"]


async def test_no_connection_is_held_while_stripe_is_asked(fern: TenantApi) -> None:
    """More writers wait for a slow Stripe than there are connections, and a read comes through."""
    tenants = [await fern.api.tenant(name=f"Slow {number}") for number in range(12)]
    await fern.api.sandbox.fail(next=12, delay=1.5, status=0)
    writing = [asyncio.create_task(tenant.put("/branding", {"name": "Slow"})) for tenant in tenants]
    await asyncio.sleep(0.4)
    async with asyncio.timeout(1):
        assert (await fern.get("/branding"))["state"] is None
    assert sum(task.done() for task in writing) < len(writing)
    await asyncio.gather(*writing)


async def test_where_stripe_refuses_the_owner_is_told_each_step(api: Api) -> None:
    tenant = await onboarded(api, charge_type="direct")
    await send(tenant, "icon", picture())
    shown = await tenant.put("/branding", BRAND)
    assert (shown["state"], shown["icon"]["stripe_file"]) == ("refused", None)
    told = "\n".join(shown["steps"])
    for said in (tenant.account, "settings/branding", "Brand color” to #00aa55", "#112233", "help@fern.example"):
        assert said in told
    assert shown["icon"]["url"] in told
    report = await tenant.get("/branding/consistency")
    assert (report["consistent"], report["steps"]) == (False, shown["steps"])


async def test_the_report_compares_field_by_field(fern: TenantApi) -> None:
    links = {"privacy_policy_url": "https://fern.example/privacy"}
    await fern.configuration("main", business_profile={"headline": "Ferns for all"})
    await fern.put("/branding", BRAND | links)
    await send(fern, "icon", picture())
    report = await fern.get("/branding/consistency")
    assert report["consistent"] is True
    fields = {row["field"]: row for row in report["fields"]}
    assert fields["primary_color"] == {
        "field": "primary_color",
        "ours": "#00aa55",
        "stripe": "#00aa55",
        "verdict": "same",
        "shown_in": ["emails", "portal", "invoices"],
    }
    assert fields["logo"]["verdict"] == "not_set"
    (portal,) = report["portals"]
    assert [(row["field"], row["ours"], row["verdict"]) for row in portal["fields"]] == [
        ("headline", "Ferns for all", "same"),
        ("privacy_policy_url", links["privacy_policy_url"], "same"),
        ("terms_of_service_url", None, "not_set"),
    ]


async def test_what_someone_changed_at_stripe_is_found_and_put_right(fern: TenantApi) -> None:
    made = await fern.configuration("main")
    await fern.put("/branding", BRAND)
    await send(fern, "icon", picture())
    theirs = {"settings[branding][primary_color]": "#AA0000", "business_profile[support_phone]": "+1 555 0100"}
    await fern.api.sandbox.call("POST", f"/v1/accounts/{fern.account}", theirs)
    path = f"/v1/billing_portal/configurations/{made['stripe_configuration']}"
    await fern.api.sandbox.call("POST", path, {"business_profile[headline]": "Not ours"})
    report = await fern.get("/branding/consistency")
    differs = {row["field"]: row["stripe"] for row in report["fields"] if row["verdict"] == "differs"}
    assert differs == {"primary_color": "#aa0000", "support_phone": "+1 555 0100"}
    headline = report["portals"][0]["fields"][0]
    assert (headline["verdict"], headline["stripe"]) == ("only_at_stripe", "Not ours")
    assert report["consistent"] is False
    reply = await fern.call("POST", "/branding/push")
    assert reply.json()["state"] == "applied"
    assert (await fern.get("/branding/consistency"))["consistent"] is True
    problem(await (await fern.api.tenant()).call("POST", "/branding/push"), 404)


async def test_colours_that_cannot_be_told_apart_are_pointed_out(fern: TenantApi) -> None:
    shown = await fern.put("/branding", {"primary_color": "#ffee88", "secondary_color": "#ffffff"})
    found = {(row["field"], row["against"]): (row["ratio"], row["enough"]) for row in shown["contrast"]}
    assert found["primary_color", "white"] == (1.17, False)
    assert found["secondary_color", "primary_color"][1] is False
    assert found["primary_color", "black"][1] is True
