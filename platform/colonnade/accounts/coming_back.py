"""A tenant that was frozen and no longer is: its held events are applied, each once, in the order they came.

Meanwhile no entitlement is computed, so that nobody's access is taken away by an event which a later one made good. At
the end all are computed, once. What still fails by then is an event like any other, and is computed when it succeeds.
"""

import asyncpg

from colonnade.accounts.lifecycle import alone
from colonnade.accounts.states import FROZEN, RETURN, literal
from colonnade.webhooks.writer import CHANNEL
from colonnade_tenants.ids import new_id

RELEASED = "its tenant came back"
"""Why an event that was held is due. One that fails has its failure's reason instead, and is not waited for: nor is
what came since, which may never end."""

_WAITING = """
select exists (
    select from inbox
    where tenant_id = $1 and state = 'pending' and reason = $2 and not_before <= clock_timestamp()
)
"""
_STILL = f"""
select id from tenants where id = $1 and coming_back and state not in {literal(FROZEN)} for no key update
"""  # noqa: S608 - only our own names are put in
_RELEASE = """
update inbox set state = 'pending', reason = $2, not_before = now() where tenant_id = $1 and state = 'held'
"""
_COMPUTE = """
insert into recomputations (public_id, tenant_id, cause, scope, position, total, done)
select $2, $1, $3, '{"everyone": true}', 0, count(*), 0 from customers where tenant_id = $1
"""


async def advance(connection: asyncpg.Connection, tenant_id: int) -> bool:
    """Release what is held, or, once all of that was applied, have entitlements computed; whether it is back now."""
    if await connection.fetchval(_WAITING, tenant_id, RELEASED):
        return False
    async with connection.transaction():
        await alone(connection, tenant_id)
        if await connection.fetchval(_STILL, tenant_id) is None:
            return True
        if int((await connection.execute(_RELEASE, tenant_id, RELEASED)).rpartition(" ")[2]):
            await connection.execute(f"notify {CHANNEL}")
            return False
        if await connection.fetchval(_WAITING, tenant_id, RELEASED):
            return False
        await connection.execute(_COMPUTE, tenant_id, new_id("rec"), RETURN)
        await connection.execute("update tenants set coming_back = false where id = $1", tenant_id)
    return True
