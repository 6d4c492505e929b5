"""The guard before every `/v1` route.

A route below `/v1/tenants/{tenant}` serves that tenant's keys and the platform's; every other route serves the
platform team alone. So a new route is closed until its path says otherwise. A tenant's key sees only its own tenant:
any other is 404, as if it did not exist. A key may do what its scopes say; a route asks for `admin`, unless its `opt`
names another.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, cast

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from colonnade.access.keys import digest
from colonnade.access.known_keys import KnownKeys
from colonnade.errors import Forbidden, NotFound, Unauthenticated
from colonnade.services import Services
from colonnade.stripe_api.charges import ChargeType


class Scope(StrEnum):
    """What a key may do: `admin` everything that its owner may, `check` ask for entitlements and nothing else."""

    ADMIN = "admin"
    CHECK = "check"


SCOPE = "scope"
"""Of a route's `opt`: the scope that is enough for it."""


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
    account_api: str = "v1"


class Principal(msgspec.Struct, frozen=True):
    """Whose key came with the request; *tenant_id* is None for the platform team."""

    key: str
    tenant_id: int | None


class Caller(msgspec.Struct, frozen=True):
    """Whose key it is, the tenant that the path names (None: it names none), and what the key may do."""

    principal: Principal
    tenant: Tenant | None
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Whether the key is good for a route that asks for *scope*."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


COLUMNS = """
t.id, t.public_id, t.name, t.charge_type, t.stripe_account,
t.application_fee_percent::float8 as application_fee_percent, t.return_origins, t.event_weight,
t.created_at, t.account_api
"""

_AUTHENTICATE = f"""
select k.public_id as key_id, k.tenant_id as key_tenant, k.scopes, {COLUMNS}
from api_keys k left join tenants t on t.public_id = $2
where k.digest = $1 and k.revoked_at is null
"""  # noqa: S608 - only our own column names are put in


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let the request in, and note whose it is and which tenant it is about.

    Raises `Unauthenticated`, `Forbidden`, and `NotFound` for a tenant that is not the caller's.
    """
    key = digest(bearer(connection.headers.get("authorization") or ""))
    public_id = connection.path_params.get("tenant")
    scope = Scope(handler.opt.get(SCOPE, Scope.ADMIN))
    known = cast("KnownKeys[Caller]", connection.app.state.known_keys)
    caller = known.get(key, public_id) if scope is Scope.CHECK and public_id else None
    if caller is None:
        generation = known.generation
        caller = await _authenticate(cast("Services", connection.app.state.services), key, public_id)
        if public_id is not None:
            known.keep(key, public_id, caller, generation)
    if not caller.may(scope):
        raise Forbidden(f"This key's scopes are {', '.join(sorted(caller.scopes))}; this route needs {scope}.")
    if caller.tenant is not None:
        connection.state.tenant = caller.tenant
    connection.state.principal = caller.principal


async def _authenticate(services: Services, key: bytes, public_id: str | None) -> Caller:
    async with services.database.platform_pool.acquire() as database:
        row = await database.fetchrow(_AUTHENTICATE, key, public_id)
    if row is None:
        raise Unauthenticated("This API key does not exist or was revoked.")
    principal = Principal(row["key_id"], row["key_tenant"])
    if public_id is None:
        if principal.tenant_id is not None:
            raise Forbidden("This route is for the platform team's keys.")
    elif row["id"] is None or principal.tenant_id not in (None, row["id"]):
        raise NotFound(f"No such tenant: {public_id!r}.", "tenant")
    tenant = None if public_id is None else msgspec.convert(dict(row), Tenant)
    return Caller(principal, tenant, frozenset(row["scopes"]))


def bearer(header: str) -> str:
    """The key in the header `Authorization`. Raises `Unauthenticated`."""
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("Send your API key as `Authorization: Bearer col_…`.")
    return key.strip()
