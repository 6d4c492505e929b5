"""How far each import is: the table `imports`."""

from datetime import datetime
from typing import Any, Literal

import asyncpg
import msgspec
from msgspec import Struct

from colonnade.accounts import states
from colonnade.errors import Conflict, NotFound
from colonnade.stripe_api.charges import ChargeType
from colonnade_tenants.ids import new_id

Step = Literal["customers", "subscriptions"]
State = Literal["running", "done", "failed"]

KEPT = 100
"""Findings that are kept with an import; the counts count all."""


class Owner(Struct, frozen=True):
    """The tenant whose objects are imported; a `Payee`, with its `Standing`."""

    id: int
    public_id: str
    charge_type: ChargeType
    stripe_account: str | None
    state: states.State
    state_reason: str | None
    application_fee_percent: float | None = None


class Counts(Struct):
    """What was found at Stripe, by now.

    *customers* and *subscriptions* are the tenant's, *known* those of them that were here already, *referenced* the
    customers whose reference was read. *others*: subscriptions of other tenants; *unclaimed*: of nobody that is known.
    *refused* have a finding and were left alone.
    """

    customers: int = 0
    subscriptions: int = 0
    known: int = 0
    referenced: int = 0
    others: int = 0
    unclaimed: int = 0
    refused: int = 0

    def add(self, more: "Counts") -> None:
        """Count *more* as well."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(more, name))


class Finding(Struct, frozen=True):
    """What somebody should look at: a Stripe object, and what is wrong with it."""

    object: str
    reason: str


class Import(Struct, kw_only=True):
    """An import. *position*: the last object of the pages of *step* that are done.

    *findings* are the first 100. *problem*: why it stopped; while it is running it is tried again.
    """

    id: str
    state: State = "running"
    reference_key: str | None = None
    step: Step
    position: str | None = None
    counts: Counts = msgspec.field(default_factory=Counts)
    findings: list[Finding] = msgspec.field(default_factory=list)
    problem: str | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None


_COLUMNS = """
public_id as id, state, reference_key, step, position, counts::text, findings::text, problem, created_at, finished_at
"""
_START = """
insert into imports (public_id, tenant_id, reference_key, step) values ($1, $2, $3, $4)
on conflict (tenant_id) where state = 'running' do nothing
"""
_SAVE = """
update imports set state = $2, step = $3, position = $4, counts = $5::text::jsonb, findings = $6::text::jsonb,
    problem = $7, finished_at = case when $2 = 'running' then null else clock_timestamp() end
where public_id = $1
"""
_OWNER = "select id, public_id, charge_type, stripe_account, state, state_reason from tenants where "


async def owner(pool: asyncpg.Pool, tenant: str) -> Owner:
    """The tenant with this id (`ten_…`). Raises `NotFound`."""
    row = await pool.fetchrow(f"{_OWNER} public_id = $1", tenant)
    if row is None:
        raise NotFound(f"No such tenant: {tenant!r}.", "tenant")
    return msgspec.convert(dict(row), Owner)


async def start(
    pool: asyncpg.Pool | asyncpg.Connection, tenant: Owner, reference_key: str | None
) -> tuple[Import, bool]:
    """An import, and whether it is new: else it is the one that is running.

    Raises `Conflict` if that has another *reference_key*.
    """
    # What is on the platform's own account is a tenant's by its subscriptions alone: customers name none.
    step: Step = "customers" if tenant.charge_type is ChargeType.DIRECT else "subscriptions"
    tag: str = await pool.execute(_START, new_id("imp"), tenant.id, reference_key, step)
    row = await pool.fetchrow(
        f"select {_COLUMNS} from imports where tenant_id = $1 order by id desc limit 1",  # noqa: S608
        tenant.id,
    )
    found = _import(row)
    if found.reference_key != reference_key:
        raise Conflict(f"{found.id} is running, with another key of the references.", "reference_key")
    return found, tag.endswith(" 1")


async def get(pool: asyncpg.Pool, tenant_id: int, public_id: str) -> Import:
    """Raises `NotFound`."""
    found = f"select {_COLUMNS} from imports where tenant_id = $1 and public_id = $2"  # noqa: S608
    row = await pool.fetchrow(found, tenant_id, public_id)
    if row is None:
        raise NotFound(f"No such import: {public_id!r}.", "import")
    return _import(row)


async def page(pool: asyncpg.Pool, tenant_id: int, after: str | None, limit: int) -> list[Import]:
    """At most *limit* of the tenant's, the newest first, from the one before the id *after*."""
    found = f"""
    select {_COLUMNS} from imports where tenant_id = $1 and ($2::text is null or public_id < $2)
    order by public_id desc limit $3
    """  # noqa: S608
    return [_import(row) for row in await pool.fetch(found, tenant_id, after, limit)]


async def running(pool: asyncpg.Pool) -> list[tuple[str, str]]:
    """The running imports and their tenants (`ten_…`), the oldest first; those of frozen tenants wait."""
    rows = await pool.fetch(
        "select t.public_id as tenant, i.public_id from imports i join tenants t on t.id = i.tenant_id "  # noqa: S608
        f"where i.state = 'running' and t.state not in {states.literal(states.FROZEN)} order by i.id"
    )
    return [(row["public_id"], row["tenant"]) for row in rows]


async def save(pool: asyncpg.Pool, work: Import) -> None:
    """Note where *work* is."""
    counts, findings = (msgspec.json.encode(each).decode() for each in (work.counts, work.findings[:KEPT]))
    await pool.execute(_SAVE, work.id, work.state, work.step, work.position, counts, findings, work.problem)


def _import(row: asyncpg.Record) -> Import:
    fields: dict[str, Any] = dict(row)
    for name in ("counts", "findings"):
        fields[name] = msgspec.json.decode(fields[name])
    return msgspec.convert(fields, Import)
