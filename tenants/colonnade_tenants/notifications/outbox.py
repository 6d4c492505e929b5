"""Recording what a tenant is to be told, in the transaction of the change itself: both are committed, or neither.

The body is made here and never again, so that what is delivered days later still says what was so at the change.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from sqlalchemy import text

from colonnade_tenants.ids import new_id
from colonnade_tenants.partition import Statement, TenantConnection

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


class _Line(Struct):
    place: int
    id: str
    type: str
    subject: int
    endpoint: int | None
    data: Struct


# The counters' rows are locked in the order of the subjects, and until the commit: numbers follow the commits' order.
_RECORD = Statement(
    text(f"""
with given as materialized (
    select * from json_to_recordset(cast(:notes as json))
        as g (place int, id text, type text, subject bigint, endpoint bigint, data json)
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
select :tenant, n.id, n.type, n.subject, n.endpoint, cast(json_build_object(
    'type', n.type, 'id', n.id,
    'timestamp', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'number', n.number,
    'customer', case when c.id is not null then json_build_object('id', c.public_id, 'reference', c.reference) end,
    'data', n.data
) as text)
from numbered n left join customers c on c.tenant_id = :tenant and c.id = n.subject
order by n.place
""")  # noqa: S608 - only our own name is put in
)


async def record(tenant: TenantConnection, notes: Sequence[Note]) -> list[str]:
    """Tell the tenant of *notes* once this transaction is committed; their public ids (`ntf_…`).

    The caller has locked the customers that they are about, so that their order is the order of the changes.
    """
    if not notes:
        return []
    lines = [
        _Line(place, new_id("ntf"), note.type, note.subject, note.endpoint, note.data)
        for place, note in enumerate(notes)
    ]
    await tenant.execute(_RECORD, notes=msgspec.json.encode(lines).decode())
    return [line.id for line in lines]
