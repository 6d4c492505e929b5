"""Row-level security and hash partitions as SQL, for migrations. Changing a function here changes no database: write a
new migration."""

from collections.abc import Iterable, Iterator

from colonnade.database.roles import Duty
from colonnade_tenants.partition import PARTITIONS

# Without nullif the setting reads '' after a transaction that made it, and the next query fails on the cast.
CURRENT_TENANT = "nullif(current_setting('colonnade.tenant', true), '')::bigint"

_TENANT_DUTIES = (Duty.APP, Duty.WORKER, Duty.PLATFORM)


def protect(table: str, column: str = "tenant_id") -> Iterator[str]:
    """Confine every role, the owner too, to the rows of the tenant that the transaction is set to."""
    own = f"{column} = {CURRENT_TENANT}"
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
    yield f"CREATE POLICY tenant_isolation ON {table} USING ({own}) WITH CHECK ({own})"


def across_tenants(table: str, command: str, duty: Duty) -> Iterator[str]:
    """Let *duty* reach all rows of a platform table by *command* (SELECT, INSERT, … or ALL)."""
    checks = {"SELECT": "USING (true)", "DELETE": "USING (true)", "INSERT": "WITH CHECK (true)"}
    yield (
        f"CREATE POLICY {duty.name.lower()}_{command.lower()} ON {table} FOR {command} TO {duty} "
        f"{checks.get(command, 'USING (true) WITH CHECK (true)')}"
    )


def grant(table: str, commands: str, duties: Iterable[Duty]) -> Iterator[str]:
    """Let *duties* run *commands* on the table, where policies allow the row."""
    yield f"GRANT {commands} ON {table} TO {', '.join(duties)}"


def partition(table: str) -> Iterator[str]:
    """The hash partitions of a tenant table, its policies, and what the service's roles may do.

    A partition carries the policy too, though nobody is granted a partition by name.
    """
    yield from protect(table)
    for number in range(PARTITIONS):
        name = f"{table}_p{number:02}"
        yield (f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})")
        yield from protect(name)
    yield from grant(table, "SELECT, INSERT, UPDATE, DELETE", _TENANT_DUTIES)
