"""Onboarding through our own URL, which makes a fresh account link each time it is opened.

Stripe's account links are single-use and expire within minutes, so one in an e-mail is dead on arrival; ours lives for
days, and is also the `refresh_url` that Stripe calls on an expired one ("Account Links", Stripe API reference).
"""

import time
from typing import Any

import jwt

from colonnade.access.guard import Tenant
from colonnade.errors import Invalid, Unauthenticated
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of
from colonnade.web import origin

LIFETIME = 14 * 24 * 3600
"""Seconds that an onboarding link of ours is good for."""

_AUDIENCE = "colonnade:onboarding"


def link(services: Services, tenant: Tenant, return_url: str) -> tuple[str, int]:
    """Our URL for the tenant's onboarding, and when it expires (Unix seconds). Raises `Invalid`, `Conflict`."""
    origin(return_url, "return_url")
    if services.settings.livemode and not return_url.startswith("https://"):
        raise Invalid("Live mode takes https alone.", "return_url")
    expires = int(time.time()) + LIFETIME
    claims: dict[str, Any] = {
        "aud": _AUDIENCE,
        "exp": expires,
        "account": account_of(tenant),
        "return_url": return_url,
    }
    token = jwt.encode(claims, services.secret_key, "HS256")
    return f"{services.settings.base_url}/onboarding/{token}", expires


async def follow(services: Services, token: str) -> str:
    """The URL of a fresh account link for the account that *token* names. Raises `Unauthenticated`, Stripe's errors."""
    try:
        claims = jwt.decode(token, services.secret_key, ["HS256"], audience=_AUDIENCE, options={"require": ["exp"]})
    except jwt.PyJWTError as error:
        raise Unauthenticated("This onboarding link has expired; ask for a new one.", "token") from error
    reply = await services.stripe.platform.post(
        "/v1/account_links",
        {
            "account": claims["account"],
            "type": "account_onboarding",
            "refresh_url": f"{services.settings.base_url}/onboarding/{token}",
            "return_url": claims["return_url"],
        },
    )
    url: str = reply["url"]
    return url
