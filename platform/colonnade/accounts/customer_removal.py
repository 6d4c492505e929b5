"""Export and removal of one end customer, by the tenant's reference, or by our id where the tenant has none for it.

Stripe's own customer is not touched: deleting that ends subscriptions at once and cannot be undone. So a customer who
still has one is not removed here, who would go on paying for what nobody knows of.
"""

from typing import NamedTuple

import asyncpg

from colonnade.access import audit
from colonnade.access.guard import Tenant
from colonnade.accounts import confirming, exporting
from colonnade.accounts.confirming import Preview
from colonnade.accounts.exporting import Subject
from colonnade.accounts.holdings import EMPTIED, OF_CUSTOMER
from colonnade.accounts.lifecycle import alone
from colonnade.errors import Conflict, NotFound
from colonnade.services import Services
from colonnade.stripe_api.charges import custody, qualified
from colonnade_tenants.partition import TenantConnection

_FIND = """
select id, public_id, stripe_customer from customers
where tenant_id = $1 and (reference = $2 or (reference is null and public_id = $2))
"""
# What of the customer's is named in events, beside the customer itself.
_OBJECTS = """
select id from subscriptions where tenant_id = $1 and customer_id = $2
union all select id from subscription_schedules where tenant_id = $1 and customer_id = $2
union all select id from invoices where tenant_id = $1 and customer_id = $2
union all select id from payment_methods where tenant_id = $1 and customer_id = $2
union all select id from tax_ids where tenant_id = $1 and customer_id = $2
union all select id from portal_sessions where tenant_id = $1 and customer_id = $2
"""
_RUNNING = """
select id from subscriptions where tenant_id = $1 and customer_id = $2
    and status not in ('canceled', 'incomplete_expired') order by id limit 5
"""
_LOCK = "select id from customers where tenant_id = $1 and id = $2 for update"
_BURY = """
insert into removed_objects (digest, tenant_id) select sha256(convert_to(name, 'UTF8')), $1 from unnest($2::text[]) name
on conflict (digest) do nothing
"""
# Of events that belong to nobody yet, those that wait for a decision go too; others become stubs in their turn.
_UNDECIDED = """
delete from inbox where tenant_id is null and state in ('quarantined', 'dead') and (object_id = any ($1) or exists (
    select from jsonb_array_elements(coalesce(evidence, '[]')) e where e->>'key' = any ($1)
))
"""


class _Found(NamedTuple):
    subject: Subject
    running: list[str]

    @property
    def name(self) -> str:
        return f"{self.subject.tenant}/{self.subject.customer}"


async def subject(services: Services, tenant: Tenant, reference: str) -> Subject:
    """Whom an export is about. Raises `NotFound`."""
    async with services.database.platform_pool.acquire() as connection, connection.transaction(readonly=True):
        await TenantConnection.bind(connection, tenant.id)
        return (await _find(connection, tenant, reference)).subject


async def preview(services: Services, tenant: Tenant, reference: str) -> Preview:
    """What `remove` would take away. Raises `NotFound`, and `Conflict` while a subscription is running."""
    audit.nothing_done()
    async with services.database.platform_pool.acquire() as connection, connection.transaction(readonly=True):
        await TenantConnection.bind(connection, tenant.id)
        found = await _find(connection, tenant, reference)
        _check_ended(found)
        numbers = await _counts(connection, found.subject)
    return confirming.preview(services.secret_key, found.name, numbers)


async def remove(services: Services, tenant: Tenant, reference: str, confirmation: str | None) -> dict[str, int]:
    """Remove the customer; how many rows of each table were. Raises `NotFound`, `Invalid`, `Conflict`."""
    async with services.database.platform_connection() as connection:
        await alone(connection, tenant.id)  # no event that is under way makes the customer anew
        found = await _find(connection, tenant, reference)
        _check_ended(found)
        numbers = await _counts(connection, found.subject)
        confirming.check(services.secret_key, confirmation, found.name, numbers)
        await connection.fetch(_LOCK, tenant.id, found.subject.customer_id)
        await connection.execute(_BURY, tenant.id, list(found.subject.objects))
        for holding in EMPTIED:
            if holding.name in OF_CUSTOMER:
                query = f"delete from {holding.name} where {found.subject.condition(holding)}"  # noqa: S608
                await connection.execute(query, *found.subject.arguments)
        await connection.execute(_UNDECIDED, list(found.subject.objects))
        audit.note(before={"rows": sum(numbers.values())})
    return {table: number for table, number in numbers.items() if number}


async def _counts(connection: asyncpg.Connection, whose: Subject) -> dict[str, int]:
    return await exporting.counts(connection, whose)


async def _find(connection: asyncpg.Connection, tenant: Tenant, reference: str) -> _Found:
    row = await connection.fetchrow(_FIND, tenant.id, reference) if reference.isprintable() else None
    if row is None:
        raise NotFound("There is no customer with this reference.", "reference")
    names = [each["id"] for each in await connection.fetch(_OBJECTS, tenant.id, row["id"])]
    if row["stripe_customer"]:
        names.append(row["stripe_customer"])
    on = custody(tenant) if names else None
    objects = tuple(qualified(on, name) for name in names)
    running = [each["id"] for each in await connection.fetch(_RUNNING, tenant.id, row["id"])]
    return _Found(Subject(tenant.id, tenant.public_id, row["id"], row["public_id"], objects), running)


def _check_ended(found: _Found) -> None:
    if found.running:
        raise Conflict(f"End {', '.join(found.running)} first: the customer still pays for it.", "reference")
