"""Many tenants with one and the same history, each told of it in its own way: through the inbox, and what works it off.

A tenant stands for one order of arrival, so that what the orders end in are rows to compare.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, Self

import asyncpg
from sqlalchemy import Table

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.errors import NotFound
from colonnade.webhooks import swept
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.extensions import Extensions
from colonnade.webhooks.sweep import Sweeper
from colonnade.webhooks.sweeps import Account
from colonnade_tenants.handlers import HANDLERS
from colonnade_tenants.partition import metadata
from tests.conftest import ScratchDatabase
from tests.convergence.model import Model, for_nobody, for_tenant

Arrival = Sequence[Sequence[int]]
"""The numbers of a history's events, in the portions in which they arrive; one that comes twice is a twin."""

HISTORY = {"entitlement_changes", "notifications", "notification_counters"}
"""What was believed, and told, in between: that depends on the order, as it should."""
PROVENANCE = {"source_event", "source_before"}
"""Which event said so: bookkeeping, of which a read in between may be part."""
_numbers = count(1)

_SETUP = """
with t as (
    insert into tenants (public_id, name, charge_type, stripe_account, fingerprint)
    select 'ten_' || n, 'Shop', $2, 'acct_1_t' || to_char(n, 'FM000000'), '' from unnest($1::int[]) n
    returning id, substr(stripe_account, 7) as mark
), c as (
    insert into customers (tenant_id, public_id, reference, stripe_customer)
    select id, 'ecu_1', 'ref', 'cus_1' || mark from t
), f as (
    insert into features (tenant_id, key, kind, name)
    select id, kind, kind, kind from t, unnest(array['flag', 'limit', 'quantity']) kind
), p as (
    insert into plans (tenant_id, key, name, price)
    select id, price, price, price from t, unnest(array['price_basic', 'price_gold']) price
), o as (
    insert into stripe_objects (id, tenant_id) select 'cus_1' || mark, id from t
)
select mark, id from t
"""
_GRANTS = """
insert into plan_versions (tenant_id, plan, version, price, grants)
select id, plan, 1, plan, jsonb_agg(jsonb_build_object(
    'feature', feature, 'kind', feature, 'value', value, 'per_unit', feature = 'quantity'
))
from unnest($1::bigint[]) id, (values
    ('price_basic', 'flag', 1), ('price_basic', 'limit', 5), ('price_basic', 'quantity', 1),
    ('price_gold', 'limit', 50), ('price_gold', 'quantity', 10)
) g (plan, feature, value)
group by id, plan
"""


class ModelStripe:
    """The model behind the interface of the gateway; also behind that of a client, which is the same on each account.

    *asked*: how many objects were read.
    """

    def __init__(self, stripe: Model) -> None:
        self.stripe = stripe
        self.asked = 0

    @property
    def platform(self) -> Self:
        return self

    def account(self, _account: str) -> Self:
        return self

    def bound(self, **_: Any) -> Self:
        """Whose call it is, and how urgent, is nothing to the model."""
        return self

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The object as it is in the end, with the ids of the tenant that asks."""
        text = json.dumps([path, dict(params or {})])
        number = int(text.partition("_t")[2][:6])
        plain_path, query = json.loads(for_nobody(text.replace(f"_t{number:06}", "")))
        self.asked += 1
        found = self.stripe.read(plain_path, query)
        if found is None:
            raise NotFound(f"No such object: {path}")
        answer: dict[str, Any] = for_tenant(found, number)
        return answer


class Listing(ModelStripe):
    """The same for a sweep, which lists the events of one tenant's account."""

    def __init__(self, stripe: Model, number: int) -> None:
        super().__init__(stripe)
        self._number = number

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        assert path == "/v1/events", path
        query = json.loads(json.dumps(dict(params or {})).replace(f"_t{self._number:06}", ""))
        answer: dict[str, Any] = for_tenant(self.stripe.listed(query), self._number)
        return answer

    async def dated(self, path: str, params: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], datetime]:
        return await self.get(path, params), datetime.fromtimestamp(self.stripe.now, UTC)


class Crowd:
    """Works off what *stripe* tells, for tenants of the charge type *custody*."""

    def __init__(self, admin: asyncpg.Connection, worker: asyncpg.Pool, ingest: asyncpg.Pool) -> None:
        self._admin, self._worker, self._ingest = admin, worker, ingest
        self.reads = 0

    async def ends(
        self, stripe: Model, arrivals: Sequence[Arrival], custody: str = "direct", *, swept_after: bool = False
    ) -> list[dict[str, Any]]:
        """What each of *arrivals* ends in; *swept_after*: once Stripe's list was compared with what arrived."""
        numbers = [next(_numbers) for _ in arrivals]
        marks = await self._tenants(numbers, custody)
        gateway = ModelStripe(stripe)
        for step in range(max(map(len, arrivals), default=0)):
            rows = []
            for number, arrival in zip(numbers, arrivals, strict=True):
                earlier = [event for portion in arrival[:step] for event in portion]
                for place, event in enumerate(arrival[step] if step < len(arrival) else ()):
                    again = event in earlier or event in arrival[step][:place]
                    rows.append(_row(stripe.events[event], number, custody, again=again))
            await swept.store(self._ingest, rows)
            await self._work(gateway)
        if swept_after:
            for number in numbers:
                await self._sweep(stripe, number, marks[number])
            await self._work(gateway)
        self.reads += gateway.asked
        return await self._states(list(marks.values()))

    async def _tenants(self, numbers: list[int], custody: str) -> dict[int, int]:
        rows = await self._admin.fetch(_SETUP, numbers, custody)
        await self._admin.execute(_GRANTS, [row["id"] for row in rows])
        found = {int(row["mark"][2:]): row["id"] for row in rows}
        return {number: found[number] for number in numbers}

    async def _work(self, gateway: ModelStripe) -> None:
        dispatcher = Dispatcher(gateway, HANDLERS, Extensions(gateway))  # type: ignore[arg-type]
        while await dispatcher.batch(self._worker):
            pass
        stuck = await self._admin.fetch("select event_id, state, reason, error from inbox where state <> 'done'")
        assert not stuck, stuck

    async def _sweep(self, stripe: Model, number: int, tenant_id: int) -> None:
        gateway: Any = Listing(stripe, number)
        sweeper = Sweeper(gateway, self._worker, self._ingest, HANDLERS, live=False)
        await sweeper.account(Account(f"acct_1_t{number:06}", tenant_id))

    async def _states(self, tenants: list[int]) -> list[dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {tenant: {} for tenant in tenants}
        owners = dict(
            await self._admin.fetch("select id, stripe_customer from customers where tenant_id = any($1)", tenants)
        )
        for table in metadata.sorted_tables:
            if table.name in HISTORY:
                continue
            rows = await self._admin.fetch(f"select * from {table.name} where tenant_id = any($1)", tenants)
            for row in rows:
                found[row["tenant_id"]].setdefault(table.name, []).append(_kept(table, row, owners))
        return [{name: sorted(rows) for name, rows in found[tenant].items()} for tenant in tenants]


def _kept(table: Table, row: Mapping[str, Any], owners: Mapping[int, str]) -> str:
    """A row without what differs between tenants anyway, and without our own times."""
    names = [
        column.name
        for column in table.columns
        if column.name not in {"tenant_id", "public_id", *PROVENANCE}
        and column.identity is None
        and not (column.server_default is not None and "now()" in str(getattr(column.server_default, "arg", "")))
    ]
    fields = {name: owners[row[name]] if name == "customer_id" else row[name] for name in names}
    return for_nobody(json.dumps(fields, default=str, sort_keys=True))


def _row(event: dict[str, Any], number: int, custody: str, *, again: bool) -> Any:
    told: dict[str, Any] = event | ({"id": f"{event['id']}_again"} if again else {})
    account = f"acct_1_t{number:06}" if custody == "direct" else ""
    return swept.row(for_tenant(told, number), account)._replace(swept=False)


def digest(state: Mapping[str, Any]) -> str:
    """The state's hash."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


@asynccontextmanager
async def crowd(database: ScratchDatabase) -> AsyncIterator[Crowd]:
    admin = await asyncpg.connect(database.admin_url)
    async with (
        await create_pool(database.service_url, Duty.WORKER, size=2) as worker,
        await create_pool(database.service_url, Duty.INGEST, size=1) as ingest,
    ):
        try:
            yield Crowd(admin, worker, ingest)
        finally:
            await admin.close()


def one_by_one(orders: Iterable[Sequence[int]]) -> list[Arrival]:
    """Each event is worked off before the next arrives."""
    return [[[event] for event in order] for order in orders]


def at_once(orders: Iterable[Sequence[int]]) -> list[Arrival]:
    """All have arrived before the first is worked off."""
    return [[list(order)] for order in orders]
