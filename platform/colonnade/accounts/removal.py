"""Removing a tenant: its keys at once, its rows in batches, and last its name. A tombstone is left.

Each batch is a transaction; where a killed worker stopped, the next goes on. Late events of the tenant are answered and
reduced to a stub, as long as its tombstone is there, which is for good: Stripe may tell of its objects for years.
"""

import asyncpg

from colonnade.access import audit
from colonnade.access.guard import Principal, Tenant
from colonnade.accounts import confirming, exporting, lifecycle
from colonnade.accounts.confirming import Preview
from colonnade.accounts.exporting import Subject
from colonnade.accounts.holdings import EMPTIED, Holding
from colonnade.accounts.lifecycle import Lifecycle
from colonnade.services import Services
from colonnade_tenants import values
from colonnade_tenants.partition import TenantConnection

BATCH = 1000
"""Rows that one transaction removes."""

_CLAIM = "select id from tenants where id = $1 and removal = 'deleting' for no key update skip locked"
_REVOKE = "update api_keys set revoked_at = coalesce(revoked_at, now()) where tenant_id = $1"
# What a late event names is known by a digest of it.
_BURY = """
with gone as ({delete} returning {name} as name)
insert into removed_objects (digest, tenant_id) select sha256(convert_to(name, 'UTF8')), $1 from gone
on conflict (digest) do nothing
"""
_BURIED = {"stripe_objects": "id", "former_accounts": "account"}
_BURY_ACCOUNT = """
insert into removed_objects (digest, tenant_id)
select sha256(convert_to(stripe_account, 'UTF8')), id from tenants where id = $1 and stripe_account is not null
on conflict (digest) do update set tenant_id = excluded.tenant_id
"""
# Events that wait for a decision, because they name something else besides, or came too early.
_UNDECIDED = """
delete from inbox where tenant_id is null and state in ('quarantined', 'dead') and exists (
    select from jsonb_array_elements(coalesce(evidence, '[]')) e
    join removed_objects r on r.digest = sha256(convert_to(e->>'key', 'UTF8')) where r.tenant_id = $1
)
"""
_FORGET = """
update tenants set stripe_account = null, name = '', application_fee_percent = null, return_origins = '{}',
    idempotency_key = null, fingerprint = '', live_at = null
where id = $1
"""


async def preview(services: Services, tenant: Tenant, by: Principal) -> Preview:
    """What `begin` would remove. Raises `Forbidden`, and `Conflict` where that would."""
    lifecycle.check_platform(by)
    lifecycle.check_step(tenant, "remove")
    audit.nothing_done()
    return confirming.preview(services.secret_key, tenant.public_id, await _counts(services, tenant))


async def begin(services: Services, tenant: Tenant, by: Principal, confirmation: str | None, reason: str) -> Lifecycle:
    """Begin to remove the tenant; workers go on. Raises `Forbidden`, `Invalid`, `Conflict` unless it was put away."""
    lifecycle.check_platform(by)
    values.text(reason, "reason", 500)
    lifecycle.check_step(tenant, "remove")
    confirming.check(services.secret_key, confirmation, tenant.public_id, await _counts(services, tenant))
    async with services.database.platform_connection() as connection:
        await lifecycle.alone(connection, tenant.id)
        await lifecycle.make(connection, tenant.id, "remove", by.id, reason)
        await connection.execute(_REVOKE, tenant.id)
        await lifecycle.note(connection, tenant)
    return await lifecycle.read(services, tenant, by)


async def left(services: Services, tenant: Tenant) -> int:
    """How many rows a removal that is under way has still to remove."""
    return sum((await _counts(services, tenant)).values())


async def _counts(services: Services, tenant: Tenant) -> dict[str, int]:
    async with services.database.platform_pool.acquire() as connection, connection.transaction(readonly=True):
        await TenantConnection.bind(connection, tenant.id)
        found = await exporting.counts(connection, Subject(tenant.id, tenant.public_id))
    emptied = {each.name for each in EMPTIED}
    return {table: number for table, number in found.items() if table in emptied}


async def advance(connection: asyncpg.Connection, tenant_id: int) -> bool:
    """Remove the next batch, or at last the tenant's name; whether there is more to do. Another worker's is left."""
    async with connection.transaction():
        await TenantConnection.bind(connection, tenant_id)
        if await connection.fetchval(_CLAIM, tenant_id) is None:
            return False
        if await _remove_some(connection, tenant_id):
            return True
    async with connection.transaction():
        await lifecycle.alone(connection, tenant_id)
        if await connection.fetchval(_CLAIM, tenant_id) is None or await _remove_some(connection, tenant_id):
            return True
        await connection.execute(_BURY_ACCOUNT, tenant_id)
        await connection.execute(_UNDECIDED, tenant_id)
        await connection.execute(_FORGET, tenant_id)
        await lifecycle.make(connection, tenant_id, "finish", "colonnade", None)
    return False


async def _remove_some(connection: asyncpg.Connection, tenant_id: int) -> bool:
    """At most a batch of each table; whether there were any."""
    removed = 0
    for holding in EMPTIED:
        tag = await connection.execute(_delete(holding), tenant_id, BATCH)
        removed += int(tag.rpartition(" ")[2])
        if removed >= BATCH:
            break
    return removed > 0


def _delete(holding: Holding) -> str:
    chosen = f"select {holding.order} from {holding.name} where tenant_id = $1 limit $2"  # noqa: S608
    delete = f"delete from {holding.name} where tenant_id = $1 and "  # noqa: S608
    delete += f"({holding.order}) in ({chosen})" if holding.key else "$2::bigint > 0"
    name = _BURIED.get(holding.name)
    return delete if name is None else _BURY.format(delete=delete, name=name)
