"""The result of a visit, signed for the tenant's own page: a JSON Web Token (RFC 7519) in the return URL.

It is signed by the tenant's key for entitlement tokens, and verified with the same published keys.
"""

import time
from urllib.parse import urlsplit, urlunsplit

import jwt
import msgspec

from colonnade.access.guard import Tenant
from colonnade.cipher import Cipher
from colonnade.entitlement_tokens.issuing import issuer
from colonnade.entitlement_tokens.keys import ALGORITHM, PURPOSE, signer
from colonnade.services import Services
from colonnade.web import allowed_url
from colonnade_tenants.portal.visits import Outcome, Visit

TYPE = "portal-result+jwt"
"""The header's `typ`, so that no other token passes for one of these (RFC 8725, 3.11)."""
PARAMETER = "portal_result"
LIFETIME = 300
"""Seconds that a result is good for."""


async def forward_url(services: Services, tenant: Tenant, visit: Visit, reference: str | None) -> str:
    """Where the customer is sent on to, with the result. Raises `Invalid` if that origin is the tenant's no more."""
    url = (visit.done_url if visit.completed_at else None) or visit.return_url
    allowed_url(url, tenant.return_origins, "return_url")
    return with_result(url, await _signed(services, tenant, visit, reference))


def with_result(url: str, token: str) -> str:
    """*url* with the result as a parameter of its query, in place of an older one; the rest stays as it is."""
    parts = urlsplit(url)
    kept = [each for each in parts.query.split("&") if each and each.partition("=")[0] != PARAMETER]
    return urlunsplit(parts._replace(query="&".join([*kept, f"{PARAMETER}={token}"])))


async def _signed(services: Services, tenant: Tenant, visit: Visit, reference: str | None) -> str:
    outcome, now = visit.outcome or Outcome("unknown"), int(time.time())
    claims = {
        "iss": issuer(services, tenant),
        "aud": tenant.public_id,
        "sub": reference,
        "jti": visit.id,
        "iat": now,
        "exp": now + LIFETIME,
        "result": outcome.result,
        "changes": msgspec.to_builtins(outcome.changes),
    }
    async with services.database.tenant(tenant.id) as session:
        key = await signer(session, Cipher(services.secret_key, PURPOSE))
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, key.private_key, ALGORITHM, headers={"typ": TYPE, "kid": key.id})
