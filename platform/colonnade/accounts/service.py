"""Creating and changing tenants. The row is reserved first, so that a crash at any point can be repeated harmlessly."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from colonnade.access import audit, keys
from colonnade.access.guard import COLUMNS, Principal, Tenant
from colonnade.accounts import at_stripe, following, readiness
from colonnade.accounts.at_stripe import Seen
from colonnade.accounts.lifecycle import alone
from colonnade.accounts.new_tenants import NewTenant, Percent, check
from colonnade.accounts.states import FROZEN, State, closed
from colonnade.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, StripeUnavailable
from colonnade.services import Services
from colonnade.web import origin
from colonnade_tenants import values
from colonnade_tenants.accounts import NEVER, apply_account, regain
from colonnade_tenants.ids import new_id


class TenantChange(Struct, forbid_unknown_fields=True):
    """What `PATCH /v1/tenants/{tenant}` takes; a field left out stays as it is."""

    name: str | UnsetType = UNSET
    application_fee_percent: Percent | UnsetType | None = UNSET
    return_origins: list[str] | UnsetType = UNSET
    event_weight: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET


_PLATFORMS = ("application_fee_percent", "event_weight")
"""What a tenant may not change of itself: the platform's fee, and its share of the workers."""


def _origins(urls: list[str]) -> list[str]:
    found = []
    for index, url in enumerate(urls):
        exact = origin(url, f"return_origins[{index}]")
        if url.rstrip("/").lower() != exact:
            raise Invalid("An origin is scheme, host and port only.", f"return_origins[{index}]")
        found.append(exact)
    return sorted(set(found))


def _fee(percent: float | None) -> float | None:
    if percent is not None and round(percent, 2) != percent:
        raise Invalid("At most two decimals.", "application_fee_percent")
    return percent


async def create(services: Services, new: NewTenant, idempotency_key: str | None) -> tuple[Tenant, str]:
    """A tenant with its connected account, and its first key. Raises `Conflict`, `Invalid`, Stripe's errors."""
    tenant = await _reserve(services, new, idempotency_key)
    try:
        seen = await _account(services, new, tenant)
        return await _finish(services, tenant, seen, idempotency_key)
    except DomainError as error:
        # Stripe said no, or nobody can repeat the request: leave nothing behind. Else the repeat goes on from here.
        if tenant.stripe_account is None and (idempotency_key is None or not isinstance(error, StripeUnavailable)):
            async with services.database.platform_pool.acquire() as connection:
                await connection.execute("delete from tenants where id = $1 and stripe_account is null", tenant.id)
        raise


async def _reserve(services: Services, new: NewTenant, idempotency_key: str | None) -> Tenant:
    check(new)
    fingerprint = hashlib.sha256(msgspec.json.encode(new, order="sorted")).digest()
    origins, fee = _origins(new.return_origins), _fee(new.application_fee_percent)
    async with services.database.platform_pool.acquire() as connection, connection.transaction():
        # A courtesy, before Stripe is asked: the unique constraint decides.
        owner = await connection.fetchrow("select idempotency_key from tenants where stripe_account = $1", new.account)
        if owner and (idempotency_key is None or owner["idempotency_key"] != idempotency_key):
            raise Conflict(f"{new.account} belongs to a tenant already.", "account")
        row = await connection.fetchrow(
            f"""
            insert into tenants as t (public_id, name, charge_type, application_fee_percent, return_origins,
                                      idempotency_key, fingerprint, account_api)
            values ($1, $2, $3, $4::float8::numeric, $5, $6, $7, $8)
            on conflict (idempotency_key) do update set updated_at = case
                when t.stripe_account is null then now() else t.updated_at end -- its account is expected anew
            returning {COLUMNS}, fingerprint
            """,  # noqa: S608 - only our own column names are put in
            new_id("ten"),
            new.name,
            new.charge_type,
            fee,
            origins,
            idempotency_key,
            fingerprint,
            new.account_api,
        )
    if row["fingerprint"] != fingerprint:
        raise Conflict("This Idempotency-Key came with another request before.", "Idempotency-Key")
    return msgspec.convert(dict(row), Tenant)


async def _account(services: Services, new: NewTenant, tenant: Tenant) -> Seen | None:
    """None: the business is to connect one."""
    client = services.stripe.platform.bound(tenant=tenant.id)
    known = tenant.stripe_account or new.account
    if known:
        return Seen(*await at_stripe.found(client, known))
    return None if new.connect else await at_stripe.make(client, new, tenant.public_id)


async def _finish(
    services: Services, tenant: Tenant, seen: Seen | None, idempotency_key: str | None
) -> tuple[Tenant, str]:
    async with services.database.platform_connection() as connection:
        if idempotency_key is None:
            key = keys.random_key("tenant")
        else:
            purpose = f"{tenant.public_id}\0{idempotency_key}"
            key = await keys.derived_key(connection, "tenant", services.secret_key, purpose)
        if not (await keys.store(connection, key, "first key", tenant.id)).fresh:
            audit.nothing_done()  # a repeated request
        audit.note(tenant_id=tenant.id, target=f"tenants/{tenant.public_id}", after=logged(tenant))
        if seen is None:
            await readiness.await_account(connection, tenant)
        else:
            tenant = await bind(connection, tenant, seen, audit.actor())
    return tenant, key


_BIND = f"""
update tenants t set stripe_account = $2, state_by = $3, state_reason = null, updated_at = now()
where id = $1 and (stripe_account is null or stripe_account = $2) and removal is null and archived_at is null
returning {COLUMNS}
"""  # noqa: S608


async def bind(connection: asyncpg.Connection, tenant: Tenant, seen: Seen, by: str | None = None) -> Tenant:
    """Let the account that was just *seen* be the tenant's; harmless to repeat. *by*: who has it so.

    Having been read outweighs what events said of our access before: a tenant that disconnected comes back by it, and
    an old `account.application.deauthorized`, which a sweep may bring, takes nothing away.
    Raises `Conflict` where it is another tenant's, or the tenant has another; `Closed` where it is put away or removed.
    """
    # First, as workers do: their events change the mirror of the account before the row of the tenant, and each could
    # have locked what the other wants.
    session = await alone(connection, tenant.id)
    account = seen.account
    try:
        row = await connection.fetchrow(_BIND, tenant.id, account["id"], by)
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"{account['id']} belongs to a tenant already.", "account") from error
    if row is None:
        now = await connection.fetchrow(f"select {COLUMNS} from tenants t where id = $1", tenant.id)  # noqa: S608
        if now is not None and now["state"] in FROZEN and now["state"] != State.DISCONNECTED:
            raise closed(msgspec.convert(dict(now), Tenant))
        raise Conflict("This tenant has another account already.", "account")
    await apply_account(session, account, None, as_of=seen.at or NEVER)
    if seen.at is not None:
        await regain(session, account["id"], seen.at)
    await following.bring_in_line(session, by)
    row = await connection.fetchrow(f"select {COLUMNS} from tenants t where id = $1", tenant.id)  # noqa: S608
    bound = msgspec.convert(dict(row), Tenant)
    audit.note(tenant_id=tenant.id, target=f"tenants/{tenant.public_id}", after=logged(bound))
    return bound


def logged(tenant: Tenant) -> dict[str, Any]:
    """What the audit log keeps of a tenant."""
    names = ("name", "charge_type", "stripe_account", "application_fee_percent", "return_origins", "event_weight")
    return audit.named(tenant, *names)


async def tenant_by_id(services: Services, public_id: str) -> Tenant:
    """The tenant with this id (`ten_…`). Raises `NotFound`."""
    async with services.database.platform_pool.acquire() as connection:
        row = await connection.fetchrow(f"select {COLUMNS} from tenants t where public_id = $1", public_id)  # noqa: S608
    if row is None:
        raise NotFound("There is no such tenant.", "tenant")
    return msgspec.convert(dict(row), Tenant)


async def page(services: Services, after: str | None, limit: int) -> list[Tenant]:
    """Tenants by time of creation, newest first; one more than *limit* where there is a next page."""
    return [tenant for tenant, _ in await readiness.page(services, readiness.Wanted(), after, limit)]


async def change(
    services: Services, tenant: Tenant, wanted: TenantChange, by: Principal, check: Callable[[Tenant], None]
) -> Tenant:
    """The tenant with the given fields changed; *check* may refuse by how it is now.

    Raises `Invalid`, and `Forbidden` for what is the platform's.
    """
    given = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not UNSET}
    if by.tenant_id is not None and (name := next((name for name in _PLATFORMS if name in given), None)):
        raise Forbidden("Only the platform team changes this.", name)
    values.text(given.get("name"), "name", 100)
    origins = _origins(given.get("return_origins", []))
    fee = _fee(given.get("application_fee_percent"))
    async with services.database.platform_connection() as connection:
        now = await connection.fetchrow(f"select {COLUMNS} from tenants t where id = $1 for no key update", tenant.id)  # noqa: S608
        if now is None:
            raise NotFound("This tenant is gone.", "tenant")
        tenant = msgspec.convert(dict(now), Tenant)
        check(tenant)
        row = await connection.fetchrow(
            f"""
            update tenants t set name = $2, application_fee_percent = $3::float8::numeric, return_origins = $4,
                                 event_weight = $5, updated_at = now()
            where id = $1 returning {COLUMNS}
            """,  # noqa: S608
            tenant.id,
            given.get("name", tenant.name),
            fee if "application_fee_percent" in given else tenant.application_fee_percent,
            origins if "return_origins" in given else tenant.return_origins,
            given.get("event_weight", tenant.event_weight),
        )
        changed = msgspec.convert(dict(row), Tenant)
        audit.note(before=logged(tenant), after=logged(changed))
    return changed
