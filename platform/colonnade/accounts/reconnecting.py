"""Coming back after a disconnection: with the same account, or with another, which then takes its place.

What lived on the account that was left does not come back to life under the new one: its subscriptions are forgotten
here, its events are recorded as those of a former account, and customers of direct charges are made anew.
"""

from typing import Annotated

import asyncpg
from msgspec import Meta, Struct

from colonnade.access.guard import Principal, Tenant
from colonnade.accounts import at_stripe, following, lifecycle
from colonnade.accounts.lifecycle import Lifecycle
from colonnade.accounts.states import STEPS
from colonnade.errors import Conflict
from colonnade.services import Services
from colonnade.stripe_api.charges import ChargeType
from colonnade_tenants import accounts, values


class Reconnection(Struct, forbid_unknown_fields=True):
    """*account*: the one to come back with; left out: the one that it had."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    account: Annotated[str, Meta(pattern="^acct_[A-Za-z0-9]+$")] | None = None


_LEAVE = """
with left_behind as (
    insert into former_accounts (account, tenant_id) select stripe_account, id from tenants where id = $1
    on conflict (account) do update set tenant_id = excluded.tenant_id, left_at = now()
), back as (
    delete from former_accounts where account = $2
), swept as (
    delete from sweeps where tenant_id = $1
)
update tenants set stripe_account = $2, live_at = null, account_api = 'v1' where id = $1
"""
_ON_THE_PLATFORM = (
    """
    delete from subscription_schedules where tenant_id = $1 and subscription in
        (select id from subscriptions where tenant_id = $1 and on_behalf_of = $2)
    """,
    "delete from subscriptions where tenant_id = $1 and on_behalf_of = $2",
)
_MIRRORS = (
    *("subscription_schedules", "subscriptions", "invoices", "payment_methods", "tax_ids", "billing_details"),
    *("stripe_entitlements", "portal_configuration_states"),
)
_ON_THE_ACCOUNT = (
    *(f"delete from {table} where tenant_id = $1 and $2::text is not null" for table in _MIRRORS),  # noqa: S608
    "update customers set stripe_customer = null where tenant_id = $1 and $2::text is not null",
    "delete from stripe_objects where tenant_id = $1 and starts_with(id, $2 || '/')",
    """
    update portal_configurations set stripe_configuration = null, applied_version = null
    where tenant_id = $1 and $2::text is not null
    """,
)
_PUSH_AGAIN = (
    "update portal_work set due_at = now(), creating = null where tenant_id = $1",
    "update branding_images set stripe_file = null where tenant_id = $1",
    """
    update branding set state = 'pending', try_at = now(), problem = null, refused = '{}', dashboard = null,
        failures = 0
    where tenant_id = $1
    """,
)


async def reconnect(services: Services, tenant: Tenant, wanted: Reconnection, by: Principal) -> Lifecycle:
    """Let a disconnected tenant come back. Raises `Forbidden`, `Invalid`, `Conflict`, `StripeUnavailable`."""
    lifecycle.check_platform(by)
    values.text(wanted.reason, "reason", 500)
    if tenant.state not in STEPS["reconnect"].at_rest:
        raise Conflict(f"This tenant is {tenant.state}: it has not disconnected.", "tenant")
    if tenant.stripe_account is None:
        raise Conflict(f"This tenant is {tenant.state} and never had an account to come back with.", "tenant")
    name = wanted.account or tenant.stripe_account
    account, now = await at_stripe.found(services.stripe.platform.reconnecting(), name)
    try:
        async with services.database.platform_connection() as connection:
            bound = await lifecycle.alone(connection, tenant.id)
            if name != tenant.stripe_account:
                await _leave(connection, tenant, name)
            await accounts.apply_account(bound, account, None, as_of=now)
            await accounts.regain(bound, name, now)
            await lifecycle.make(connection, tenant.id, "reconnect", by.id, wanted.reason)
            await following.bring_in_line(bound, by.id, wanted.reason)
            await lifecycle.note(connection, tenant)
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"{name} belongs to a tenant already.", "account") from error
    return await lifecycle.read(services, tenant, by)


async def _leave(connection: asyncpg.Connection, tenant: Tenant, account: str) -> None:
    """Let *account* take the place of the one that the tenant has."""
    await connection.execute(_LEAVE, tenant.id, account)
    forget = _ON_THE_ACCOUNT if tenant.charge_type is ChargeType.DIRECT else _ON_THE_PLATFORM
    for statement in forget:
        await connection.execute(statement, tenant.id, tenant.stripe_account)
    for statement in _PUSH_AGAIN:
        await connection.execute(statement, tenant.id)
