"""What PostgreSQL's catalogue says of the tables, and `faults`: what of it would let tenants mix."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import asyncpg

from colonnade.database.roles import SERVICE_DUTIES, SERVICE_LOGIN, Duty
from colonnade_tenants.partition import PARTITIONS

from .expected import AS_ONE_TENANT, COMMON_TABLES, PLATFORM_TABLES, TENANT_IS_SET, Access

_TABLES = """
select t.relname::text as name, t.relkind::text as kind, t.relispartition as is_partition,
       t.relrowsecurity as enabled, t.relforcerowsecurity as forced, t.relowner::regrole::text as owner,
       case when t.relname = 'tenants' then 'id'
            else (select 'tenant_id' from pg_attribute
                  where attrelid = t.oid and attname = 'tenant_id' and not attisdropped) end as tenant_column,
       (select count(*) from pg_inherits where inhparent = t.oid) as partitions
from pg_class t where t.relnamespace = 'public'::regnamespace and t.relkind in ('r', 'p', 'v', 'm', 'f')
order by 1
"""
_POLICIES = """
select tablename::text as table, policyname::text as name, permissive, cmd as command, roles::text[], qual, with_check
from pg_policies order by 1, 2
"""
_GRANTS = """
select t.relname::text as table, coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC') as grantee,
       a.privilege_type as command
from pg_class t cross join lateral (
    select * from aclexplode(t.relacl)
    union all select x.* from pg_attribute, aclexplode(attacl) x where attrelid = t.oid
) a
where t.relnamespace = 'public'::regnamespace and t.relkind in ('r', 'p', 'v', 'm', 'f') and a.grantee <> t.relowner
"""
_KEYS = """
select c.conname::text as name, c.conrelid::regclass::text as table, a.attname::text as first, f.attname::text as refers
from pg_constraint c join pg_class t on t.oid = c.conrelid and (t.relkind = 'p' or t.relispartition)
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
left join pg_attribute f on f.attrelid = c.confrelid and f.attnum = c.confkey[1]
where t.relnamespace = 'public'::regnamespace and c.contype in ('p', 'u', 'f', 'x')
union all
select i.indexrelid::regclass::text, i.indrelid::regclass::text, coalesce(a.attname::text, '(expression)'), null
from pg_index i join pg_class t on t.oid = i.indrelid and (t.relkind = 'p' or t.relispartition)
left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
where t.relnamespace = 'public'::regnamespace and i.indisunique
  and not exists (select from pg_constraint where conindid = i.indexrelid)
"""
_ROLES = """
select rolname::text as name, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication as powerful,
       pg_has_role(oid, $2, 'MEMBER') as is_owner,
       exists (select from pg_shdepend d where d.refobjid = r.oid and d.deptype = 'o') as owns
from pg_roles r where rolname = any ($1) order by 1
"""
_DEFINERS = "select proname::text as name from pg_proc where prosecdef and pronamespace = 'public'::regnamespace"


Named = Mapping[tuple[str, ...], object]


class Table(NamedTuple):
    """A table, view or partition of the schema `public`."""

    name: str
    kind: str
    is_partition: bool
    enabled: bool
    forced: bool
    owner: str
    tenant_column: str | None
    partitions: int

    @property
    def access(self) -> Mapping[Duty, Access]:
        if self.is_partition:
            return {}
        if self.kind == "p":
            return AS_ONE_TENANT
        return PLATFORM_TABLES.get(self.name) or COMMON_TABLES.get(self.name) or {}


async def tables(connection: asyncpg.Connection) -> list[Table]:
    return [Table(*row.values()) for row in await connection.fetch(_TABLES)]


async def faults(connection: asyncpg.Connection) -> list[str]:
    """Everything in the catalogue that would let tenants mix, or that `expected` does not know of."""
    found = await tables(connection)
    policies: Named = {(row["table"], row["name"]): dict(row) for row in await connection.fetch(_POLICIES)}
    grants = {tuple(row.values()) for row in await connection.fetch(_GRANTS)}
    return [
        *(fault for table in found for fault in _table_faults(table)),
        *_differences("policy", _expected_policies(found), policies),
        *_differences("grant", dict.fromkeys(_expected_grants(found)), dict.fromkeys(grants)),
        *await _key_faults(connection),
        *await _role_faults(connection),
    ]


def _table_faults(table: Table) -> Iterator[str]:
    if table.kind not in ("r", "p"):
        yield f"{table.name}: a view or foreign table, which these checks do not know"
    if table.owner != Duty.OWNER:
        yield f"{table.name}: belongs to {table.owner}"
    if table.tenant_column is None:
        if table.name not in COMMON_TABLES:
            yield f"{table.name}: has no tenant_id, and COMMON_TABLES does not name it"
        return
    if not table.enabled:
        yield f"{table.name}: row-level security is not enabled"
    if not table.forced:
        yield f"{table.name}: row-level security is not forced"
    if table.kind == "p" and table.partitions != PARTITIONS:
        yield f"{table.name}: has {table.partitions} partitions"
    if table.kind == "r" and not table.is_partition and table.name not in PLATFORM_TABLES:
        yield f"{table.name}: neither partitioned nor named by PLATFORM_TABLES"


def _expected_policies(found: list[Table]) -> dict[tuple[str, ...], dict[str, object]]:
    policies = []
    for table in found:
        if table.tenant_column is None:
            continue
        own = TENANT_IS_SET.format(column=table.tenant_column)
        policies.append(_policy(table.name, "tenant_isolation", "ALL", "public", own, own))
        for duty, access in table.access.items():
            if access.across:
                using = None if access.across == "INSERT" else "true"
                check = None if access.across in ("SELECT", "DELETE") else "true"
                name = f"{duty.name}_{access.across}".lower()
                policies.append(_policy(table.name, name, access.across, str(duty), using, check))
    return {(str(policy["table"]), str(policy["name"])): policy for policy in policies}


def _policy(table: str, name: str, command: str, role: str, using: str | None, check: str | None) -> dict[str, object]:
    return {
        "table": table,
        "name": name,
        "permissive": "PERMISSIVE",
        "command": command,
        "roles": [role],
        "qual": using,
        "with_check": check,
    }


def _expected_grants(found: list[Table]) -> Iterator[tuple[str, str, str]]:
    for table in found:
        for duty, access in table.access.items():
            yield from ((table.name, str(duty), command) for command in sorted(access.granted))


def _differences(kind: str, expected: Named, found: Named) -> Iterator[str]:
    for key in sorted(expected.keys() | found.keys()):
        name = f"{key[0]}: {kind} {' '.join(key[1:])}"
        if key not in found:
            yield f"{name} is missing"
        elif key not in expected:
            yield f"{name} is not expected"
        elif expected[key] != found[key]:
            yield f"{name} says {found[key]}"


async def _key_faults(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(_KEYS)
    return [
        f"{row['table']}: {row['name']} does not begin with tenant_id"
        for row in rows
        if row["first"] != "tenant_id" or row["refers"] not in (None, "tenant_id")
    ]


async def _role_faults(connection: asyncpg.Connection) -> list[str]:
    service = [SERVICE_LOGIN, *SERVICE_DUTIES]
    rows = await connection.fetch(_ROLES, service, Duty.OWNER)
    definers = await connection.fetch(_DEFINERS)
    return [
        *(f"{name}: role is missing" for name in sorted(set(service) - {row["name"] for row in rows})),
        *(f"{row['name']}: has powers of its own" for row in rows if row["powerful"]),
        *(f"{row['name']}: is a member of {Duty.OWNER}" for row in rows if row["is_owner"]),
        *(f"{row['name']}: owns something" for row in rows if row["owns"]),
        *(f"{row['name']}: runs as its owner (SECURITY DEFINER)" for row in definers),
    ]
