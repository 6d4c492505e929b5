"""Recording what a tenant is to be told, in the transaction of the change itself: both are committed, or neither.

The body is made here and never again, so that what is delivered days later still says what was so at the change.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import text

from colonnade_tenants.ids import new_ids
from colonnade_tenants.partition import Kind, Statement, TenantConnection

CHANNEL = "colonnade_notifications"
TENANT_ITSELF = 0
"""The subject of what is about no customer."""


class Note(Struct, frozen=True):
    """One thing to tell: *data* as `payloads` has it for the *type*, *subject* the customer's internal id.

    *endpoint*: the only one that it is for (internal id).
    """

    type: str
    data: Struct
    subject: int = TENANT_ITSELF
    endpoint: int | None = None


class _Line(Struct, frozen=True):
    """*data* is JSON already: it passes through PostgreSQL as it is."""

    type: str
    subject: int
    endpoint: int | None
    data: str


# The counters' rows are locked in the order of the subjects, and until the commit: numbers follow the commits' order.
# The body is put together from its parts: PostgreSQL's own JSON functions would read all of it first.
_RECORD = Statement(
    text(f"""
with given as materialized (
    select * from unnest(
        cast(:ids as text[]), cast(:types as text[]), cast(:subjects as bigint[]), cast(:endpoints as bigint[]),
        cast(:data as text[])
    ) with ordinality as g (id, type, subject, endpoint, data, place)
), counted as (
    insert into notification_counters as c (tenant_id, subject, number)
    select cast(:tenant as bigint), subject, count(*) from given group by subject order by subject
    on conflict (tenant_id, subject) do update set number = c.number + excluded.number
    returning subject, number
), woken as (
    insert into notification_wakes (tenant_id) values (:tenant) returning cast(pg_notify('{CHANNEL}', '') as text)
), numbered as (
    select given.*, counted.number - count(*) over of_subject + row_number() over (of_subject order by place) as number
    from given join counted using (subject) window of_subject as (partition by subject)
)
insert into notifications (tenant_id, public_id, type, subject, endpoint, payload)
select :tenant, n.id, n.type, n.subject, n.endpoint, concat(
    '{{"type":"', n.type, '","id":"', n.id, '","timestamp":"',
    to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    '","number":', n.number, ',"customer":', coalesce(
        case when c.id is not null then json_build_object('id', c.public_id, 'reference', c.reference) end, 'null'
    ), ',"data":', n.data, '}}'
)
from numbered n left join customers c on c.tenant_id = :tenant and c.id = n.subject
order by n.place
""")  # noqa: S608 - only our own name is put in
)


async def record(tenant: TenantConnection, notes: Sequence[Note]) -> list[str]:
    """Tell the tenant of *notes* once this transaction is committed; their public ids (`ntf_…`). One round trip.

    The caller has locked the customers that they are about, so that their order is the order of the changes.
    """
    return await _write(tenant, [_line(note) for note in notes])


async def tell(tenant: TenantConnection, notes: Sequence[Note]) -> None:
    """As `record`, for handlers: a worker's unit gathers what its events tell, and writes it in one go."""
    for line in map(_line, notes):
        await tenant.put(OUTBOX, object(), line, None)


def _line(note: Note) -> _Line:
    data = msgspec.json.encode(note.data).decode()
    return _Line(note.type, note.subject, note.endpoint, data)


async def _write(tenant: TenantConnection, lines: Sequence[_Line]) -> list[str]:
    """The public ids that they got."""
    ids = new_ids("ntf", len(lines))
    if lines:
        await tenant.execute(
            _RECORD,
            ids=ids,
            types=[line.type for line in lines],
            subjects=[line.subject for line in lines],
            endpoints=[line.endpoint for line in lines],
            data=[line.data for line in lines],
        )
    return ids


async def _load(_tenant: TenantConnection, _keys: Sequence[object]) -> dict[object, _Line]:
    return {}  # each is new


async def _save(tenant: TenantConnection, lines: Mapping[object, tuple[_Line | None, _Line]]) -> None:
    await _write(tenant, [line for _, line in lines.values()])


OUTBOX = Kind(_load, _save)
"""What handlers tell, each under a key of its own."""
