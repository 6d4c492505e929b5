"""People by their identity provider's tokens: whoever is not exactly that is turned away."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from colonnade.access import provider_keys
from colonnade.access.people import People
from colonnade.access.provider_keys import ProviderKeys
from colonnade.access.scopes import Role
from colonnade.errors import Forbidden, Unauthenticated, Unavailable
from tests.conftest import ScratchDatabase
from tests.platform.api import Api, Sandbox, problem, running_api

AUDIENCE = "colonnade"
ROLES = {"staff": Role.READ, "helpers": Role.SUPPORT, "owners": Role.ADMIN}
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def published(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
    """The public half, as the provider shows it."""
    made: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return made | {"kid": kid, "alg": algorithm, "use": "sig"}


class Provider:
    """An identity provider on this machine; *keys* is what it publishes."""

    def __init__(self) -> None:
        self.issuer = ""
        self.names: str | None = None
        self.keys = [published(RSA, "one", "RS256"), published(EC, "two", "ES256")]
        self.reads = 0
        self.broken = False

    async def document(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.names or self.issuer, "jwks_uri": f"{self.issuer}/keys"})

    async def key_set(self, _: web.Request) -> web.Response:
        self.reads += 1
        if self.broken:
            return web.Response(status=500)
        return web.json_response({"keys": self.keys})

    def claims(self, **changed: Any) -> dict[str, Any]:
        """A token's claims, good for a minute; None leaves one out."""
        now = int(time.time())
        good = {"iss": self.issuer, "aud": AUDIENCE, "sub": "grace", "exp": now + 60, "iat": now, "roles": ["staff"]}
        return {name: value for name, value in (good | changed).items() if value is not None}

    def token(self, key: Any = RSA, algorithm: str = "RS256", kid: str | None = "one", **changed: Any) -> str:
        """A token signed by *key*."""
        return jwt.encode(self.claims(**changed), key, algorithm, headers={"kid": kid} if kid else None)


@asynccontextmanager
async def running() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.document)
    app.router.add_get("/keys", provider.key_set)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield provider
    await runner.cleanup()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running() as found:
        yield found


def people(provider: Provider, claim: str = "roles") -> People:
    return People(ProviderKeys(provider.issuer), audience=AUDIENCE, role_claim=claim, roles=ROLES)


async def test_a_person_has_a_name_and_the_most_powerful_of_its_roles(provider: Provider) -> None:
    who = people(provider)
    assert (await who.identify(provider.token()))[:2] == ("grace", Role.READ)
    mail = {"email": "grace@example.com"}
    token = provider.token(EC, "ES256", "two", roles=["staff", "owners", "x"], email_verified=True, **mail)
    assert (await who.identify(token))[:2] == ("grace@example.com", Role.ADMIN)
    unproved = provider.token(email_verified=False, **mail)
    assert (await who.identify(unproved)).name == "grace"  # or whoever may write any address there would be anybody
    assert provider.reads == 1


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("role", {"role": "helpers"}),
        ("realm.roles", {"realm": {"roles": ["helpers"]}}),
        ("https://example.com/roles", {"https://example.com/roles": ["helpers"]}),
    ],
)
async def test_the_claim_may_be_a_text_a_path_or_a_url(provider: Provider, claim: str, said: dict[str, Any]) -> None:
    assert (await people(provider, claim).identify(provider.token(**said))).role is Role.SUPPORT


@pytest.mark.parametrize("roles", [None, [], "nobody", ["nobody"], 7, {"staff": True}, [["staff"]], "admin"])
async def test_who_has_no_role_here_is_refused(provider: Provider, roles: Any) -> None:
    with pytest.raises(Forbidden):
        await people(provider).identify(provider.token(roles=roles))


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def unsigned(provider: Provider) -> str:
    return f"{part({'alg': 'none', 'kid': 'one'})}.{part(provider.claims())}."


def signed_with_the_public_key(provider: Provider) -> str:
    """PyJWT will not make such a token; an attacker's library does."""
    head = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(provider.claims())}"
    mac = jwt.get_algorithm_by_name("HS256").sign(head.encode(), PUBLIC_PEM)
    return f"{head}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def changed_afterwards(provider: Provider) -> str:
    head, _, signature = provider.token().split(".")
    return f"{head}.{part(provider.claims(roles=['owners']))}.{signature}"


def with_a_key_of_its_own(provider: Provider) -> str:
    """The header brings a key, and where to read more."""
    headers = {"kid": "mine", "jwk": published(OTHER, "mine", "RS256"), "jku": f"{provider.issuer}/evil"}
    return jwt.encode(provider.claims(), OTHER, "RS256", headers=headers)


now = time.time
ATTACKS: dict[str, Callable[[Provider], str]] = {
    "no signature": unsigned,
    "HMAC with the public key": signed_with_the_public_key,
    "changed afterwards": changed_afterwards,
    "key in the header": with_a_key_of_its_own,
    "another's key": lambda provider: provider.token(OTHER),
    "another key's id": lambda provider: provider.token(kid="two"),
    "unknown key": lambda provider: provider.token(kid="three"),
    "no key named": lambda provider: provider.token(kid=None),
    "another algorithm of the same key": lambda provider: provider.token(algorithm="RS512"),
    "other audience": lambda provider: provider.token(aud="another"),
    "no audience": lambda provider: provider.token(aud=None),
    "other issuer": lambda provider: provider.token(iss="https://evil.example"),
    "no issuer": lambda provider: provider.token(iss=None),
    "expired": lambda provider: provider.token(exp=int(now()) - 120),
    "never expires": lambda provider: provider.token(exp=None),
    "not yet valid": lambda provider: provider.token(nbf=int(now()) + 600),
    "issued in the future": lambda provider: provider.token(iat=int(now()) + 600),
    "nobody": lambda provider: provider.token(sub=None),
    "lasts for years": lambda provider: provider.token(exp=int(now()) + 10**8),
    "odd name": lambda provider: provider.token(sub="gra\0ce"),
    "empty name": lambda provider: provider.token(sub=""),
    "endless": lambda provider: provider.token(exp=10**400),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_token_that_is_not_the_providers_for_us_now_is_turned_away(provider: Provider, attack: str) -> None:
    who = people(provider)
    assert await who.identify(provider.token())
    with pytest.raises(Unauthenticated):
        await who.identify(ATTACKS[attack](provider))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
HEADERS = st.fixed_dictionaries({}, optional={"alg": JSON, "kid": JSON | st.just("one"), "crit": JSON, "b64": JSON})


@given(HEADERS | JSON, JSON, st.binary())
async def test_no_token_makes_it_stumble(header: Any, claims: Any, signature: bytes) -> None:
    keys = ProviderKeys("https://idp.example")
    keys._keys = {"one": jwt.PyJWK.from_dict(published(RSA, "one", "RS256"))}
    keys._tried_at = keys._read_at = time.monotonic()
    who = People(keys, audience=AUDIENCE, role_claim="roles", roles=ROLES)
    encoded = base64.urlsafe_b64encode(signature).decode().rstrip("=")
    for token in (f"{part(header)}.{part(claims)}.{encoded}", f"{part(header)}..", "..", f".{encoded}.{part(claims)}"):
        with pytest.raises(Unauthenticated):
            await who.identify(token)


async def test_a_new_key_is_found_but_unknown_ones_do_not_make_us_ask_all_the_time(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = people(provider)
    await who.identify(provider.token())
    provider.keys.append(published(OTHER, "three", "RS256"))
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await who.identify(provider.token(OTHER, kid="three"))
    assert provider.reads == 1
    monkeypatch.setattr(provider_keys, "BETWEEN", 0.0)
    assert await who.identify(provider.token(OTHER, kid="three"))
    assert provider.reads == 2


async def test_a_key_that_the_provider_took_back_is_good_no_longer_than_an_hour(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = people(provider)
    await who.identify(provider.token())
    provider.keys = provider.keys[1:]
    monkeypatch.setattr(provider_keys, "FRESH", 0.0)
    monkeypatch.setattr(provider_keys, "BETWEEN", 0.0)
    with pytest.raises(Unauthenticated):
        await who.identify(provider.token())


async def test_while_the_provider_is_down_the_keys_that_are_known_go_on_for_a_day(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_keys, "BETWEEN", 0.0)
    provider.broken = True
    who = people(provider)
    with pytest.raises(Unavailable):
        await who.identify(provider.token())
    provider.broken = False
    assert await who.identify(provider.token())
    provider.broken = True
    monkeypatch.setattr(provider_keys, "FRESH", 0.0)
    assert await who.identify(provider.token())
    monkeypatch.setattr(provider_keys, "GOOD", 0.0)
    with pytest.raises(Unavailable):
        await who.identify(provider.token())
    provider.broken = False
    monkeypatch.setattr(provider_keys, "GOOD", 86_400.0)
    assert await who.identify(provider.token())


async def test_a_document_of_another_issuer_gives_no_keys(provider: Provider) -> None:
    provider.names = "https://evil.example"
    with pytest.raises(Unavailable):
        await people(provider).identify(provider.token())


async def test_secrets_and_keys_that_are_not_for_signatures_are_left_out(provider: Provider) -> None:
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(b"secret" * 6).decode(), "kid": "s", "alg": "HS256"}
    provider.keys = [
        secret,
        published(RSA, "one", "RS256") | {"use": "enc"},
        {"kid": "broken", "kty": "RSA"},
        published(EC, "two", "ES256"),
    ]
    who = people(provider)
    assert await who.identify(provider.token(EC, "ES256", "two"))
    for token in (provider.token(), provider.token("secret" * 6, "HS256", "s")):
        with pytest.raises(Unauthenticated):
            await who.identify(token)


@pytest.fixture
async def api(shared_database: ScratchDatabase, sandbox: Sandbox, provider: Provider) -> AsyncIterator[Api]:
    oidc = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
    roles = tuple((value, str(role)) for value, role in ROLES.items())
    async with running_api(shared_database, sandbox, None, **oidc, oidc_roles=roles) as found:
        yield found


async def test_a_person_uses_the_api_by_role_and_stands_in_the_audit_log(api: Api, provider: Provider) -> None:
    fern = await api.tenant()
    reader, owner = provider.token(), provider.token(roles=["owners"], sub="ada")
    assert (await api.call("GET", f"/v1/tenants/{fern.id}", key=reader)).status_code == 200
    problem(await api.call("PATCH", f"/v1/tenants/{fern.id}", {"name": "F"}, key=reader), 403)
    assert (await api.call("PATCH", f"/v1/tenants/{fern.id}", {"name": "F"}, key=owner)).status_code == 200
    (line, _) = (await api.call("GET", f"/v1/audit?tenant={fern.id}")).json()["data"]
    assert line["by"] == {"kind": "person", "id": "ada"}
    seen = (await fern.get("/audit"))["data"][0]["by"]
    assert seen == {"kind": "person", "id": None}
    problem(await api.call("GET", "/v1/tenants/ten_0", key=reader), 404, "tenant")
    problem(await api.call("GET", "/v1/tenants", key=unsigned(provider)), 401)
    problem(await api.call("GET", "/v1/tenants", key=provider.token(roles=[])), 403)
