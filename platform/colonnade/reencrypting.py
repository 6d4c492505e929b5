"""What is stored encrypted, encrypted anew with the newest `COLONNADE_SECRET_KEY`: then the older ones can go.

A tenant at a time, its rows locked, so that a secret that is rolled meanwhile stays rolled. What is done twice is done
as well as once.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Column, Table, select, update

from colonnade.cipher import Cipher, SecretUnreadable
from colonnade.database.tables import notification_endpoints, signing_keys
from colonnade.entitlement_tokens.keys import PURPOSE
from colonnade.notifications.secrets import Sealed, Vault
from colonnade.services import Services
from colonnade_tenants.partition import TENANT, TenantSession

_TENANTS = "select id, public_id from tenants order by id"


class Reencrypted(Struct):
    """How many rows were encrypted anew, and which (`ten_…/nep_…`, `ten_…/sgk_…`) no key of ours can read."""

    encrypted: int
    unreadable: list[str]


async def reencrypt(services: Services) -> Reencrypted:
    """Go through all tenants."""
    vault, cipher = Vault(services.secret_key), Cipher(services.secret_key, PURPOSE)

    def secrets(stored: list[dict[str, str]]) -> list[dict[str, str]]:
        again = [vault.again(each) for each in msgspec.convert(stored, list[Sealed])]
        made: list[dict[str, str]] = msgspec.to_builtins(again)
        return made

    done = Reencrypted(0, [])
    for row in await services.database.platform_pool.fetch(_TENANTS):
        async with services.database.tenant(row["id"]) as session:
            for table, column, again in (
                (notification_endpoints, notification_endpoints.c.secrets, secrets),
                (signing_keys, signing_keys.c.private_key, cipher.again),
            ):
                unreadable = await _column(session, table, column, again, done)
                done.unreadable += [f"{row['public_id']}/{public_id}" for public_id in unreadable]
    return done


async def _column(
    session: TenantSession, table: Table, column: Column[Any], again: Callable[[Any], Any], done: Reencrypted
) -> list[str]:
    """Encrypt the tenant's values of *column* anew; the public ids of rows that stay as they are, unreadable."""
    own = select(table.c.id, table.c.public_id, column.label("kept")).where(table.c.tenant_id == TENANT)
    unreadable = []
    for row in await session.execute(own.order_by(table.c.id).with_for_update()):
        try:
            fresh = again(row.kept)
        except SecretUnreadable:
            unreadable.append(row.public_id)
            continue
        here = (table.c.tenant_id == TENANT, table.c.id == row.id)
        await session.execute(update(table).where(*here).values({column: fresh}))
        done.encrypted += 1
    return unreadable
