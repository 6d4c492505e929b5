"""Existing accounts that connect by OAuth: the request, and what became of it. No token of theirs is ever kept.

The platform team asks for a link of ours and opens it, or lets the business open it; from there the browser goes to
Stripe and comes back. ("Using OAuth with Standard accounts", Stripe docs.)
"""

import hashlib
from datetime import datetime
from typing import Annotated, Literal

import asyncpg
import msgspec
from msgspec import Meta, Struct

from colonnade import secret_keys
from colonnade.access import audit
from colonnade.access.guard import Principal, Tenant
from colonnade.accounts.onboarding import check_return
from colonnade.accounts.service import tenant_by_id
from colonnade.accounts.states import FROZEN, State, closed
from colonnade.errors import Conflict, Forbidden, NotFound
from colonnade.services import Services
from colonnade_tenants.ids import new_id

LIFETIME = 24 * 3600
"""Seconds that a link of ours may be opened."""


class ConnectionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the browser goes when it is done; without *return_url*, to a page of ours."""

    return_url: Annotated[str, Meta(max_length=2000)] | None = None


class Connection(Struct, frozen=True, kw_only=True):
    """One request to connect an existing account. *problem*: why it was denied or failed; it may be opened again."""

    id: str
    state: Literal["pending", "connected", "denied", "failed"]
    account: str | None
    problem: str | None
    return_url: str | None
    created_at: datetime
    expires_at: datetime
    finished_at: datetime | None


class StartedConnection(Connection, frozen=True, kw_only=True):
    """With the *url* to open in the browser of who may speak for the account: a secret, as it leads to the tenant."""

    url: str


class Open(Struct, frozen=True, kw_only=True):
    """A request as its link finds it; *tenant* is its public id."""

    id: str
    tenant: str
    state: str
    return_url: str | None
    begun_by: Principal
    expired: bool
    used: list[bytes] = []


_SHOWN = "public_id as id, state, account, problem, return_url, created_at, expires_at, finished_at"
# An expired link is not made good again: the key then begins another.
_RENEW = """
update account_connections set idempotency_key = null
where tenant_id = $1 and idempotency_key = $2 and state <> 'connected' and expires_at <= now()
"""
_START = f"""
insert into account_connections (tenant_id, public_id, return_url, begun_by, idempotency_key, expires_at)
values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
on conflict (tenant_id, idempotency_key) do update set idempotency_key = excluded.idempotency_key
returning {_SHOWN}
"""  # noqa: S608 - only our own column names are put in
_GET = f"select {_SHOWN} from account_connections where tenant_id = $1 and public_id = $2"  # noqa: S608
_OPEN = """
select c.public_id as id, t.public_id as tenant, c.state, c.return_url, c.begun_by, c.used,
    c.expires_at <= now() as expired
from account_connections c join tenants t on t.id = c.tenant_id where c.public_id = $1
"""
# Not at each of many looks: every process looks up its callers anew when a tenant's row changes.
_EXPECT = """
update tenants set updated_at = now()
where public_id = $1 and stripe_account is null and updated_at < now() - interval '5 minutes'
"""
_USE = """
update account_connections set used = array_append(used, $2), state = 'pending', problem = null, finished_at = null
where public_id = $1 and state <> 'connected' and not $2 = any (used) and expires_at > now() returning id
"""
_FINISH = """
update account_connections set state = $2, problem = $3, finished_at = now()
where public_id = $1 and state <> 'connected'
"""
# Of the answers, the one that connected the account is kept: it is known again.
_CONNECTED = """
update account_connections
set state = 'connected', account = $2, problem = null, finished_at = now(), used = array[$3::bytea]
where public_id = $1 and state <> 'connected'
"""


async def start(
    services: Services, tenant: Tenant, asked: ConnectionRequest, by: Principal, idempotency_key: str | None
) -> StartedConnection:
    """A link that connects an existing account to the tenant. Raises `Forbidden`, `Closed`, `Conflict`, `Invalid`."""
    if by.tenant_id is not None:
        raise Forbidden("Only the platform team connects accounts.")
    if services.settings.stripe_client_id is None:
        raise Conflict("Connecting existing accounts is not set up: COLONNADE_STRIPE_CLIENT_ID is missing.")
    check_return(services, tenant, asked.return_url)
    begun_by = msgspec.json.encode(by).decode()
    values = (tenant.id, new_id("con"), asked.return_url, begun_by, idempotency_key, float(LIFETIME))
    async with services.database.platform_connection() as connection:
        await connection.execute(_RENEW, tenant.id, idempotency_key)
        row = await connection.fetchrow(_START, *values)
        if row["return_url"] != asked.return_url:
            raise Conflict("This Idempotency-Key came with another request before.", "Idempotency-Key")
        if row["state"] != "connected":  # else it is repeated
            _check_wanting(tenant)
        audit.note(target=f"tenants/{tenant.public_id}/account-connections/{row['id']}")
    url = f"{services.settings.base_url}/connect/{_token(services, row['id'])}"
    return msgspec.convert({**row, "url": url}, StartedConnection)


async def get(services: Services, tenant: Tenant, public_id: str) -> Connection:
    """The tenant's request with this id. Raises `NotFound`."""
    async with services.database.platform_pool.acquire() as connection:
        row = await connection.fetchrow(_GET, tenant.id, public_id) if public_id.isprintable() else None
    if row is None:
        raise NotFound(f"There is no connection {public_id!r}.", "connection")
    return msgspec.convert(dict(row), Connection)


async def opened(services: Services, token: str) -> Open:
    """The request that a link of ours names, which may still be opened; from now on an account is expected.

    Raises `NotFound`, `Conflict`, `Closed`.
    """
    public_id = token.partition(".")[0]
    if not secret_keys.is_mac(services.secret_key, token.partition(".")[2], _said(public_id)):
        raise NotFound("This link does not work.")
    found = await find(services, public_id)
    if found.state == "connected":
        raise Conflict("The account is connected already.")
    if found.expired:
        raise NotFound("This link has expired; ask for a new one.")
    tenant = await tenant_by_id(services, found.tenant)
    # Whoever has the link need not know why the platform team closed the tenant.
    _check_wanting(msgspec.structs.replace(tenant, state_reason=None))
    await services.database.platform_pool.execute(_EXPECT, found.tenant)
    return found


def _check_wanting(tenant: Tenant) -> None:
    """Refuse, before the business consents, a tenant that no account could be bound to. Raises `Closed`, `Conflict`."""
    if tenant.state is State.DISCONNECTED:
        return  # it comes back by its account
    if tenant.state in FROZEN:
        raise closed(tenant)
    if tenant.stripe_account is not None:
        raise Conflict("This tenant has an account already.", "tenant")


async def find(services: Services, public_id: str) -> Open:
    """The request with this id. Raises `NotFound`."""
    async with services.database.platform_pool.acquire() as connection:
        row = await connection.fetchrow(_OPEN, public_id)
    if row is None:
        raise NotFound("This link does not work.")
    return msgspec.convert({**row, "begun_by": msgspec.json.decode(row["begun_by"])}, Open)


async def use(services: Services, public_id: str, nonce: str) -> bool:
    """Take Stripe's answer that carries *nonce*, once; False: it connected the account before. Raises `Conflict`."""
    if await services.database.platform_pool.fetchval(_USE, public_id, _digest(nonce)) is not None:
        return True
    found = await find(services, public_id)
    if found.state == "connected" and found.used == [_digest(nonce)]:
        return False  # the page is loaded anew
    raise Conflict("This answer was used already.")


async def finish(connection: asyncpg.Connection, public_id: str, state: str, problem: str) -> None:
    """Note why a request came to nothing; one that connected an account stays so."""
    await connection.execute(_FINISH, public_id, state, problem)


async def connected(connection: asyncpg.Connection, public_id: str, account: str, nonce: str) -> None:
    """Note the account that the answer with *nonce* connected, unless another answer did before."""
    await connection.execute(_CONNECTED, public_id, account, _digest(nonce))


def _digest(nonce: str) -> bytes:
    return hashlib.sha256(nonce.encode()).digest()


def _token(services: Services, public_id: str) -> str:
    """What names the request in its link; the same every time, so that a repeated request answers the same."""
    return f"{public_id}.{secret_keys.mac(services.secret_key, _said(public_id))}"


def _said(public_id: str) -> str:
    return f"account connection\0{public_id}"
