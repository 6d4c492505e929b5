"""Whatever the platform team and Stripe do in whatever order, with events between: the state is what it should be."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy.ext.asyncio import AsyncEngine

from colonnade.access.guard import Tenant
from colonnade.access.principals import Kind, Principal
from colonnade.accounts import lifecycle
from colonnade.accounts.service import tenant_by_id
from colonnade.accounts.states import STEPS
from colonnade.database.connections import Database, create_engine
from colonnade.database.roles import Duty
from colonnade.errors import Conflict
from colonnade.services import Services
from colonnade_tenants import catalogue
from colonnade_tenants.catalogue import Feature, Grant, Plan
from colonnade_tenants.partition import tenant_session
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import SETTINGS, event
from tests.platform.lifecycles import BACK, GONE, Worker, about_access, about_subscription, working

pytestmark = pytest.mark.slow

BY = Principal("key_model", None, Kind.PLATFORM_KEY)
STEPS_BY_HAND = [name for name, step in STEPS.items() if "platform" in step.by and name not in {"remove", "reconnect"}]
GRANTS = {"active": True, "trialing": True, "unpaid": False, "paused": False}
_numbers = itertools.count(1)


class World(NamedTuple):
    """The real thing, for all runs of the model."""

    worker: Worker
    services: Services
    engine: AsyncEngine
    admin: asyncpg.Connection

    async def tenant(self) -> tuple[Tenant, str]:
        """A new tenant that sells `export`, and its account."""
        number = next(_numbers)
        account = f"acct_{number}"
        tenant_id = await self.admin.fetchval(
            "insert into tenants (public_id, name, charge_type, stripe_account, fingerprint) "
            "values ($1, 'Shop', 'destination', $2, '') returning id",
            f"ten_{number}",
            account,
        )
        async with tenant_session(self.engine, tenant_id) as session:
            await catalogue.put_feature(session, Feature("export", "flag", "Export"))
            await catalogue.put_plan(
                session, Plan("basic", "Basic", price="price_basic", grants=[Grant("export", True)])
            )
        return await tenant_by_id(self.services, f"ten_{number}"), account


@asynccontextmanager
async def world(database: ScratchDatabase) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(working(database))
        running = await stack.enter_async_context(Database(database.service_url))
        engine = create_engine(database.service_url, Duty.APP, size=1)
        stack.push_async_callback(engine.dispose)
        admin = await asyncpg.connect(database.admin_url)
        stack.push_async_callback(admin.close)
        yield World(worker, Services(SETTINGS, "k" * 32, running, worker.gateway), engine, admin)


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def machine(runner: asyncio.Runner, real: World) -> type[RuleBasedStateMachine]:
    """The model, with the real thing beside it."""

    class Life(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.tenant, self.account = runner.run(real.tenant())
            self.customer = f"cus_{self.account}"
            self.suspended = self.disconnected = self.archived = self.live = False
            self.held: list[str] = []
            self.applied: str | None = None
            self.returns = 0

        @property
        def state(self) -> str:
            if self.archived:
                return "archived"
            if self.disconnected:
                return "disconnected"
            return "suspended" if self.suspended else "live" if self.live else "onboarding"

        @property
        def frozen(self) -> bool:
            return self.archived or self.disconnected

        def thaw(self, before: int) -> None:
            """What was held is applied, and changes at most one line of the history."""
            if not self.frozen and self.held:
                self.applied, self.held = self.held[-1], []
                assert self.history() - before <= 1

        def history(self) -> int:
            count = "select count(*) from entitlement_changes where tenant_id = $1"
            found: int = runner.run(real.admin.fetchval(count, self.tenant.id))
            return found

        @rule(status=st.sampled_from(sorted(GRANTS)), number=st.integers(1, 3))
        def hear_of_the_subscription(self, status: str, number: int) -> None:
            """Some events that end in *status*."""
            statuses = [*sorted(GRANTS)[:number], status]
            events = [about_subscription(each, self.account, self.customer, f"sub_{self.account}") for each in statuses]
            runner.run(real.worker.store(*events))
            runner.run(real.worker.work())
            if self.frozen:
                self.held += statuses
            else:
                self.applied = status

        @rule(step=st.sampled_from(STEPS_BY_HAND))
        def take(self, step: str) -> None:
            allowed = {
                "suspend": self.state in ("onboarding", "live"),
                "resume": self.state == "suspended",
                "archive": not self.archived,
                "restore": self.archived,
            }[step]
            before = self.history()
            try:
                runner.run(lifecycle.take(real.services, self.tenant, step, BY, "the model says so"))
            except Conflict:
                assert not allowed
                return
            assert allowed
            self.suspended = {"suspend": True, "resume": False}.get(step, self.suspended)
            self.archived = {"archive": True, "restore": False}.get(step, self.archived)
            runner.run(real.worker.work())
            self.thaw(before)

        @rule(gone=st.booleans())
        def hear_of_access(self, gone: bool) -> None:
            before = self.history()
            runner.run(real.worker.store(about_access(GONE if gone else BACK, self.account)))
            runner.run(real.worker.work())
            self.disconnected = gone
            self.thaw(before)

        @precondition(lambda self: not self.frozen)
        @rule()
        def become_able(self) -> None:
            """Onboarding is done."""
            ready: dict[str, Any] = {"id": self.account, "object": "account", "details_submitted": True}
            ready |= {"charges_enabled": True, "payouts_enabled": True, "requirements": {}}
            ready |= {"capabilities": {"card_payments": "active", "transfers": "active"}}
            runner.run(real.worker.store(event("account.updated", ready, account=self.account)))
            runner.run(real.worker.work())
            self.live = True

        @invariant()
        def both_say_the_same(self) -> None:
            read = lifecycle.read(real.services, self.tenant, BY)
            found = runner.run(read)
            assert (found.state, found.held_events, found.coming_back) == (self.state, len(self.held), False)
            status = "select status from subscriptions where tenant_id = $1"
            assert runner.run(real.admin.fetchval(status, self.tenant.id)) == self.applied
            granted = "select exists (select from entitlements where tenant_id = $1 and valid_until is null)"
            expected = GRANTS[self.applied] if self.applied else False
            assert runner.run(real.admin.fetchval(granted, self.tenant.id)) == expected
            passages = "select previous, state from tenant_states where tenant_id = $1 order by id"
            rows = [tuple(row) for row in runner.run(real.admin.fetch(passages, self.tenant.id))]
            assert all(one[1] == other[0] for one, other in itertools.pairwise(rows))
            assert not rows or rows[-1][1] == self.state

        def teardown(self) -> None:
            """The last edge: it may be removed exactly where it was put away, or has disconnected."""

            async def remove() -> None:
                async with real.services.database.platform_connection() as connection:
                    await lifecycle.alone(connection, self.tenant.id)
                    await lifecycle.make(connection, self.tenant.id, "remove", "key_model", "the end")
                await real.worker.work()

            if self.frozen:
                runner.run(remove())
                gone = runner.run(lifecycle.read(real.services, self.tenant, BY))
                assert (gone.state, gone.held_events) == ("deleted", 0)
            else:
                with pytest.raises(Conflict):
                    runner.run(remove())

    return Life


def test_every_edge_with_events_between(shared_database: ScratchDatabase, loop: asyncio.Runner) -> None:
    stack = AsyncExitStack()
    try:
        real = loop.run(stack.enter_async_context(world(shared_database)))
        found = machine(loop, real)
        run_state_machine_as_test(
            found,
            settings=settings(
                max_examples=12,
                stateful_step_count=18,
                deadline=None,
                phases=[Phase.generate],  # a history is short enough to be read as it is
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )
    finally:
        loop.run(stack.aclose())
