"""When a customer comes back from the portal: is what they changed known here, and what was it?

First its events are waited for. Where the visit's flow says what to expect, they are enough; else nothing tells that no
more will come, and Stripe is asked once.
"""

from colonnade.access.guard import Tenant
from colonnade.errors import DomainError
from colonnade.portals.rereading import reread
from colonnade.services import Services
from colonnade_tenants.portal import state, visits
from colonnade_tenants.portal.changes import Change, changes
from colonnade_tenants.portal.visits import Outcome, Visit

PATIENCE = 0.5
"""Seconds that events are waited for before Stripe is asked: most are here sooner."""
LONGEST = visits.WAITING.total_seconds()
"""Seconds after which the customer is sent on, whatever is known."""
_EXPECTED = {
    "subscription_cancel": {"subscription_ended", "cancellation_scheduled"},
    "subscription_pause": {"subscription_paused"},
    "subscription_update": {"plan_changed", "quantity_changed", "plan_change_scheduled"},
    "subscription_update_confirm": {"plan_changed", "quantity_changed", "plan_change_scheduled"},
}
_INBOX = "select event_id, state from inbox where event_id = any($1)"


async def settle(services: Services, tenant: Tenant, visit_id: str) -> Visit | None:
    """The visit, its outcome known if `settled_at` is set; None for an unknown one. Call it until that is so."""
    async with services.database.tenant_connection(tenant.id) as connection:
        found = await visits.returned(connection, visit_id)
    if found is None or found[0].outcome is not None:
        return found and found[0]
    visit, waited = found
    # First whether all was applied, then what is there: the other way round, something could fall between.
    applied = await _states(services, visit.reread_events)
    async with services.database.tenant_connection(tenant.id) as connection:
        now = await state.now(connection, visit.customer_id, visit.before.invoices if visit.before else ())
        mine = waited >= PATIENCE and visit.reread_events is None and await visits.claim_reread(connection, visit_id)
    outcome = _outcome(visit, changes(visit.before, now) if visit.before else [], applied, waited)
    if outcome is None:
        if mine:
            await _reread(services, tenant, visit)
        return visit
    async with services.database.tenant_connection(tenant.id) as connection:
        await visits.settle(connection, visit, outcome)
        return await visits.get(connection, visit_id)


def _outcome(visit: Visit, differences: list[Change], applied: set[str], waited: float) -> Outcome | None:
    if visit.before is None:  # it began before that was kept from the start
        return Outcome("unknown")
    if applied == {"done"} or _as_expected(visit, differences):
        return Outcome("changed" if differences else "unchanged", differences)
    refused = bool(applied) and "pending" not in applied
    return Outcome("unknown", differences) if refused or waited >= LONGEST else None


def _as_expected(visit: Visit, differences: list[Change]) -> bool:
    """Whether the visit's flow is just done, and what it does is here: it did nothing else."""
    if visit.completed_at is None or visit.returned_at is None or visit.returned_at > visit.completed_at + visits.AGAIN:
        return False
    wanted = _EXPECTED.get(visit.flow or "", set())
    return any(each.what in wanted and each.subscription == visit.subscription for each in differences)


async def _states(services: Services, events: list[str] | None) -> set[str]:
    """What became of the inbox's rows of Stripe's answer."""
    if not events:
        return set()
    async with services.database.platform_pool.acquire() as connection:
        return {row["state"] for row in await connection.fetch(_INBOX, events)}


async def _reread(services: Services, tenant: Tenant, visit: Visit) -> None:
    async with services.database.tenant_connection(tenant.id) as connection:
        customer, _ = await state.names(connection, visit.customer_id)
        before = await state.now(connection, visit.customer_id)
    if customer is None:
        return
    try:
        events = await reread(services, tenant, visit.id, customer, before)
    except DomainError:
        return  # somebody's next call tries again
    async with services.database.tenant_connection(tenant.id) as connection:
        await visits.reread(connection, visit, events)
