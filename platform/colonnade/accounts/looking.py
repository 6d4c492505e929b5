"""A look at a tenant's account. What Stripe answers is kept as the event would be that tells the same, and may be lost.

That the business took our access away is believed of Stripe's word alone: twice, with an answer about the platform's
own account in between, by a key of the platform that could read a tenant's account before. So no outage, no key that
expired or lacks a permission, and no key of another platform or mode disconnects anybody.
"""

from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

import asyncpg

from colonnade.accounts import following
from colonnade.accounts.at_stripe import Seen, is_out_of_reach
from colonnade.accounts.lifecycle import alone
from colonnade.errors import DomainError
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.client import StripeClient, StripeGateway
from colonnade_tenants import accounts
from colonnade_tenants.partition import tenant_connection

BY = "colonnade"
REFUSED = "Stripe no longer lets the platform into the account."
"""Why a tenant is disconnected that no event told of."""

_REACHED = "update tenants set reached_as = $2 where id = $1 and reached_as is distinct from $2"
_KNOWN = "select exists (select from tenants where reached_as = $1)"


class Whose(NamedTuple):
    """A tenant (internal id) and its account (`acct_…`)."""

    tenant: int
    account: str


async def look(
    gateway: StripeGateway, pool: asyncpg.Pool, whose: Whose, priority: Priority = Priority.REQUEST
) -> Seen | None:
    """The account as Stripe has it now; None: the business took our access away. Either is kept.

    *pool*: of a duty that may change tenants. Raises Stripe's errors.
    """
    client = gateway.platform.bound(tenant=whose.tenant, priority=priority)
    try:
        seen = await _read(client, whose)
    except DomainError as error:
        if not is_out_of_reach(error):
            raise
        again = await _asked_again(gateway, pool, client, whose, error)
        if again is None:
            return None
        seen = again
    await reached(gateway, pool, whose.tenant)
    async with tenant_connection(pool, whose.tenant) as session:
        await accounts.apply_account(session, seen.account, None, as_of=seen.at or accounts.NEVER)
        due = await following.due(session)
    if due:
        async with pool.acquire() as connection, connection.transaction():
            await following.bring_in_line(await alone(connection, whose.tenant), BY)
    return seen


async def reached(gateway: StripeGateway, pool: asyncpg.Pool, tenant: int) -> None:
    """Note that this key just reached the tenant's account; nothing where it may not say whose key it is."""
    with suppress(DomainError):
        await pool.execute(_REACHED, tenant, await gateway.identity())


async def _read(client: StripeClient, whose: Whose) -> Seen:
    return Seen(*await client.dated(f"/v1/accounts/{whose.account}"))


async def _asked_again(
    gateway: StripeGateway, pool: asyncpg.Pool, client: StripeClient, whose: Whose, refusal: DomainError
) -> Seen | None:
    """None: it is refused again, and that is noted. Raises *refusal* where it may be about our key."""
    own, then = await client.dated("/v1/account")
    if not await pool.fetchval(_KNOWN, gateway.named(own["id"])):
        raise refusal
    try:
        return await _read(client, whose)
    except DomainError as error:
        if not is_out_of_reach(error):
            raise
    async with pool.acquire() as connection, connection.transaction():
        session = await alone(connection, whose.tenant)
        # Stripe's times are whole seconds: access given in this one was given after it was refused.
        await accounts.lose(session, whose.account, then - timedelta(seconds=1))
        await following.bring_in_line(session, BY, REFUSED)
    return None
