"""The guard before every `/v1` route.

A route below `/v1/tenants/{tenant}` serves that tenant's keys and the platform's; every other route serves the
platform team alone. So a new route is closed until its path says otherwise. A tenant's key sees only its own tenant:
any other is 404, as if it did not exist. A key may do what its scopes say, a person what the role says; a route asks
for `admin`, unless its `opt` opens it to others (`scopes`). A frozen tenant can only be read, unless the route's `opt`
says otherwise (`WHILE_FROZEN`).
"""

import math
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import asyncpg
import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from colonnade.access.actions import action_of
from colonnade.access.audit import ACTING, Acting
from colonnade.access.gate import Gate
from colonnade.access.keys import digest
from colonnade.access.known_keys import KnownKeys
from colonnade.access.people import Person, is_token
from colonnade.access.principals import Kind
from colonnade.access.principals import Principal as Principal
from colonnade.access.scopes import ALLOWED, REMEMBERED, grants_of_key, grants_of_role, may
from colonnade.access.scopes import Scope as Scope
from colonnade.accounts.states import FROZEN, State, closed
from colonnade.conventions.bounds import require_storable
from colonnade.errors import Forbidden, NotFound, Unauthenticated
from colonnade.services import Services
from colonnade.stripe_api.charges import ChargeType

WHILE_FROZEN = "while_frozen"
"""Of a route's `opt`: true where it serves a frozen tenant too, though its method is not one that only reads."""
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Tenant(msgspec.Struct, frozen=True):
    """The tenant that a request is about."""

    id: int
    public_id: str
    name: str
    charge_type: ChargeType
    stripe_account: str | None
    application_fee_percent: float | None
    return_origins: list[str]
    event_weight: int
    created_at: datetime
    state: State
    state_reason: str | None
    account_api: str = "v1"


class Caller(msgspec.Struct, frozen=True):
    """Who it is, the tenant that the path names (None: it names none), and what the key or person may do.

    *expires*: when it ends, in Unix seconds; None: not by itself.
    """

    principal: Principal
    tenant: Tenant | None
    grants: frozenset[str]
    expires: float | None = None


COLUMNS = """
t.id, t.public_id, t.name, t.charge_type, t.stripe_account,
t.application_fee_percent::float8 as application_fee_percent, t.return_origins, t.event_weight,
t.created_at, t.state, t.state_reason, t.account_api
"""

# Found by its digest, not by a part of it: what the index compares is the SHA-256 of what was sent, which nobody can
# bring near a stored one bit by bit, so the time of the look-up says nothing. Unknown, revoked and expired are one.
_KEY = f"""
select k.public_id as key_id, k.tenant_id as key_tenant, k.scopes, extract(epoch from k.expires_at)::float8 as expires,
    extract(epoch from k.expires_at - now())::float8 as seconds_left, {COLUMNS}
from api_keys k left join tenants t on t.public_id = $2
where k.digest = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
"""  # noqa: S608 - only our own column names are put in
_TENANT = f"select {COLUMNS} from tenants t where public_id = $1"  # noqa: S608
_NOT_VALID = "This API key is not valid."
_ADMIN_ONLY = frozenset({str(Scope.ADMIN)})


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let the request in, and note whose it is and which tenant it is about.

    Raises `Unauthenticated`, `Forbidden`, `Closed`, `TooMany`, `NotFound` for a tenant that is not the caller's, and
    `Invalid` for a query that cannot be looked for.
    """
    enough: frozenset[str] = handler.opt.get(ALLOWED, _ADMIN_ONLY)
    check = Scope.CHECK in enough
    gate = cast("Gate", connection.app.state.gate)
    caller = await _caller(connection, gate, remembered=check or handler.opt.get(REMEMBERED, False))
    gate.let_in(connection.scope, caller.principal, check=check)
    if not may(caller.grants, enough):
        raise Forbidden(_lacking(caller, enough))
    state = connection.scope["state"]  # `connection.state` is made anew each time, behind a lock
    if caller.tenant is not None:
        _check_state(caller.tenant, str(connection.scope.get("method", "")), handler)
        state["tenant"] = caller.tenant
    state["principal"], state["caller"] = caller.principal, caller
    ACTING.set(_acting(connection, handler, caller))
    for name, text in connection.query_params.multi_items():
        require_storable(text, name)


def _check_state(tenant: Tenant, method: str, handler: BaseRouteHandler) -> None:
    if tenant.state in FROZEN and method not in _READING and not handler.opt.get(WHILE_FROZEN):
        raise closed(tenant)


async def _caller(connection: ASGIConnection[Any, Any, Any, Any], gate: Gate, *, remembered: bool) -> Caller:
    secret = bearer(connection.headers.get("authorization") or "")
    key = digest(secret)
    public_id = connection.path_params.get("tenant")
    known: Caller | None = gate.known.get(key, public_id) if remembered and public_id else None
    if known is not None:
        return known
    services = cast("Services", connection.app.state.services)
    try:
        if gate.people is not None and is_token(secret):
            return await _person(services, await gate.people.identify(secret), public_id)
        return await _by_key(services, gate.known, key, public_id)
    except Unauthenticated:
        gate.turned_away(connection.scope, secret, key)
        raise


def remembered(
    gate: Gate, headers: Mapping[bytes, bytes], public_id: str, enough: frozenset[str]
) -> tuple[Principal, Tenant] | None:
    """Who comes with *headers* for which tenant: for what is answered before the guard.

    None: it is not known from just before, or has nothing of what is *enough*.
    """
    try:
        key = bearer(headers.get(b"authorization", b"").decode("latin-1"))
    except Unauthenticated:
        return None
    caller: Caller | None = gate.known.get(digest(key), public_id)
    if caller is None or caller.tenant is None or not may(caller.grants, enough):
        return None
    return caller.principal, caller.tenant


async def _by_key(services: Services, known: KnownKeys[Any], key: bytes, public_id: str | None) -> Caller:
    generation, began = known.generation, time.monotonic()
    async with services.database.platform_pool.acquire() as database:
        row = await database.fetchrow(_KEY, key, public_id)
    if row is None:
        raise Unauthenticated(_NOT_VALID)
    of_platform = row["key_tenant"] is None
    principal = Principal(row["key_id"], row["key_tenant"], Kind.PLATFORM_KEY if of_platform else Kind.TENANT_KEY)
    grants = grants_of_key(row["scopes"], platform=of_platform)
    caller = Caller(principal, _reached(row, principal, public_id), grants, row["expires"])
    if public_id is not None:
        left = row["seconds_left"]
        known.keep(key, public_id, caller, generation, math.inf if left is None else began + left)
    return caller


async def _person(services: Services, person: Person, public_id: str | None) -> Caller:
    principal = Principal(person.name, None, Kind.PERSON)
    row = None
    if public_id is not None:
        async with services.database.platform_pool.acquire() as database:
            row = await database.fetchrow(_TENANT, public_id)
    return Caller(principal, _reached(row, principal, public_id), grants_of_role(person.role), person.expires)


def _reached(row: asyncpg.Record | None, principal: Principal, public_id: str | None) -> Tenant | None:
    """The tenant that the path names. Raises `Forbidden`, `NotFound`."""
    if public_id is None:
        if principal.tenant_id is not None:
            raise Forbidden("This route is for the platform team's keys.")
        return None
    if row is None or row["id"] is None or principal.tenant_id not in (None, row["id"]):
        raise NotFound(f"No such tenant: {public_id!r}.", "tenant")
    return msgspec.convert(dict(row), Tenant)


def _lacking(caller: Caller, enough: frozenset[str]) -> str:
    whose = "You have" if caller.principal.kind is Kind.PERSON else "This key has"
    needed = sorted(enough | {Scope.ADMIN})
    return f"{whose} {', '.join(sorted(caller.grants))}; this route needs {' or '.join(needed)}."


def _acting(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler, caller: Caller) -> Acting | None:
    action = action_of(str(connection.scope.get("method")), handler.fn.__name__)
    if action is None:
        return None
    services = cast("Services", connection.app.state.services)
    target = connection.scope["path"].removeprefix("/v1/")
    tenant_id = None if caller.tenant is None else caller.tenant.id
    return Acting(caller.principal, action, tenant_id, target, services.database)


def bearer(header: str) -> str:
    """The key in the header `Authorization`. Raises `Unauthenticated`."""
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("Send your API key as `Authorization: Bearer col_…`.")
    return key.strip()
