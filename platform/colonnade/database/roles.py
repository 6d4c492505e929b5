"""Roles by duty. None of the service's owns a table or may bypass row-level security.

`owner` runs migrations. `ingest` may insert into the inbox and cannot read it back. `worker` claims the inbox. `app`
serves one tenant's requests. `platform` serves the platform team's. Tenant tables open for the last three only through
the setting `colonnade.tenant`. The service logs in as a member of them that inherits nothing: each connection says its
duty, and one that says none acts as `app`.
"""

from enum import StrEnum
from urllib.parse import unquote, urlsplit

import asyncpg

SERVICE_LOGIN = "colonnade_service"
LOCK = 0x636F6C6F6E  # "colon": any number, the same in every process


class Duty(StrEnum):
    """What a connection is for; its value is the name of the role."""

    OWNER = "colonnade_owner"
    INGEST = "colonnade_ingest"
    WORKER = "colonnade_worker"
    APP = "colonnade_app"
    PLATFORM = "colonnade_platform"


SERVICE_DUTIES = (Duty.INGEST, Duty.WORKER, Duty.APP, Duty.PLATFORM)


class RolesMissing(Exception):
    """The login may not create the roles; the database administrator has to run `statements` once."""

    def __init__(self, statements: list[str]) -> None:
        super().__init__("the database lacks Colonnade's roles, and this login may not create them")
        self.statements = statements


class UnsafeLogin(Exception):
    """The service's login could bypass row-level security."""


def quote(name: str) -> str:
    """*name* as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def service_login(url: str | None) -> tuple[str, str | None]:
    """The user and password that the service will log in with, from its database URL."""
    parts = urlsplit(url or "")
    return unquote(parts.username or SERVICE_LOGIN), parts.password and unquote(parts.password)


def statements(database: str, existing: set[str], login: str, password: str | None, admin: str) -> list[str]:
    """The SQL that is still needed so that *admin* can migrate and *login* can serve."""
    wanted = [role for role in Duty if role not in existing]
    sql = [f"CREATE ROLE {quote(role)} NOLOGIN NOBYPASSRLS" for role in wanted]
    if login not in existing:
        secret = f" PASSWORD {_literal(password)}" if password else ""
        sql.append(f"CREATE ROLE {quote(login)} LOGIN NOINHERIT NOBYPASSRLS{secret}")
    sql.append(f"GRANT {', '.join(map(quote, SERVICE_DUTIES))} TO {quote(login)}")
    sql.append(f"ALTER ROLE {quote(login)} SET role = {quote(Duty.APP)}")
    sql.append(f"GRANT {quote(Duty.OWNER)} TO {quote(admin)}")
    sql.append(f"GRANT CONNECT ON DATABASE {quote(database)} TO {quote(login)}")
    sql.append(f"GRANT CREATE, USAGE ON SCHEMA public TO {quote(Duty.OWNER)}")
    sql.append(f"GRANT USAGE ON SCHEMA public TO {', '.join(map(quote, SERVICE_DUTIES))}")
    return sql


# Having the ADMIN option on a role, as its creator does, makes a member of it that may not yet act as it: hence SET.
_READY = """
select pg_has_role(current_user, $1, 'SET')
   and has_schema_privilege($1, 'public', 'CREATE')
   and has_database_privilege($2, current_database(), 'CONNECT')
   and exists (select from pg_roles where rolname = $2 and 'role=' || $3 = any (rolconfig))
   and (select bool_and(pg_has_role($2, duty, 'SET') and has_schema_privilege(duty, 'public', 'USAGE'))
        from unnest($4::text[]) duty)
"""


async def _existing(connection: asyncpg.Connection) -> set[str]:
    return {row["rolname"] for row in await connection.fetch("select rolname from pg_roles")}


async def _ready(connection: asyncpg.Connection, login: str) -> bool:
    if not {*Duty, login} <= await _existing(connection):
        return False
    ready: bool = await connection.fetchval(_READY, Duty.OWNER, login, Duty.APP, list(SERVICE_DUTIES))
    return ready


async def ensure_roles(connection: asyncpg.Connection, service_url: str | None) -> bool:
    """Create the roles that are missing; whether there was anything to do. Raises `RolesMissing`."""
    login, password = service_login(service_url)
    admin = await connection.fetchval("select current_user")
    if admin == login or service_url is None:
        login, password = SERVICE_LOGIN, None
    if await _ready(connection, login):
        return False
    async with connection.transaction():
        await connection.execute(f"select pg_advisory_xact_lock({LOCK})")
        existing = await _existing(connection)
        database = await connection.fetchval("select current_database()")
        try:
            for statement in statements(database, existing, login, password, admin):
                await connection.execute(statement)
            refused = not await _ready(connection, login)  # a GRANT without the right to it may only warn
        except asyncpg.InsufficientPrivilegeError:
            refused = True
        if refused:
            raise RolesMissing(statements(database, existing, login, None, admin))
    return True


# These reach the server's own files, and so every row.
_SERVER_ROLES = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files")
_BYPASS = """
select rolname from pg_roles
where pg_has_role(session_user, oid, 'MEMBER') and (rolsuper or rolbypassrls or rolname = any ($1))
"""
_DUTIES = "select duty from unnest($1::text[]) duty where not pg_has_role(session_user, duty, 'SET')"


async def check_login(connection: asyncpg.Connection) -> None:
    """Refuse to serve with a login that could read across tenants. Raises `UnsafeLogin`."""
    login = await connection.fetchval("select session_user::text")
    bypassing = [row["rolname"] for row in await connection.fetch(_BYPASS, [Duty.OWNER, *_SERVER_ROLES])]
    if bypassing:
        raise UnsafeLogin(
            f"COLONNADE_DATABASE_URL logs in as {login!r}, which could bypass row-level security as "
            f"{', '.join(sorted(bypassing))}; use the login that `colonnade migrate` made ({SERVICE_LOGIN!r})"
        )
    lacking = [row["duty"] for row in await connection.fetch(_DUTIES, list(SERVICE_DUTIES))]
    if lacking:
        raise UnsafeLogin(f"COLONNADE_DATABASE_URL logs in as {login!r}, which lacks {', '.join(lacking)}")
