"""Onboarding through our own URL, which makes a fresh account link each time it is opened.

Stripe's account links are single-use and expire within minutes, so one in an e-mail is dead on arrival; ours lives for
days, and is also the `refresh_url` that Stripe calls on an expired one ("Account Links", Stripe API reference). The way
back leads past us as well: coming back says nothing, so the account is read.
"""

import time
from contextlib import suppress
from typing import Annotated, Any, Literal

import jwt
import msgspec
from msgspec import Meta, Struct

from colonnade import secret_keys
from colonnade.access.guard import Tenant
from colonnade.accounts.readiness import readiness
from colonnade.accounts.service import tenant_by_id
from colonnade.errors import Conflict, DomainError, Unauthenticated
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of
from colonnade.web import allowed_url

LIFETIME = 14 * 24 * 3600
"""Seconds that an onboarding link of ours is good for."""

_AUDIENCE = "colonnade:onboarding"


class OnboardingRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What the link is to ask the business for, and where it goes afterwards; without *return_url*, to a page of ours.

    *collect*: what is due now, or what will be due as well. *future_requirements*: also what a change of Stripe's rules
    will ask for. *update*: to change what was given, which Stripe allows where the platform collects requirements.
    """

    return_url: Annotated[str, Meta(max_length=2000)] | None = None
    collect: Literal["currently_due", "eventually_due"] = "currently_due"
    future_requirements: bool = False
    update: bool = False


class _Claims(Struct, frozen=True):
    """What a link of ours says; it is signed, so that nobody else says it."""

    tenant: str
    account: str
    asked: OnboardingRequest


async def link(services: Services, tenant: Tenant, asked: OnboardingRequest) -> tuple[str, int]:
    """Our URL for the tenant's onboarding, and when it expires (Unix seconds).

    Raises `Invalid`, and `Conflict` for an update that Stripe would refuse; with an update Stripe's errors.
    """
    check_return(services, tenant, asked.return_url)
    if asked.update:
        await _check_collected(services, tenant)
    expires = int(time.time()) + LIFETIME
    said = msgspec.to_builtins(_Claims(tenant.public_id, account_of(tenant), asked))
    token = secret_keys.signed(services.secret_key, _AUDIENCE, expires, {"onboarding": said})
    return f"{services.settings.base_url}/onboarding/{token}", expires


async def _check_collected(services: Services, tenant: Tenant) -> None:
    """Refuse an update where Stripe collects the requirements. ("Account Links", Stripe API reference)"""
    account = await services.stripe.platform.bound(tenant=tenant.id).get(f"/v1/accounts/{account_of(tenant)}")
    if (account.get("controller") or {}).get("requirement_collection") != "application":
        raise Conflict(
            "Stripe collects this account's requirements: its owner changes what was given in Stripe's dashboard.",
            "update",
        )


def check_return(services: Services, tenant: Tenant, url: str | None) -> None:
    """Refuse a page that is on no origin of the tenant's or the platform's. Raises `Invalid`."""
    if url is not None:
        allowed_url(url, [*tenant.return_origins, *services.settings.platform_origins], "return_url")


async def follow(services: Services, token: str) -> str:
    """The URL of a fresh account link for the account that *token* names. Raises `Unauthenticated`, Stripe's errors."""
    tenant, asked = await _opened(services, token)
    ours = f"{services.settings.base_url}/onboarding/{token}"
    client = services.stripe.platform.bound(tenant=tenant.id)
    kind = "account_update" if asked.update else "account_onboarding"
    options: dict[str, Any] = {
        "refresh_url": ours,
        "return_url": f"{ours}/return",
        "collection_options": {
            "fields": asked.collect,
            "future_requirements": "include" if asked.future_requirements else "omit",
        },
    }
    if tenant.account_api == "v2":
        params = {"account": account_of(tenant), "use_case": {"type": kind, kind: options}}
        reply = await client.post("/v2/core/account_links", params)
    else:
        reply = await client.post("/v1/account_links", {"account": account_of(tenant), "type": kind, **options})
    url: str = reply["url"]
    return url


async def returned(services: Services, token: str) -> str | None:
    """Where the business goes on to after Stripe's pages, its account having been read; None: our own page.

    Raises `Unauthenticated`.
    """
    tenant, asked = await _opened(services, token)
    with suppress(DomainError):  # then its event will tell
        await readiness(services, tenant)
    return still_allowed(services, tenant, asked.return_url)


def still_allowed(services: Services, tenant: Tenant, url: str | None) -> str | None:
    """*url*, unless its origin was taken off the lists since it was given."""
    try:
        check_return(services, tenant, url)
    except DomainError:
        return None
    return url


async def _opened(services: Services, token: str) -> tuple[Tenant, OnboardingRequest]:
    try:
        claims = secret_keys.said(services.secret_key, token, _AUDIENCE, ["onboarding"])
        said = msgspec.convert(claims["onboarding"], _Claims)
    except (jwt.PyJWTError, msgspec.ValidationError) as error:
        raise Unauthenticated("This onboarding link has expired; ask for a new one.", "token") from error
    tenant = await tenant_by_id(services, said.tenant)
    if tenant.stripe_account != said.account:
        raise Unauthenticated("This onboarding link is for an account that was replaced; ask for a new one.", "token")
    return tenant, said.asked
