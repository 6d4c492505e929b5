"""Giving recorded notifications their places in the tenant's stream, and queueing them for the endpoints.

Recording is concurrent, so that ids say nothing about which notification was committed first: a reader that remembers
the last id it saw would miss one that commits late. Places are given afterwards, one transaction at a time for each
tenant, to what is committed: whoever remembers a place misses nothing. Those of one customer were recorded one after
the other, under that customer's lock, and keep their order.
"""

from sqlalchemy import text

from colonnade_tenants.partition import Statement, TenantConnection

BATCH = 500
KEPT_DAYS = 30
"""Days that a notification, its deliveries and their log are kept."""
STREAM = "colonnade_stream"
"""The channel on which the places' tenants are said: the internal id."""

PLACES = -1
"""The counter of the places, beside those of the subjects."""
_LOCK = Statement(
    text(f"""
insert into notification_counters as c (tenant_id, subject, number) values (:tenant, {PLACES}, 0)
on conflict (tenant_id, subject) do update set number = c.number
returning number
""")  # noqa: S608 - only our own number is put in
)
_PUBLISH = Statement(
    text(f"""
with chosen as materialized (
    select id, row_number() over (order by id) as rank from (
        select id from notifications where tenant_id = :tenant and position is null order by id limit {BATCH}
    ) waiting
), placed as (
    update notifications n set position = cast(:last as bigint) + chosen.rank
    from chosen where n.tenant_id = :tenant and n.id = chosen.id
    returning n.id, n.type, n.subject, n.endpoint, n.position
), advanced as (
    update notification_counters set number = cast(:last as bigint) + (select count(*) from chosen)
    where tenant_id = :tenant and subject = {PLACES}
), wanted as (
    select * from json_to_recordset(cast(:endpoints as json)) as e (id bigint, types text[])
), queued as (
    insert into notification_deliveries (tenant_id, endpoint, notification, subject, position)
    select :tenant, wanted.id, placed.id, placed.subject, placed.position
    from placed join wanted on coalesce(
        placed.endpoint = wanted.id, cardinality(wanted.types) = 0 or placed.type = any (wanted.types)
    )
    returning endpoint
)
select (select count(*) from chosen) as published, array(select distinct endpoint from queued) as endpoints
""")  # noqa: S608
)
_ANNOUNCE = Statement(text(f"select pg_notify('{STREAM}', cast(cast(:tenant as bigint) as text))"))
_PRUNE = Statement(
    text(f"""
delete from notifications where tenant_id = :tenant and id = any (array(
    select id from notifications
    where tenant_id = :tenant and position is not null and created_at < now() - interval '{KEPT_DAYS} days'
        and position <= (select min(position) from notifications where tenant_id = :tenant) + {BATCH}
))
""")  # noqa: S608
)


async def publish(tenant: TenantConnection, endpoints: str) -> tuple[int, list[int]]:
    """Place a batch of what is recorded; how many (fewer than `BATCH`: all), and the endpoints it is for.

    *endpoints*: a JSON list of `{id, types}`, those that are enabled; no types: all.
    """
    row = await tenant.fetch_one(_LOCK)
    last = row["number"] if row else 0
    found = await tenant.fetch_one(_PUBLISH, last=last, endpoints=endpoints)
    if found is None or not found["published"]:
        return 0, []
    await tenant.fetch(_ANNOUNCE)
    await tenant.execute(_PRUNE)
    return found["published"], sorted(found["endpoints"])
