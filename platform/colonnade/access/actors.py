"""Who acted, as a tenant is told it: its own keys, browsers and Stripe's events.

Of the platform's keys and people a tenant learns that they did something, not who. What answers show goes through
`Told`, what an export has through `told_sql`: they are the same rule.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from colonnade.database.connections import Database

BROWSER = "browser"
"""What acts where an end customer's browser does."""
EVENT = "evt_"
"""How the ids of Stripe's events begin, which act too."""

_OWN = "select public_id from api_keys where tenant_id = $1 and public_id = any($2)"

Tell = Callable[[str | None], str | None]
"""Whoever acted, or null where the reader is not told."""


class Told(NamedTuple):
    """What a reader is told: one of *tenant_id*, or, by None, of the platform, who is told all."""

    database: Database
    tenant_id: int | None

    async def of(self, actors: Iterable[str | None]) -> Tell:
        """What to show for each of *actors*. Asks the database only where one of them may be a key."""
        known = {each for each in actors if each is not None}
        if self.tenant_id is not None:
            keys = {each for each in known if each != BROWSER and not each.startswith(EVENT)}
            known -= keys
            if keys:
                rows = await self.database.platform_pool.fetch(_OWN, self.tenant_id, list(keys))
                known |= {row["public_id"] for row in rows}
        return lambda actor: actor if actor in known else None


def told_sql(name: str, shown: str | None = None) -> str:
    """The same for the tenant `$1`, as SQL: *shown* where who acted is told, else null. *name* is SQL for who acted."""
    known = f"""
        {name} = '{BROWSER}' or starts_with({name}, '{EVENT}')
        or exists (select from api_keys k where k.tenant_id = $1 and k.public_id = {name})
    """
    return f"case when {known} then {shown or name} end"
