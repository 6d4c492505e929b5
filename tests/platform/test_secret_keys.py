"""A new COLONNADE_SECRET_KEY before the old one: nothing that the old one signed or encrypted is lost."""

import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade import secret_keys
from colonnade.access.portal_tokens import PortalToken, issue, verify
from colonnade.cipher import Cipher, SecretUnreadable
from colonnade.commands.services import opened
from colonnade.entitlement_tokens.keys import PURPOSE
from colonnade.errors import NotFound, Unauthenticated
from colonnade.notifications.secrets import Sealed, Vault, new_secret
from colonnade.portals import links
from colonnade.portals.links import Place
from colonnade.reencrypting import reencrypt
from colonnade.settings import Settings, SettingsError
from tests.conftest import ScratchDatabase
from tests.platform.api import ORIGIN, SECRET_KEY, Sandbox, TenantApi, running_api
from tests.platform.cli import colonnade

NEW = "n" * 40
BOTH = f"{NEW},{SECRET_KEY}"
LATER = int(time.time()) + 3600

keys = st.lists(st.text("abc", min_size=32, max_size=34), min_size=2, max_size=4, unique=True)


@given(keys, st.data())
def test_what_any_of_the_keys_made_is_taken_and_what_another_made_is_not(keys: list[str], data: st.DataObject) -> None:
    all_keys, one = ",".join(keys), data.draw(st.sampled_from(keys))
    others = ",".join(key for key in keys if key != one)
    token = secret_keys.signed(one, "a", LATER, {"x": 1})
    assert secret_keys.said(all_keys, token, "a", ["x"])["x"] == 1
    with pytest.raises(jwt.InvalidSignatureError):
        secret_keys.said(others, token, "a", ["x"])
    assert secret_keys.is_mac(all_keys, secret_keys.mac(one, "t"), "t")
    assert not secret_keys.is_mac(others, secret_keys.mac(one, "t"), "t")
    kept = Cipher(one, "p").encrypt("s")
    assert Cipher(all_keys, "p").decrypt(kept) == "s"
    for other in (Cipher(others, "p"), Cipher(all_keys, "q")):
        with pytest.raises(SecretUnreadable):
            other.decrypt(kept)
    assert Cipher(keys[0], "p").decrypt(Cipher(all_keys, "p").again(kept)) == "s"  # the newest key encrypts


def test_an_older_key_makes_no_expired_or_misdirected_token_good() -> None:
    for token, error in (
        (secret_keys.signed(SECRET_KEY, "a", 1, {"x": 1}), jwt.ExpiredSignatureError),
        (secret_keys.signed(SECRET_KEY, "b", LATER, {"x": 1}), jwt.InvalidAudienceError),
        (secret_keys.signed(SECRET_KEY, "a", LATER, {}), jwt.MissingRequiredClaimError),
        (jwt.encode({"aud": "a", "exp": LATER, "x": 1}, None, "none"), jwt.InvalidAlgorithmError),
        (jwt.encode({"aud": "a", "exp": LATER, "x": 1}, BOTH, "HS256"), jwt.InvalidSignatureError),
    ):
        with pytest.raises(error):
            secret_keys.said(BOTH, token, "a", ["x"])


def test_links_and_tokens_outlive_a_new_key_until_the_old_one_is_gone() -> None:
    token, _ = issue(PortalToken("ten_1", "ada"), SECRET_KEY)
    place = Place("ten_1", "pvi_1")
    way_back = links.token(place, SECRET_KEY)
    assert verify(token, BOTH).customer == "ada"
    assert links.verify(way_back, BOTH) == place
    with pytest.raises(Unauthenticated):
        verify(token, NEW)
    with pytest.raises(NotFound):
        links.verify(way_back, NEW)


@pytest.mark.parametrize("text", ["short", f"{NEW},short", f"{NEW},", f",{NEW}"])
def test_each_of_several_keys_has_to_be_long(text: str) -> None:
    with pytest.raises(SettingsError, match="COLONNADE_SECRET_KEY must have at least 32 characters"):
        Settings.load({"COLONNADE_SECRET_KEY": text})
    assert Settings.load({"COLONNADE_SECRET_KEY": f" {NEW} , {SECRET_KEY} "}).secret_key == BOTH


async def _stored(tenant: TenantApi) -> tuple[Any, str]:
    """The tenant's sealed endpoint secrets and signing key, as a superuser sees them."""
    query = (
        "select e.secrets::text, k.private_key from tenants t join notification_endpoints e on e.tenant_id = t.id "
        "join signing_keys k on k.tenant_id = t.id where t.public_id = $1"
    )
    (row,) = await tenant.api.sql(query, tenant.id)
    return msgspec.json.decode(row["secrets"], type=list[Sealed]), row["private_key"]


async def _with_secrets(tenant: TenantApi) -> str:
    """The secret of an endpoint that the tenant makes; it has a signing key too."""
    await tenant.customer()
    made = await tenant.call("POST", "/customers/ada/entitlement-tokens", {})
    assert made.status_code == 201, made.text
    reply = await tenant.call("POST", "/notification-endpoints", {"url": "https://shop.example.com/hook"})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["secret"])


async def test_after_reencrypting_the_old_key_is_needed_no_more(
    fern: TenantApi, kiln: TenantApi, shared_database: ScratchDatabase
) -> None:
    secrets = {tenant: await _with_secrets(tenant) for tenant in (fern, kiln)}
    ended = colonnade(
        "reencrypt",
        "--json",
        DATABASE_URL=shared_database.service_url,
        SECRET_KEY=BOTH,
        STRIPE_API_KEY="sk_test_any",
    )
    assert (ended.returncode, json.loads(ended.stdout)) == (0, {"encrypted": 4, "unreadable": []}), ended.stderr
    for tenant, secret in secrets.items():
        sealed, private_key = await _stored(tenant)
        assert [Vault(NEW).open(each) for each in sealed] == [secret]
        assert "PRIVATE KEY" in Cipher(NEW, PURPOSE).decrypt(private_key)
    assert await _logged(fern) == [
        (f"tenants/{tenant.id}", "command line", {"encrypted": 2, "unreadable": []}) for tenant in (fern, kiln)
    ]

    # The wrong way round: the old key alone can read nothing now, says so, and changes nothing.
    before = await _stored(fern)
    settings = Settings(secret_key=SECRET_KEY, stripe_api_key="sk_test_any")
    async with opened(settings, shared_database.service_url) as services:
        done = await reencrypt(services)
    assert (done.encrypted, len(done.unreadable)) == (0, 4)
    assert {each.split("/")[0] for each in done.unreadable} == {fern.id, kiln.id}
    assert await _stored(fern) == before


async def _logged(tenant: TenantApi) -> list[tuple[str, str, Any]]:
    rows = await tenant.api.sql(
        "select target, by_id, after from audit_log where action = 'secrets.reencrypted' order by id"
    )
    return [(row["target"], row["by_id"], json.loads(row["after"])) for row in rows]


async def test_what_was_encrypted_anew_before_an_error_is_in_the_audit_log(
    fern: TenantApi, kiln: TenantApi, shared_database: ScratchDatabase
) -> None:
    for tenant in (fern, kiln):
        await _with_secrets(tenant)
    await fern.api.sql(
        """update notification_endpoints set secrets = '[{"odd": 1}]'
        where tenant_id = (select id from tenants where public_id = $1)""",
        kiln.id,
    )
    before = len(await _logged(fern))
    async with opened(Settings(stripe_api_key="sk_test_any", secret_key=BOTH), shared_database.service_url) as ours:
        with pytest.raises(msgspec.ValidationError):
            await reencrypt(ours)
    await fern.api.sql("delete from notification_endpoints where secrets @> '[{\"odd\": 1}]'")
    told = [target for target, _, _ in (await _logged(fern))[before:]]
    assert f"tenants/{fern.id}" in told
    assert f"tenants/{kiln.id}" not in told


async def test_a_secret_that_cannot_be_read_keeps_no_other_from_being_encrypted_anew(
    fern: TenantApi, shared_database: ScratchDatabase
) -> None:
    secret = await _with_secrets(fern)
    (mine,), _ = await _stored(fern)
    end = datetime.now(UTC)
    lost, over = (
        Sealed(Vault("x" * 40).seal(new_secret()).ciphertext, end + timedelta(hours=hours)) for hours in (1, -1)
    )

    async def left(*beside: Sealed) -> tuple[bool, list[Sealed]]:
        """Whether the endpoint is reported, and its secrets, once *beside* was stored with its own."""
        stored = msgspec.json.encode([mine, *beside]).decode()
        where = "where tenant_id = (select id from tenants where public_id = $2)"
        await fern.api.sql(f"update notification_endpoints set secrets = $1::text::jsonb {where}", stored, fern.id)
        async with opened(Settings(stripe_api_key="sk_test_any", secret_key=BOTH), shared_database.service_url) as ours:
            done = await reencrypt(ours)
        return any(each.startswith(f"{fern.id}/nep_") for each in done.unreadable), (await _stored(fern))[0]

    for beside, reported, kept in (((over,), False, []), ((lost, over), True, [lost])):
        said, (first, *rest) = await left(*beside)
        assert (said, rest) == (reported, kept)
        assert Vault(NEW).open(first) == secret


def test_an_endpoint_is_told_as_long_as_one_of_its_secrets_can_be_read() -> None:
    vault, secret = Vault(NEW), new_secret()
    lost = Vault("x" * 40).seal(new_secret())
    assert vault.open_any([lost, vault.seal(secret)]) == [secret]
    with pytest.raises(SecretUnreadable):
        vault.open_any([lost, lost])


@pytest.fixture
async def rotated(shared_database: ScratchDatabase, sandbox: Sandbox, fern: TenantApi) -> AsyncIterator[TenantApi]:
    """The same tenant, with the same Stripe, through a process that signs with the new key."""
    async with running_api(shared_database, sandbox, secret_key=BOTH) as running:
        yield TenantApi(running, fern.said)


async def test_a_repeated_request_answers_the_same_after_the_key_was_changed(
    fern: TenantApi, rotated: TenantApi
) -> None:
    await fern.configuration(features={"payment_method_update": {"enabled": True}})
    await fern.customer("ada")
    flow = {"type": "payment_method_update", "after_completion": {"type": "redirect", "return_url": f"{ORIGIN}/done"}}
    new = {"name": "Moss", "country": "DE", "return_origins": [ORIGIN]}
    for path, body in (
        (f"/v1/tenants/{fern.id}/customers/ada/portal-sessions", {"flow": flow}),
        (f"/v1/tenants/{fern.id}/keys", {"name": "till"}),
        ("/v1/tenants", new),
    ):
        key = fern.key if fern.id in path else fern.api.key
        once, again = [
            await tenant.api.call("POST", path, body, key=key, idempotency_key="a") for tenant in (fern, rotated)
        ]
        assert (once.status_code, again.status_code) == (201, 201), again.text
        assert once.json() == again.json()


async def test_a_used_token_is_a_double_click_or_used_after_the_key_was_changed(
    fern: TenantApi, rotated: TenantApi
) -> None:
    await fern.configuration()
    await fern.customer("ada")
    token = (await fern.call("POST", "/customers/ada/portal-tokens", {})).json()["token"]

    async def use(tenant: TenantApi, browser: str) -> Any:
        headers = {"Origin": ORIGIN, "User-Agent": browser}
        return await tenant.api.client.post("/portal", data={"token": token}, headers=headers)

    both = [await use(fern, "Browser/1"), await use(rotated, "Browser/1")]
    assert [reply.status_code for reply in both] == [303, 303]
    assert len({reply.headers["location"] for reply in both}) == 1
    assert (await use(rotated, "Browser/2")).status_code == 401
