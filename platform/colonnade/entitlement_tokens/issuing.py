"""Making a token: the check's answers at this moment, in a JSON Web Token (RFC 7519) that ends before they do."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
from msgspec import Meta, Struct

from colonnade.access.guard import Tenant
from colonnade.cipher import Cipher
from colonnade.entitlement_tokens.keys import ALGORITHM, LONGEST, PURPOSE, signer
from colonnade.errors import Invalid, NotFound, Unavailable
from colonnade.services import Services
from colonnade_tenants import values
from colonnade_tenants.entitlements import CheckedEntitlement, CheckResult, check
from colonnade_tenants.ids import passing_id

TYPE = "entitlements+jwt"
"""The header's `typ`, so that no other token passes for one of these (RFC 8725, 3.11)."""
SIZE = 4096
"""Characters of a token, at most: what a cookie may hold."""
_SHORT = timedelta(seconds=1)


class NewToken(Struct, frozen=True, forbid_unknown_fields=True):
    """*audience*: who is to accept the token; by default the tenant's id. *features*: only these; by default all.

    The token is good for *lifetime_seconds*, or less where what it says ends before.
    """

    audience: str | None = None
    lifetime_seconds: Annotated[int, Meta(ge=10, le=int(LONGEST.total_seconds()))] = 300
    features: Annotated[list[str], Meta(max_length=200)] | None = None


class IssuedToken(Struct):
    """A signed token; whoever has it can read it."""

    token: str
    expires_at: datetime


async def issue(services: Services, tenant: Tenant, reference: str, wanted: NewToken) -> IssuedToken:
    """Raises `NotFound`, and `Invalid` for an unknown feature or where the token would be too long."""
    values.text(wanted.audience, "audience", 255)
    as_of, answers = await _lasting(services, tenant, reference, wanted.features)
    expires = expiry(as_of, wanted.lifetime_seconds, (each.valid_until for each in answers if each.granted))
    claims = {
        "iss": issuer(services, tenant),
        "sub": reference,
        "aud": wanted.audience or tenant.public_id,
        "iat": int(as_of.timestamp()),
        "exp": expires,
        "jti": passing_id("etk"),
        "entitlements": {each.feature: each.value for each in answers if each.granted},
    }
    async with services.database.tenant(tenant.id) as session:
        key = await signer(session, Cipher(services.secret_key, PURPOSE))
    token = jwt.encode(claims, key.private_key, ALGORITHM, headers={"typ": TYPE, "kid": key.id})
    if len(token) > SIZE:
        raise Invalid(f"The token has more than {SIZE} characters: name the features that it is for.", "features")
    return IssuedToken(token, datetime.fromtimestamp(expires, UTC))


def issuer(services: Services, tenant: Tenant) -> str:
    """The `iss` of a tenant's tokens; its keys are below, at `/.well-known/jwks.json`."""
    return f"{services.settings.base_url}/tenants/{tenant.public_id}"


def expiry(as_of: datetime, lifetime: int, ends: Iterable[datetime | None]) -> int:
    """When a token ends, in Unix seconds: after *lifetime* seconds, and never after any of *ends*."""
    limits = [end.timestamp() for end in ends if end is not None]
    return math.floor(min([int(as_of.timestamp()) + lifetime, *limits]))


async def _lasting(
    services: Services, tenant: Tenant, reference: str, features: Sequence[str] | None
) -> tuple[datetime, list[CheckedEntitlement]]:
    """The answers and their moment. A token lasts whole seconds: what ends within one is waited for."""
    for _ in range(10):
        found = await check(services.database.app_pool, tenant.id, reference)
        if found is None:
            raise NotFound("There is no customer with this reference.", "reference")
        answers = _named(found, features)
        ends = [each.valid_until for each in answers if each.granted and each.valid_until is not None]
        left = min(ends, default=found.as_of + _SHORT) - found.as_of
        if left >= _SHORT:
            return found.as_of, answers
        await asyncio.sleep(left.total_seconds())
    raise Unavailable("What this customer may use changes at this very moment.", retry_after=1)


def _named(found: CheckResult, features: Sequence[str] | None) -> list[CheckedEntitlement]:
    if features is None:
        return found.entitlements
    answers: dict[str, Any] = {each.feature: each for each in found.entitlements}
    for place, feature in enumerate(features):
        if feature not in answers:
            raise Invalid(f"There is no feature {feature!r}.", f"features[{place}]")
    return [answers[feature] for feature in dict.fromkeys(features)]
