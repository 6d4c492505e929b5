"""What a web process knows of those who come: keys seen lately, wrong keys, and how much each tenant asked."""

import time
from collections.abc import Mapping
from typing import Any, Self

from colonnade.access.addresses import Addresses
from colonnade.access.key_uses import KeyUses
from colonnade.access.keys import prefix_of
from colonnade.access.known_keys import KnownKeys
from colonnade.access.lockouts import Lockouts
from colonnade.access.people import People
from colonnade.access.principals import Kind, Principal
from colonnade.access.provider_keys import ProviderKeys
from colonnade.access.request_limits import Headers, RequestLimits
from colonnade.access.scopes import Role
from colonnade.errors import TooMany
from colonnade.settings import Settings

HEADERS = "rate_limit"
"""Of a request's `state`: headers that its answer gets."""


class Gate:
    """All of it for one process. Use as an asynchronous context manager."""

    def __init__(self, settings: Settings, database_url: str, known: KnownKeys[Any]) -> None:
        self.known = known
        self.uses = KeyUses(database_url)
        self.people = _people(settings)
        self._addresses = Addresses(settings.trusted_proxies)
        self._lockouts = Lockouts(settings.wrong_keys_per_minute)
        self._requests = RequestLimits("requests", settings.tenant_requests_per_minute)
        self._checks = RequestLimits("checks", settings.tenant_checks_per_minute)

    async def __aenter__(self) -> Self:
        await self.uses.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.uses.__aexit__(*error)

    def turned_away(self, scope: Mapping[str, Any], secret: str, digest: bytes) -> None:
        """The key is not valid: count it. Raises `TooMany` where there were enough."""
        address, part, now = self._addresses.of(scope), _part(secret, digest), time.monotonic()
        self._lockouts.check(address, part, now)
        self._lockouts.failed(address, part, digest, now)

    def let_in(self, scope: Any, principal: Principal, *, check: bool) -> None:
        """Count the request as its tenant's. Raises `TooMany`."""
        retry_after = self.spend(scope["state"], principal, check=check)
        if retry_after is not None:
            raise TooMany("This tenant made as many requests as it may in a minute.", retry_after)

    def spend(self, state: dict[str, Any], principal: Principal, *, check: bool) -> int | None:
        """The same; the seconds to wait where there are too many."""
        if principal.kind is not Kind.PERSON:
            self.uses.note(principal.id)
        limits = self._checks if check else self._requests
        if principal.tenant_id is None or not limits.limit:
            return None
        spent = limits.spend(principal.tenant_id, time.monotonic())
        headers: Headers = spent.headers
        state[HEADERS] = headers
        return None if spent.ok else spent.retry_after


def _part(secret: str, digest: bytes) -> str:
    """What wrong keys are counted by: how a key of ours begins; else, as of a person's token, all of it."""
    return prefix_of(secret) or digest.hex()[:16]


def _people(settings: Settings) -> People | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return People(
        ProviderKeys(settings.oidc_issuer),
        audience=settings.oidc_audience,
        role_claim=settings.oidc_role_claim,
        roles={value: Role(role) for value, role in settings.oidc_roles},
    )
