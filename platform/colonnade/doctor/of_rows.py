"""Check of row-level security: nothing in the database lets one tenant's rows out to another.

Somebody may have changed it by hand, as its superuser: each finding has the SQL that takes that back.
"""

from typing import NamedTuple

from colonnade.database.roles import SERVICE_DUTIES
from colonnade.doctor.place import Place, Said

# Whether a table without a column `tenant_id` belongs to tenants is for the code's own tests.
_UNPROTECTED = """
select quote_ident(t.relname) from pg_class t
where t.relnamespace = 'public'::regnamespace and t.relkind in ('r', 'p')
  and (t.relname = 'tenants' or exists (
      select from pg_attribute where attrelid = t.oid and attname = 'tenant_id' and not attisdropped))
  and not (t.relrowsecurity and t.relforcerowsecurity and exists (select from pg_policy where polrelid = t.oid))
order by 1
"""
# Nothing but this one policy lets the role that serves tenants, or everybody, reach a tenant's rows.
_LEAKS = """
select distinct polrelid::regclass::text, quote_ident(polname) from pg_policy
where polpermissive and (0 = any (polroles) or 'colonnade_app'::regrole = any (polroles)) and not (
    polname = 'tenant_isolation' and pg_get_expr(polqual, polrelid) like '(%id = %colonnade.tenant%'
    and pg_get_expr(polqual, polrelid) = pg_get_expr(polwithcheck, polrelid)
    and pg_get_expr(polqual, polrelid) not like '% OR %')
order by 1, 2
"""
# A view reads with its owner's rights: a superuser's goes past the policies. A materialized one has none at all. Views
# of views are followed.
_VIEWS = f"""
with recursive reads as (
    select distinct r.ev_class as view, d.refobjid as of from pg_rewrite r
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
    where d.refobjid <> r.ev_class
), deep as (
    select view, of from reads union select deep.view, reads.of from deep join reads on reads.view = deep.of
)
select distinct v.oid::regclass::text, v.relkind::text from deep
join pg_class v on v.oid = deep.view join pg_class t on t.oid = deep.of
where v.relkind in ('v', 'm') and t.relrowsecurity
  and not (v.relkind = 'v' and coalesce(v.reloptions::text[] && '{{security_invoker=true,security_invoker=on}}', false))
  and ({" or ".join(f"has_any_column_privilege('{duty}', v.oid, 'select')" for duty in SERVICE_DUTIES)})
order by 1
"""  # noqa: S608 - our own words
# No migration makes one.
_DEFINERS = f"""
select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.prosecdef and n.nspname not in ('pg_catalog', 'information_schema')
  and not exists (select from pg_depend where classid = 'pg_proc'::regclass and objid = p.oid and deptype = 'e')
  and ({" or ".join(f"has_function_privilege('{duty}', p.oid, 'execute')" for duty in SERVICE_DUTIES)})
order by 1
"""  # noqa: S608 - our own words
_KINDS = {"v": "VIEW", "m": "MATERIALIZED VIEW"}


class _Hole(NamedTuple):
    """What *query* finds is *problem*; *cure* is the SQL for a row of it."""

    query: str
    problem: str
    cure: str


_HOLES = (
    _Hole(
        _UNPROTECTED,
        "row-level security is not forced, or without a policy, on",
        "ALTER TABLE {0} ENABLE ROW LEVEL SECURITY; ALTER TABLE {0} FORCE ROW LEVEL SECURITY;",
    ),
    _Hole(_LEAKS, "policies that are not ours let tenants' rows out:", "DROP POLICY {1} ON {0};"),
    _Hole(_VIEWS, "a view shows tenants' rows with its owner's rights:", "DROP {1} {0};"),
    _Hole(_DEFINERS, "a function that our roles may call has its owner's rights:", "DROP FUNCTION {0};"),
)


async def row_security(place: Place) -> list[Said]:
    """Row-level security is on, and forced, wherever there is a tenant's row, and nothing goes round it."""
    said = []
    async with place.connection() as connection:
        for hole in _HOLES:
            if rows := await connection.fetch(hole.query):
                names = ", ".join(" ".join(part for part in row if part not in _KINDS) for row in rows)
                sql = " ".join(hole.cure.format(*[_KINDS.get(part, part) for part in row]) for row in rows)
                said.append(Said(f"{hole.problem} {names}", f"As the database's administrator, at once: `{sql}`"))
    return said
