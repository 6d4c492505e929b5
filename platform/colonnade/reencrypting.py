"""What is stored encrypted, encrypted anew with the newest `COLONNADE_SECRET_KEY`: then the older ones can go.

A tenant at a time, its rows locked, so that a secret that is rolled meanwhile stays rolled. What is done twice is done
as well as once.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from sqlalchemy import Column, Table, select, update

from colonnade.access import audit
from colonnade.access.principals import COMMAND_LINE, Principal
from colonnade.cipher import Cipher, SecretUnreadable
from colonnade.database.tables import notification_endpoints, signing_keys
from colonnade.entitlement_tokens.keys import PURPOSE
from colonnade.notifications.secrets import Sealed, Vault, active
from colonnade.services import Services
from colonnade_tenants.partition import TENANT, TenantSession

ACTION = "secrets.reencrypted"
_TENANTS = "select id, public_id from tenants order by id"


class Reencrypted(Struct):
    """How many rows were encrypted anew, and which (`ten_…/nep_…`, `ten_…/sgk_…`) hold what no key of ours can read.

    An endpoint whose other secrets can be read is both.
    """

    encrypted: int
    unreadable: list[str]


class Fresh(NamedTuple):
    """A column's value, encrypted anew as far as it can be read: *some* of it, or *all* that is still needed."""

    value: Any
    some: bool = True
    all: bool = True


async def reencrypt(services: Services, by: Principal = COMMAND_LINE) -> Reencrypted:
    """Go through all tenants. Each tenant's line of the audit log is committed with its rows."""
    vault, cipher = Vault(services.secret_key), Cipher(services.secret_key, PURPOSE)

    def secrets(stored: Any) -> Fresh:
        return _secrets(vault, stored)

    def private_key(stored: str) -> Fresh:
        try:
            return Fresh(cipher.again(stored))
        except SecretUnreadable:
            return Fresh(stored, some=False, all=False)

    columns = (
        (notification_endpoints, notification_endpoints.c.secrets, secrets),
        (signing_keys, signing_keys.c.private_key, private_key),
    )
    done = Reencrypted(0, [])
    for row in await services.database.platform_pool.fetch(_TENANTS):
        name, own = row["public_id"], Reencrypted(0, [])
        async with services.database.tenant(row["id"]) as session:
            for table, column, again in columns:
                unreadable = await _column(session, table, column, again, own)
                own.unreadable += [f"{name}/{public_id}" for public_id in unreadable]
            if own != Reencrypted(0, []):
                after = audit.named(own, "encrypted", "unreadable")
                await audit.record(session, by, ACTION, tenant_id=row["id"], target=f"tenants/{name}", after=after)
        done.encrypted += own.encrypted
        done.unreadable += own.unreadable
    return done


def _secrets(vault: Vault, stored: Any) -> Fresh:
    """An endpoint's, each on its own: one that cannot be read stays as it is, an expired one goes."""
    kept, read = [], 0
    for each in active(msgspec.convert(stored, list[Sealed]), datetime.now(UTC)):
        try:
            kept.append(vault.again(each))
            read += 1
        except SecretUnreadable:
            kept.append(each)
    return Fresh(msgspec.to_builtins(kept), some=read > 0, all=read == len(kept))


async def _column(
    session: TenantSession, table: Table, column: Column[Any], again: Callable[[Any], Fresh], done: Reencrypted
) -> list[str]:
    """Encrypt the tenant's values of *column* anew; the public ids of rows with something unreadable."""
    own = select(table.c.id, table.c.public_id, column.label("kept")).where(table.c.tenant_id == TENANT)
    unreadable = []
    for row in await session.execute(own.order_by(table.c.id).with_for_update()):
        fresh = again(row.kept)
        if not fresh.all:
            unreadable.append(row.public_id)
        if fresh.some:
            here = (table.c.tenant_id == TENANT, table.c.id == row.id)
            await session.execute(update(table).where(*here).values({column: fresh.value}))
            done.encrypted += 1
    return unreadable
