"""Who acted, as a tenant is told it: its own keys, browsers and Stripe's events.

Of the platform's keys and people a tenant learns that they did something, not who. What answers show goes through
`Told`, what an export has through `told_sql`: they are the same rule.
"""

from typing import NamedTuple

from colonnade.access.principals import Principal
from colonnade.database.connections import Database

BROWSER = "browser"
"""What acts where an end customer's browser does."""
EVENT = "evt_"
"""How the ids of Stripe's events begin, which act too."""

_OWN = "select public_id from api_keys where tenant_id = $1"


class Told(NamedTuple):
    """Call it with who acted, for who of it the reader is told. *own*: ids of the tenant's keys; None: told of all."""

    own: frozenset[str] | None

    def __call__(self, actor: str | None) -> str | None:
        if actor is None or self.own is None or actor == BROWSER or actor.startswith(EVENT) or actor in self.own:
            return actor
        return None


async def told(database: Database, reader: Principal) -> Told:
    """What *reader* is told."""
    if reader.tenant_id is None:
        return Told(None)
    rows = await database.platform_pool.fetch(_OWN, reader.tenant_id)
    return Told(frozenset(row["public_id"] for row in rows))


def told_sql(name: str, shown: str | None = None) -> str:
    """The same for the tenant `$1`, as SQL: *shown* where who acted is told, else null. *name* is SQL for who acted."""
    known = f"""
        {name} = '{BROWSER}' or starts_with({name}, '{EVENT}')
        or exists (select from api_keys k where k.tenant_id = $1 and k.public_id = {name})
    """
    return f"case when {known} then {shown or name} end"
