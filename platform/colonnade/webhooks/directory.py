"""What the platform knows of accounts and Stripe objects, for `attribute`, and how it learns more."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import asyncpg
from sqlalchemy import ARRAY, Text, func, select
from sqlalchemy import bindparam as bind
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.tables import stripe_objects
from colonnade.webhooks.attribute import Known
from colonnade.webhooks.clues import Clue
from colonnade_tenants.partition import TENANT, Kind, Statement, TenantConnection

# One round trip for a whole batch of events. Who was invited may have no account for months: one is expected within an
# hour of the tenant's creation, or of the departure to Stripe's consent page, which is open so long (`oauth.LIFETIME`).
_LOOK_UP = """
with found as (
    select 'account' as kind, stripe_account as key, id as tenant_id from tenants where stripe_account = any($1)
    union all
    select 'object', id, tenant_id from stripe_objects where id = any($2)
    union all
    select 'tenant', public_id, id from tenants where public_id = any($3)
    union all
    select 'plan', id, tenant_id from plan_objects where id = any($4)
    union all
    select 'creating', null, min(id) from tenants
    where stripe_account is null and removal is null and updated_at > now() - interval '1 hour' having count(*) > 0
    union all
    select 'former', account, tenant_id from former_accounts where account = any($1)
    union all
    select 'removed', encode(digest, 'hex'), tenant_id from removed_objects where digest = any($5)
)
select kind, key, tenant_id, public_id from found join tenants on id = tenant_id
"""
_REGISTER = Statement(
    insert(stripe_objects)
    .from_select(
        ["id", "tenant_id"],
        select(func.unnest(bind("ids", type_=ARRAY(Text))), TENANT),
    )
    .on_conflict_do_nothing()
)


def digest(key: str) -> bytes:
    """What a removed object is known by: enough to know it again, and no more."""
    return hashlib.sha256(key.encode()).digest()


async def look_up(connection: asyncpg.Connection, clues: Iterable[Clue]) -> Known:
    """What is known of *clues* now."""
    keys: dict[str, set[str]] = {"account": set(), "object": set(), "tenant": set(), "plan": set()}
    for clue in clues:
        keys[clue.kind].add(clue.key)
    digests = {digest(key): key for kind in ("account", "object") for key in keys[kind]}
    known = Known({}, {}, {})
    for kind, key, tenant_id, name in await connection.fetch(_LOOK_UP, *map(list, keys.values()), list(digests)):
        if kind == "removed":
            known.removed[digests[bytes.fromhex(key)]] = tenant_id
            continue
        known.names[tenant_id] = name
        if kind == "creating":
            known.creating = True
        elif kind == "plan":
            known.plan.setdefault(key, set()).add(tenant_id)
        else:
            getattr(known, kind)[key] = tenant_id
    return known


async def register(tenant: TenantConnection, objects: Iterable[str]) -> None:
    """Note that *objects* are the tenant's: a later event of one that says less of itself is then attributed by it."""
    for key in objects:
        await tenant.put(_OBJECTS, key, tenant.tenant_id, None)


async def _look_up_again(_tenant: TenantConnection, _keys: Sequence[str]) -> dict[str, int]:
    raise NotImplementedError("Objects are looked up across tenants, by `look_up`.")


async def _register(tenant: TenantConnection, objects: Mapping[str, object]) -> None:
    await tenant.execute(_REGISTER, ids=sorted(objects))


_OBJECTS: Kind[str, int] = Kind(_look_up_again, _register)
