"""Entitlement tokens: verified with nothing but the published keys, short, and of no use to anyone else."""

import asyncio
import base64
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from colonnade.entitlement_tokens import keys
from colonnade.entitlement_tokens.issuing import SIZE, expiry
from tests.platform.api import BASE_URL, Api, TenantApi, problem

TOKENS = "/customers/ada/entitlement-tokens"
SEATS = {"kind": "quantity", "name": "Seats"}
EXPORT = {"kind": "flag", "name": "Export"}
PROJECTS = {"kind": "limit", "name": "Projects"}


async def grant(tenant: TenantApi, feature: str, value: Any, ends_at: datetime | None = None) -> None:
    body = {"feature": feature, "effect": "grant", "value": value, "reason": "A gift", "author": "Grace"}
    if ends_at is not None:
        body["ends_at"] = ends_at.isoformat()
    reply = await tenant.call("POST", "/customers/ada/overrides", body)
    assert reply.status_code == 201, reply.text


@pytest.fixture
async def shop(fern: TenantApi) -> TenantApi:
    """Ada has 3 seats, may export, and has no limit of projects; nobody grants backups."""
    for key, feature in {"seats": SEATS, "export": EXPORT, "projects": PROJECTS, "backups": EXPORT}.items():
        await fern.put(f"/features/{key}", feature)
    await fern.customer("ada")
    for key, value in {"seats": 3, "export": True, "projects": None}.items():
        await grant(fern, key, value)
    return fern


async def issue(tenant: TenantApi, **body: Any) -> str:
    reply = await tenant.call("POST", TOKENS, body)
    assert reply.status_code == 201, reply.text
    token: str = reply.json()["token"]
    return token


async def jwks(tenant: TenantApi) -> list[dict[str, Any]]:
    """What anyone reads, without a key."""
    reply = await tenant.api.client.get(f"/tenants/{tenant.id}/.well-known/jwks.json")
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["keys"]
    return found


def part(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(value: dict[str, Any] | bytes) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def verified(token: str, published: list[dict[str, Any]]) -> dict[str, Any]:
    """The claims, checked with plain cryptography as RFC 7515 says. Raises `InvalidSignature`, `KeyError`."""
    head, body, signature = token.split(".")
    header = json.loads(part(head))
    assert (header["alg"], header["typ"]) == ("ES256", "entitlements+jwt")
    key = {each["kid"]: each for each in published}[header["kid"]]
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    assert "d" not in key, "a private key was published"
    x, y = (int.from_bytes(part(key[name])) for name in ("x", "y"))
    raw = part(signature)
    assert len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(der, f"{head}.{body}".encode(), ec.ECDSA(SHA256()))
    claims: dict[str, Any] = json.loads(part(body))
    return claims


async def test_a_token_is_verified_with_the_published_keys_alone(shop: TenantApi) -> None:
    before = int(time.time())
    claims = verified(await issue(shop), await jwks(shop))
    assert claims["entitlements"] == {"seats": 3, "export": True, "projects": None}
    assert (claims["iss"], claims["sub"], claims["aud"]) == (f"{BASE_URL}/tenants/{shop.id}", "ada", shop.id)
    assert before <= claims["iat"] <= time.time() + 1
    assert claims["exp"] - claims["iat"] == 300
    again = verified(await issue(shop), await jwks(shop))
    assert claims["jti"] != again["jti"]


async def test_the_caller_names_audience_lifetime_and_features(shop: TenantApi) -> None:
    claims = verified(
        await issue(shop, audience="edge", lifetime_seconds=60, features=["seats", "backups"]), await jwks(shop)
    )
    assert claims["entitlements"] == {"seats": 3}, "what is not granted is not there"
    assert (claims["aud"], claims["exp"] - claims["iat"]) == ("edge", 60)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"features": ["seats", "nothing"]}, "features[1]"),
        ({"lifetime_seconds": 901}, "lifetime_seconds"),
        ({"lifetime_seconds": 0}, "lifetime_seconds"),
        ({"audience": " "}, "audience"),
        ({"sub": "bo"}, "sub"),
    ],
)
async def test_bad_input_is_named(shop: TenantApi, body: dict[str, Any], param: str) -> None:
    problem(await shop.call("POST", TOKENS, body), 400, param)


async def test_an_unknown_customer_has_no_token(shop: TenantApi) -> None:
    problem(await shop.call("POST", "/customers/nobody/entitlement-tokens", {}), 404, "reference")


async def test_a_token_never_outlives_what_it_says(shop: TenantApi) -> None:
    end = datetime.now(UTC) + timedelta(seconds=40, milliseconds=700)
    await grant(shop, "backups", True, ends_at=end)
    everything = verified(await issue(shop), await jwks(shop))
    assert everything["entitlements"]["backups"] is True
    assert everything["exp"] == int(end.timestamp())
    others = verified(await issue(shop, features=["seats"]), await jwks(shop))
    assert others["exp"] - others["iat"] == 300


async def test_what_ends_within_the_second_is_waited_for(shop: TenantApi) -> None:
    end = datetime.now(UTC) + timedelta(seconds=1.6)
    await grant(shop, "backups", True, ends_at=end)
    await asyncio.sleep(max(0.0, end.timestamp() - time.time() - 0.5))
    claims = verified(await issue(shop), await jwks(shop))
    assert claims["entitlements"] == {"seats": 3, "export": True, "projects": None}
    assert claims["exp"] > claims["iat"] >= int(end.timestamp())


@given(
    as_of=st.floats(1.8e9, 2e9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    lifetime=st.integers(10, 900),
    left=st.lists(st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=40)), max_size=5),
)
def test_the_expiry_is_after_the_issue_and_before_every_end(
    as_of: datetime, lifetime: int, left: list[timedelta | None]
) -> None:
    ends = [None if each is None else as_of + each for each in left]
    expires = expiry(as_of, lifetime, ends)
    issued = int(as_of.timestamp())
    assert issued < expires <= issued + lifetime
    assert all(end is None or expires <= end.timestamp() for end in ends)
    if not any(left):
        assert expires == issued + lifetime


async def test_another_tenants_key_verifies_nothing(shop: TenantApi, kiln: TenantApi) -> None:
    await kiln.put("/features/seats", SEATS)
    await kiln.customer("ada")
    mine, theirs = await issue(shop), await issue(kiln)
    assert verified(theirs, await jwks(kiln))["iss"].endswith(kiln.id)
    with pytest.raises(KeyError):
        verified(theirs, await jwks(shop))
    renamed = [key | {"kid": json.loads(part(mine.split(".")[0]))["kid"]} for key in await jwks(kiln)]
    with pytest.raises(InvalidSignature):
        verified(mine, renamed)
    problem(await shop.api.call("POST", f"/v1/tenants/{shop.id}{TOKENS}", {}, key=kiln.key), 404, "tenant")
    assert await jwks(shop) != await jwks(kiln)


async def test_forged_algorithms_and_claims_are_refused(shop: TenantApi) -> None:
    token = await issue(shop)
    (published,) = await jwks(shop)
    public = jwt.PyJWK(published)
    accepts: dict[str, Any] = {"algorithms": ["ES256"], "audience": shop.id, "issuer": f"{BASE_URL}/tenants/{shop.id}"}
    claims = jwt.decode(token, public, **accepts)
    head, body, signature = token.split(".")
    # The public key taken for a shared secret: libraries refuse to make such a token, so it is made by hand.
    confused = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': published['kid']})}.{body}"
    mac = hmac.digest(json.dumps(published).encode(), confused.encode(), "sha256")
    forged = {
        "none": f"{encoded({'alg': 'none', 'kid': published['kid']})}.{body}.",
        "HS256 with the public key": f"{confused}.{encoded(mac)}",
        "another key": jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256"),
        "other claims": f"{head}.{encoded(claims | {'entitlements': {'seats': 99}})}.{signature}",
    }
    for text in forged.values():
        with pytest.raises(jwt.InvalidTokenError):
            jwt.decode(text, public, **accepts)
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, public, **accepts | {"audience": "somebody else"})


async def test_it_opens_neither_the_portal_nor_the_api(shop: TenantApi) -> None:
    token = await issue(shop)
    reply = await shop.api.client.post("/portal", data={"token": token})
    assert reply.status_code == 401
    problem(await shop.call("GET", "/features", key=token), 401)


async def test_a_token_too_long_for_a_cookie_is_refused_and_names_what_to_do(
    shop: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SIZE <= 4096
    everything, little = await issue(shop), await issue(shop, features=["seats"])
    monkeypatch.setattr("colonnade.entitlement_tokens.issuing.SIZE", len(everything) - 1)
    problem(await shop.call("POST", TOKENS, {}), 400, "features")
    assert len(await issue(shop, features=["seats"])) == len(little)


async def test_an_old_key_is_published_until_its_tokens_have_expired(shop: TenantApi) -> None:
    old = await issue(shop)
    reply = await shop.call("POST", "/signing-keys", {})
    newest, older = reply.json()["data"]
    assert [key["kid"] for key in await jwks(shop)] == [newest["id"], older["id"]]
    assert verified(await issue(shop), [key for key in await jwks(shop) if key["kid"] == older["id"]]), "not before"
    begins, until = (datetime.fromisoformat(text) for text in (newest["signs_from"], older["published_until"]))
    assert begins - datetime.now(UTC) > keys.CACHED - timedelta(seconds=30)
    assert until - begins == keys.LONGEST + keys.SKEW
    await pass_time(shop.api, keys.CACHED)
    fresh = await issue(shop, lifetime_seconds=900)
    assert json.loads(part(fresh.split(".")[0]))["kid"] == newest["id"]
    for token in (old, fresh):
        assert verified(token, await jwks(shop))["sub"] == "ada"
    await pass_time(shop.api, keys.LONGEST + keys.SKEW)
    assert [key["kid"] for key in await jwks(shop)] == [newest["id"]]
    with pytest.raises(KeyError):
        verified(old, await jwks(shop))
    await shop.call("POST", "/signing-keys", {})
    assert await shop.api.sql("select from signing_keys where public_id = $1", older["id"]) == []


async def pass_time(api: Api, time_passed: timedelta) -> None:
    """As if the keys had been made so much earlier."""
    await api.sql(
        "update signing_keys set signs_from = signs_from - $1::interval, published_until = published_until - $1",
        time_passed,
    )


async def test_a_compromised_key_is_withdrawn_at_once(shop: TenantApi) -> None:
    stolen = await issue(shop)
    (only,) = (await shop.call("POST", "/signing-keys", {"compromised": True})).json()["data"]
    with pytest.raises(KeyError):
        verified(stolen, await jwks(shop))
    assert json.loads(part((await issue(shop)).split(".")[0]))["kid"] == only["id"]


async def test_not_more_keys_than_verifiers_like_are_published(shop: TenantApi) -> None:
    for _ in range(keys.KEPT):
        assert (await shop.call("POST", "/signing-keys", {})).status_code == 201
    problem(await shop.call("POST", "/signing-keys", {}), 409)
    assert (await shop.call("POST", "/signing-keys", {"compromised": True})).status_code == 201


async def test_first_tokens_at_the_same_time_make_one_key(shop: TenantApi) -> None:
    tokens = await asyncio.gather(*(issue(shop) for _ in range(6)))
    (only,) = await jwks(shop)
    assert {json.loads(part(token.split(".")[0]))["kid"] for token in tokens} == {only["kid"]}


async def test_the_published_keys_may_be_kept_for_a_while(shop: TenantApi) -> None:
    path = f"/tenants/{shop.id}/.well-known/jwks.json"
    empty = await shop.api.client.get(path)
    assert (empty.json(), empty.headers["cache-control"]) == ({"keys": []}, "no-store")
    await issue(shop)
    reply = await shop.api.client.get(path)
    assert reply.headers["cache-control"] == "public, max-age=300"
    assert reply.headers["etag"]
    problem(await shop.api.client.get("/tenants/ten_0/.well-known/jwks.json"), 404, "tenant")


async def test_private_keys_are_not_readable_in_the_database(shop: TenantApi) -> None:
    await issue(shop)
    (row,) = await shop.api.sql(
        "select * from signing_keys where tenant_id = (select id from tenants where public_id = $1)", shop.id
    )
    assert "PRIVATE" not in row["private_key"]
    assert "PRIVATE" not in base64.urlsafe_b64decode(row["private_key"]).decode("latin-1")
    await shop.api.sql("update signing_keys set private_key = 'x' where id = $1", row["id"])
    problem(await shop.call("POST", TOKENS, {}), 409)
    assert (await shop.call("POST", "/signing-keys", {"compromised": True})).status_code == 201
    assert verified(await issue(shop), await jwks(shop))
