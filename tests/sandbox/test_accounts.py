"""Connected accounts: scope, onboarding, branding, leaving."""

import io
from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from colonnade_sandbox.resources import images
from tests.sandbox.conftest import Wire, client_for, connected_account
from tests.sandbox.pictures import gif, jpeg, png

PNG = png() + b"\r\n--x"  # with a line that looks like a boundary


async def test_accounts_do_not_see_each_others_objects(sdk: Any) -> None:
    one, two = await connected_account(sdk), await connected_account(sdk)
    customer = await sdk.customers.create_async({"name": "Ann"}, {"stripe_account": one})
    assert (await sdk.customers.retrieve_async(customer.id, options={"stripe_account": one})).name == "Ann"
    for options in ({}, {"stripe_account": two}):
        with pytest.raises(stripe.InvalidRequestError) as unknown:
            await sdk.customers.retrieve_async(customer.id, options=options)
        assert unknown.value.http_status == 404
        with pytest.raises(stripe.InvalidRequestError):
            await sdk.customers.update_async(customer.id, {"name": "Eve"}, options)
        assert (await sdk.customers.list_async(options=options)).data == []


async def test_only_connected_accounts_can_be_named(sdk: Any, url: str, transport: stripe.AIOHTTPClient) -> None:
    account = await connected_account(sdk)
    stranger = client_for(url, "sk_test_stranger", transport).v1
    for foreign in (account, "acct_none"):
        with pytest.raises(stripe.PermissionError) as refused:
            await stranger.customers.list_async(options={"stripe_account": foreign})
        assert refused.value.error is not None
        assert refused.value.error.code == "account_invalid"
        with pytest.raises(stripe.PermissionError):
            await stranger.accounts.retrieve_async(foreign)


async def test_an_account_starts_with_requirements(sdk: Any) -> None:
    account = await sdk.accounts.retrieve_async(await connected_account(sdk))
    assert "external_account" in account.requirements.currently_due
    assert (account.charges_enabled, account.details_submitted) == (False, False)
    assert account.capabilities.card_payments == "inactive"


async def test_types_are_shorthands_for_controllers(sdk: Any) -> None:
    standard = await sdk.accounts.create_async({"type": "standard"})
    assert standard.controller.stripe_dashboard.type == "full"
    with pytest.raises(stripe.InvalidRequestError, match="type, controller"):
        await sdk.accounts.create_async({"type": "express", "controller": {"losses": {"payments": "stripe"}}})


async def test_an_account_holder_who_took_over_keeps_the_branding(sdk: Any) -> None:
    account = await sdk.accounts.create_async({"type": "standard"})
    link = await sdk.account_links.create_async(
        {
            "account": account.id,
            "type": "account_onboarding",
            "return_url": "https://x.test/r",
            "refresh_url": "https://x.test/f",
        }
    )
    assert "/onboarding/" in link.url
    with pytest.raises(stripe.PermissionError) as refused:
        await sdk.accounts.update_async(account.id, {"settings": {"branding": {"primary_color": "#ff0000"}}})
    assert refused.value.error is not None
    assert refused.value.error.code == "oauth_not_supported"
    assert (await sdk.accounts.update_async(account.id, {"metadata": {"a": "b"}})).metadata.a == "b"


async def test_branding_takes_uploaded_files_only(sdk: Any) -> None:
    account = await connected_account(sdk)
    file = await sdk.files.create_async(
        {"purpose": "business_icon", "file": io.BytesIO(PNG)}, {"stripe_account": account}
    )
    assert (file.size, file.type) == (len(PNG), "png")
    branding = {"icon": file.id, "primary_color": "#123456"}
    updated = await sdk.accounts.update_async(account, {"settings": {"branding": branding}})
    assert updated.settings.branding.icon == file.id
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.accounts.update_async(account, {"settings": {"branding": {"logo": "file_none"}}})
    assert refused.value.param == "settings[branding][logo]"
    kept = await sdk.accounts.retrieve_async(account)
    assert (kept.settings.branding.icon, kept.settings.branding.primary_color) == (file.id, "#123456")


@pytest.mark.parametrize(
    ("content", "words"), [(b"plain text", "JPEG, PNG or GIF"), (PNG + bytes(513 * 1024), "larger")]
)
async def test_a_file_must_be_an_image_of_bearable_size(sdk: Any, content: bytes, words: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=words):
        await sdk.files.create_async({"purpose": "business_logo", "file": io.BytesIO(content)})


@pytest.mark.parametrize(
    ("name", "purpose", "content", "words"),
    [
        ("icon", "business_icon", png(127, 127), "at least 128"),
        ("icon", "business_icon", jpeg(300, 200), "square"),
        ("icon", "business_icon", gif(64, 64), "at least 128"),
        ("logo", "business_logo", png(400, 100), "at least 128"),
        ("logo", "business_logo", b"GIF8", "at least 128"),
        ("icon", "dispute_evidence", png(), "purpose"),
    ],
)
async def test_an_image_that_is_too_small_is_no_brand(
    sdk: Any, name: str, purpose: str, content: bytes, words: str
) -> None:
    account = await connected_account(sdk)
    file = await sdk.files.create_async({"purpose": purpose, "file": io.BytesIO(content)})
    with pytest.raises(stripe.InvalidRequestError, match=words) as refused:
        await sdk.accounts.update_async(account, {"settings": {"branding": {name: file.id}}})
    assert refused.value.param == f"settings[branding][{name}]"
    assert (await sdk.accounts.retrieve_async(account)).settings.branding.icon is None


async def test_a_wide_logo_is_taken(sdk: Any) -> None:
    account = await connected_account(sdk)
    file = await sdk.files.create_async({"purpose": "business_logo", "file": io.BytesIO(jpeg(400, 128))})
    updated = await sdk.accounts.update_async(account, {"settings": {"branding": {"logo": file.id}}})
    assert updated.settings.branding.logo == file.id


@given(width=st.integers(1, 0xFFFF), height=st.integers(1, 0xFFFF), cut=st.integers(0, 40))
def test_sizes_are_read_from_headers_and_half_files_have_none(width: int, height: int, cut: int) -> None:
    for content in (gif(width, height), jpeg(width, height), png(width % 200 + 1, 3)):
        whole = images.size(content)
        assert whole == ((width % 200 + 1, 3) if content.startswith(b"\x89PNG") else (width, height))
        assert images.size(content[:cut]) in (None, whole)


async def test_a_deauthorized_account_is_gone_for_the_platform(sdk: Any, wire: Wire) -> None:
    account = await connected_account(sdk)
    left = await wire.post("/oauth/deauthorize", f"client_id=ca_any&stripe_user_id={account}")
    assert (left.status, left.body) == (200, {"stripe_user_id": account})
    assert (await wire.get("/v1/customers", Stripe_Account=account)).error["code"] == "account_invalid"
    assert (await sdk.accounts.list_async()).data == []
    again = await wire.post("/oauth/deauthorize", f"client_id=ca_any&stripe_user_id={account}")
    assert (again.status, again.body["error"]) == (401, "invalid_client")


async def test_accounts_are_listed_and_deleted(sdk: Any) -> None:
    made = [await connected_account(sdk) for _ in range(2)]
    assert [row.id for row in (await sdk.accounts.list_async()).data] == made[::-1]
    assert (await sdk.accounts.delete_async(made[0])).deleted is True
    assert [row.id for row in (await sdk.accounts.list_async()).data] == made[1:]
