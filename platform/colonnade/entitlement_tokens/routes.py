"""Routes of entitlement tokens, and of the keys that they are verified with."""

from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.cipher import Cipher
from colonnade.entitlement_tokens import keys
from colonnade.entitlement_tokens.issuing import IssuedToken, NewToken, issue
from colonnade.entitlement_tokens.keys import SigningKey
from colonnade.etags import etag
from colonnade.services import Services
from colonnade.web import Page

_KEYS = "/tenants/{tenant:str}/signing-keys"
_TAGS = ["Entitlement tokens"]
_CACHE = f"public, max-age={int(keys.CACHED.total_seconds())}"


class RotateKey(Struct, frozen=True, forbid_unknown_fields=True):
    """*compromised*: tokens of the older keys are to be refused as soon as verifiers read the keys again."""

    compromised: bool = False


class KeySet(Struct):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]


@post(
    "/tenants/{tenant:str}/customers/{reference:str}/entitlement-tokens",
    summary="What a customer may use now, signed for a few minutes",
    tags=_TAGS,
    opt=allow(Scope.CUSTOMERS),
)
async def create_entitlement_token(
    reference: FromPath[str],
    data: JSONBody[NewToken],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Response[IssuedToken]:
    issued = await issue(services, current, reference, data)
    return Response(issued, status_code=201, headers={"Cache-Control": "no-store"})


@get(_KEYS, summary="The keys that verify a tenant's tokens, newest first", tags=_TAGS, opt=allow(Scope.READ))
async def list_signing_keys(services: NamedDependency[Services], current: NamedDependency[Tenant]) -> Page[SigningKey]:
    async with services.database.tenant(current.id) as session:
        return Page(await keys.published(session))


@post(_KEYS, summary="Rotate the signing key", tags=_TAGS)
async def rotate_signing_key(
    data: JSONBody[RotateKey], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Page[SigningKey]:
    cipher = Cipher(services.secret_key, keys.PURPOSE)
    async with services.database.tenant(current.id) as session:
        return Page(await keys.rotate(session, cipher, compromised=data.compromised))


@get(
    "/tenants/{tenant:str}/.well-known/jwks.json",
    summary="The public keys of a tenant's tokens, to be read by anyone",
    tags=_TAGS,
    security=[{}],
)
async def get_key_set(tenant: FromPath[str], services: NamedDependency[Services]) -> Response[KeySet]:
    found = KeySet(await keys.key_set(services.database.platform_pool, tenant))
    # While there is no key, the first token makes one: nobody is to remember that there was none.
    caching = _CACHE if found.keys else "no-store"
    return Response(found, headers={"Cache-Control": caching, "ETag": etag(found), "Access-Control-Allow-Origin": "*"})


ROUTES = (create_entitlement_token, list_signing_keys, rotate_signing_key)
PUBLIC_ROUTES = (get_key_set,)
