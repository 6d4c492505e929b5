"""What a tenant's state means for its events, looked up once its lock is held, so that no other step comes between.

A frozen tenant's events are held; those about who was removed are reduced to a stub. What says whether the account lets
us act for it goes through, and before all else: after it nothing may be asked of that account.
"""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from colonnade.accounts.states import FROZEN, REMOVED, State, sentence
from colonnade.webhooks.attribute import Attribution, Known
from colonnade.webhooks.delivery import Delivery
from colonnade.webhooks.directory import digest
from colonnade.webhooks.inbox import Claimed, Outcome, stub
from colonnade_tenants.unit import Unit

ACCESS = frozenset({"account.application.authorized", "account.application.deauthorized"})

_STANDING = """
select state, coming_back, null::bytea as digest, null::bigint as tenant_id from tenants where id = $1
union all
select null, null, digest, tenant_id from removed_objects where digest = any ($2)
"""


class Attributed(NamedTuple):
    """An event whose tenant is known, what said so, and the objects in it that are not registered yet.

    *evidence* is JSON, as in `inbox.Outcome`.
    """

    delivery: Delivery
    by: Attribution
    evidence: str
    unregistered: set[str]

    @property
    def row(self) -> Claimed:
        """The event as it was claimed."""
        return self.delivery.row


def first(run: list[Attributed]) -> list[Attributed]:
    """What says whether the account lets us act for it, if *run* has that: the others are the next batch's."""
    return [each for each in run if each.delivery.event.type in ACCESS] or run


async def admit(
    connection: asyncpg.Connection, tenant: Unit, run: Sequence[Attributed]
) -> tuple[list[Attributed], list[Outcome]]:
    """Those of *run* that are to be handled, and what becomes of the others."""
    keys = {clue.key for each in run for clue in each.delivery.clues if clue.kind == "object"}
    digests = {digest(key): key for key in keys}
    rows = await connection.fetch(_STANDING, tenant.tenant_id, list(digests))
    state, known = State.LIVE, Known({}, {}, {})
    for row in rows:
        if row["state"] is None:
            known.removed[digests[row["digest"]]] = row["tenant_id"]
        else:
            state, tenant.deferred = State(row["state"]), row["coming_back"]
    if state not in FROZEN and not known.removed:
        return list(run), []
    ready: list[Attributed] = []
    outcomes: list[Outcome] = []
    for each in run:
        if state in REMOVED or any(known.gone(clue, tenant.tenant_id) for clue in each.delivery.clues):
            outcomes.append(stub(each.row))
        elif state in FROZEN and each.delivery.event.type not in ACCESS:
            outcomes.append(Outcome(each.row, "held", sentence(state), each.by, evidence=each.evidence))
        else:
            ready.append(each)
    return ready, outcomes
