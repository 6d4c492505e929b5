"""Branding is kept here and pushed to the connected account; what Stripe refuses is told, not lost."""

from typing import Any

import pytest

from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, Api, TenantApi, problem, running_api

BRAND = {
    "name": "Fern & Co",
    "primary_color": "#00AA55",
    "secondary_color": "#112233",
    "support_email": "help@fern.example",
    "support_phone": "+49 30 123456",
    "support_url": "https://fern.example/help",
}


async def account(tenant: TenantApi) -> dict[str, Any]:
    return await tenant.api.sandbox.call("GET", f"/v1/accounts/{tenant.account}")


async def test_branding_is_empty_until_it_is_set(fern: TenantApi) -> None:
    shown = await fern.get("/branding")
    assert [value for value in shown.values() if value] == []


async def test_branding_reaches_the_account(fern: TenantApi) -> None:
    shown = await fern.put("/branding", BRAND)
    assert (shown["state"], shown["problem"]) == ("applied", None)
    assert shown["primary_color"] == "#00aa55"
    assert await fern.get("/branding") == shown
    found = await account(fern)
    assert found["business_profile"]["name"] == "Fern & Co"
    assert found["business_profile"]["support_email"] == "help@fern.example"
    assert found["settings"]["branding"]["primary_color"] == "#00aa55"
    assert found["settings"]["branding"]["secondary_color"] == "#112233"


async def test_the_same_branding_again_writes_nothing_at_stripe(fern: TenantApi) -> None:
    await fern.put("/branding", BRAND)
    before = await fern.api.sandbox.requests()
    await fern.put("/branding", BRAND | {"primary_color": "#00aa55"})
    assert await fern.api.sandbox.requests() == before


async def test_a_field_left_out_is_cleared_at_stripe(fern: TenantApi) -> None:
    await fern.put("/branding", BRAND)
    shown = await fern.put("/branding", {"name": "Fern & Co"})
    assert (shown["state"], shown["support_url"]) == ("applied", None)
    assert (await account(fern))["business_profile"]["support_url"] is None


async def test_without_stripe_branding_is_pending_until_it_is_repeated(
    shared_database: ScratchDatabase, fern: TenantApi
) -> None:
    await fern.put("/branding", BRAND)
    async with running_api(shared_database, fern.api.sandbox, stripe=NOWHERE) as down:
        shown = await TenantApi(down, fern.said).put("/branding", {"name": "Fernery"})
    assert shown["state"] == "pending"
    assert shown["name"] == "Fernery"
    assert await fern.get("/branding") == shown
    applied = await fern.put("/branding", {"name": "Fernery"})
    assert (applied["state"], applied["problem"]) == ("applied", None)
    found = await account(fern)
    assert found["business_profile"]["name"] == "Fernery"
    assert found["business_profile"]["support_url"] is None, "a field left out while Stripe was down"


async def onboarded(api: Api, **fields: Any) -> TenantApi:
    """A tenant whose account was linked: from then on the account's owner decides."""
    tenant = await api.tenant(**fields)
    link = (await tenant.call("POST", "/onboarding-links", {"return_url": "https://shop.example/done"})).json()["url"]
    assert (await api.client.get(link)).status_code == 303
    return tenant


async def test_what_the_account_refuses_is_kept_with_the_reason(api: Api) -> None:
    tenant = await onboarded(api, charge_type="direct")
    shown = await tenant.put("/branding", BRAND)
    assert shown["state"] == "refused"
    assert tenant.account in shown["problem"]
    assert (await tenant.get("/branding"))["support_email"] == "help@fern.example"


async def test_an_account_that_refuses_a_part_takes_the_other(api: Api) -> None:
    controller = {"controller[stripe_dashboard][type]": "none", "controller[requirement_collection]": "stripe"}
    existing = await api.sandbox.call("POST", "/v1/accounts", {"country": "DE", **controller})
    tenant = await onboarded(api, account=existing["id"])
    shown = await tenant.put("/branding", BRAND)
    assert shown["state"] == "refused"
    assert shown["problem"].startswith("Contact: ")
    found = await account(tenant)
    assert found["settings"]["branding"]["primary_color"] == "#00aa55"
    assert found["business_profile"]["support_email"] is None


async def test_an_onboarded_express_account_takes_it_all(api: Api) -> None:
    shown = await (await onboarded(api)).put("/branding", BRAND)
    assert (shown["state"], shown["problem"]) == ("applied", None)


async def test_legal_links_go_into_the_portal_configurations(fern: TenantApi) -> None:
    own = {"privacy_policy_url": "https://fern.example/own"}
    await fern.configuration("main")
    await fern.configuration("own", business_profile=own)
    links = {"privacy_policy_url": "https://fern.example/privacy", "terms_of_service_url": "https://fern.example/terms"}
    await fern.put("/branding", BRAND | links)
    for name, wanted in (("main", links), ("own", links | own)):
        made = await fern.get(f"/portal-configurations/{name}")
        assert (made["version"], made["state"]) == (2, "applied")
        found = await fern.api.sandbox.call("GET", f"/v1/billing_portal/configurations/{made['stripe_configuration']}")
        assert {link: found["business_profile"][link] for link in links} == wanted
    assert (await fern.get("/portal-configurations/main"))["business_profile"]["privacy_policy_url"] is None


async def test_an_edit_of_what_changed_since_is_refused(fern: TenantApi) -> None:
    tag = (await fern.call("PUT", "/branding", BRAND)).headers["etag"]
    assert (await fern.call("PUT", "/branding", {"name": "A"}, if_match=tag)).status_code == 200
    problem(await fern.call("PUT", "/branding", {"name": "B"}, if_match=tag), 412, "If-Match")
    assert (await fern.get("/branding"))["name"] == "A"


async def test_tenants_have_brands_of_their_own(fern: TenantApi, kiln: TenantApi) -> None:
    await fern.put("/branding", BRAND)
    assert (await kiln.get("/branding"))["name"] is None
    assert (await account(kiln))["settings"]["branding"]["primary_color"] is None


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"primary_color": "red"}, "primary_color"),
        ({"primary_color": "#12345"}, "primary_color"),
        ({"secondary_color": "#12345g"}, "secondary_color"),
        ({"primary_color": "#123456;}"}, "primary_color"),
        ({"icon": "file_1234"}, "icon"),
        ({"support_email": "nobody"}, "support_email"),
        ({"support_phone": "1" * 41}, "support_phone"),
        ({"support_url": "javascript:alert(1)"}, "support_url"),
        ({"support_url": "http://fern.example"}, "support_url"),
        ({"privacy_policy_url": "//fern.example"}, "privacy_policy_url"),
        ({"terms_of_service_url": "https://user@fern.example"}, "terms_of_service_url"),
        ({"headline": "Hello"}, "headline"),
        ({"account": "acct_1"}, "account"),
    ],
)
async def test_bad_input_is_named_and_writes_nothing(fern: TenantApi, change: dict[str, Any], param: str) -> None:
    await fern.put("/branding", BRAND)
    before, requests = await fern.get("/branding"), await fern.api.sandbox.requests()
    problem(await fern.call("PUT", "/branding", BRAND | change), 400, param)
    assert await fern.get("/branding") == before
    assert await fern.api.sandbox.requests() == requests
