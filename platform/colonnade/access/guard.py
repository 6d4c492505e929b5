"""The guard before every `/v1` route.

A route below `/v1/tenants/{tenant}` serves that tenant's keys and the platform's; every other route serves the
platform team alone. So a new route is closed until its path says otherwise. A tenant's key sees only its own tenant:
any other is 404, as if it did not exist.
"""

from datetime import datetime
from typing import Any, cast

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from colonnade.access.keys import digest
from colonnade.errors import Forbidden, NotFound, Unauthenticated
from colonnade.services import Services
from colonnade.stripe_api.charges import ChargeType


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


class Principal(msgspec.Struct, frozen=True):
    """Whose key came with the request; *tenant_id* is None for the platform team."""

    key: str
    tenant_id: int | None


COLUMNS = """
t.id, t.public_id, t.name, t.charge_type, t.stripe_account,
t.application_fee_percent::float8 as application_fee_percent, t.return_origins, t.event_weight,
t.created_at
"""

_AUTHENTICATE = f"""
select k.public_id as key_id, k.tenant_id as key_tenant, {COLUMNS}
from api_keys k left join tenants t on t.public_id = $2
where k.digest = $1 and k.revoked_at is null
"""  # noqa: S608 - only our own column names are put in


async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Let the request in, and note whose it is and which tenant it is about.

    Raises `Unauthenticated`, `Forbidden`, and `NotFound` for a tenant that is not the caller's.
    """
    services = cast("Services", connection.app.state.services)
    key = _bearer(connection.headers.get("authorization"))
    public_id = connection.path_params.get("tenant")
    async with services.database.platform_pool.acquire() as database:
        row = await database.fetchrow(_AUTHENTICATE, digest(key), public_id)
    if row is None:
        raise Unauthenticated("This API key does not exist or was revoked.")
    principal = Principal(row["key_id"], row["key_tenant"])
    if public_id is None:
        if principal.tenant_id is not None:
            raise Forbidden("This route is for the platform team's keys.")
    elif row["id"] is None or principal.tenant_id not in (None, row["id"]):
        raise NotFound(f"No such tenant: {public_id!r}.", "tenant")
    else:
        connection.state.tenant = msgspec.convert(dict(row), Tenant)
    connection.state.principal = principal


def _bearer(header: str | None) -> str:
    scheme, _, key = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthenticated("Send your API key as `Authorization: Bearer col_…`.")
    return key.strip()
