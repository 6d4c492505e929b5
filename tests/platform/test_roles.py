"""Who may make the roles, what the service's login may be, and what a database administrator is asked to run."""

import asyncio
import base64
import hashlib
import hmac
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote as url_quote
from urllib.parse import urlsplit

import asyncpg
import pytest

from colonnade.database import migrate
from colonnade.database.embedded import EmbeddedPostgres
from colonnade.database.revisions import Standing
from colonnade.database.roles import (
    SERVICE_DUTIES,
    SERVICE_LOGIN,
    Duty,
    RolesMissing,
    UnsafeLogin,
    check_login,
    ensure_roles,
    quote,
)

from ..conftest import new_database
from .schemas import standing_at

ODD = 'we"ird\'; DROP ROLE "postgres"; -- %s'
MADE = "select rolname::text from pg_roles where rolname !~ '^pg_' and rolname <> 'postgres' order by 1"
SERVICE = sorted([*Duty, SERVICE_LOGIN])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of this module's own: roles belong to a whole server, and here it must lack them."""
    folder = Path(tempfile.mkdtemp(prefix="colonnade-roles-"))
    folder.chmod(0o755)
    try:
        with EmbeddedPostgres(folder) as embedded:
            yield embedded.url("postgres", "postgres")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """A superuser's URL of an empty database; whatever roles the test makes go after it."""
    with new_database(server, "template0") as database:
        yield database.admin_url
    asyncio.run(_drop_roles(server))


async def _drop_roles(server: str) -> None:
    connection = await asyncpg.connect(server)
    for row in await connection.fetch(MADE):
        name = quote(row["rolname"])
        await connection.execute(f"REASSIGN OWNED BY {name} TO postgres; DROP OWNED BY {name}")
        await connection.execute(f"DROP ROLE {name}")
    await connection.close()


@pytest.fixture
async def superuser(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


def as_user(url: str, name: str) -> str:
    host = urlsplit(url).netloc.rpartition("@")[2]
    return urlsplit(url)._replace(netloc=f"{url_quote(name, safe='')}@{host}").geturl()


async def made(superuser: asyncpg.Connection) -> list[str]:
    return [row["rolname"] for row in await superuser.fetch(MADE)]


async def login(superuser: asyncpg.Connection, url: str, options: str, name: str = "admin") -> str:
    """The URL of a new login with *options*, and nothing else."""
    await superuser.execute(f"CREATE ROLE {quote(name)} LOGIN {options}")
    return as_user(url, name)


async def own_database(superuser: asyncpg.Connection, owner: str) -> None:
    database = await superuser.fetchval("select current_database()")
    await superuser.execute(f"ALTER DATABASE {database} OWNER TO {owner}")


async def checked(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await check_login(connection)
    finally:
        await connection.close()


async def test_a_superuser_makes_the_roles_once(url: str, superuser: asyncpg.Connection) -> None:
    assert await ensure_roles(superuser, None) is True
    assert await made(superuser) == SERVICE
    assert await ensure_roles(superuser, None) is False
    privileged = "select count(*) from pg_roles where rolname like 'colonnade%' and (rolsuper or rolbypassrls)"
    assert await superuser.fetchval(privileged) == 0


@pytest.mark.slow
async def test_two_first_upgrades_at_once_both_succeed(url: str, superuser: asyncpg.Connection) -> None:
    await asyncio.gather(migrate.upgrade(url, None), migrate.upgrade(url, None), migrate.upgrade(url, None))
    assert await standing_at(url) is Standing.CURRENT
    assert await made(superuser) == SERVICE


@pytest.mark.slow
async def test_an_owner_that_may_create_roles_migrates_by_itself(url: str, superuser: asyncpg.Connection) -> None:
    admin = await login(superuser, url, "CREATEROLE")
    await own_database(superuser, "admin")
    await migrate.upgrade(admin, None)
    assert await standing_at(admin) is Standing.CURRENT
    assert await migrate.ensure(admin, None) is False
    await checked(as_user(url, SERVICE_LOGIN))


@pytest.mark.slow
@pytest.mark.parametrize("options", ["CREATEROLE", "NOCREATEROLE"])
async def test_statements_of_the_error_are_what_is_missing(
    url: str, superuser: asyncpg.Connection, options: str
) -> None:
    admin = await login(superuser, url, options)
    with pytest.raises(RolesMissing) as caught:
        await migrate.upgrade(admin, None)
    assert await made(superuser) == ["admin"]
    assert await superuser.fetchval("select count(*) from pg_class where relnamespace = 'public'::regnamespace") == 0
    for statement in caught.value.statements:
        await superuser.execute(statement)
    assert await migrate.ensure(admin, None) is False
    await migrate.upgrade(admin, None)
    assert await standing_at(admin) is Standing.CURRENT
    await checked(as_user(url, SERVICE_LOGIN))


async def test_the_statements_are_exact(url: str, superuser: asyncpg.Connection) -> None:
    admin = await login(superuser, url, "NOCREATEROLE")
    database = urlsplit(url).path[1:]
    with pytest.raises(RolesMissing) as caught:
        await migrate.ensure(admin, None)
    assert caught.value.statements == [
        'CREATE ROLE "colonnade_owner" NOLOGIN NOBYPASSRLS',
        'CREATE ROLE "colonnade_ingest" NOLOGIN NOBYPASSRLS',
        'CREATE ROLE "colonnade_worker" NOLOGIN NOBYPASSRLS',
        'CREATE ROLE "colonnade_app" NOLOGIN NOBYPASSRLS',
        'CREATE ROLE "colonnade_platform" NOLOGIN NOBYPASSRLS',
        'CREATE ROLE "colonnade_service" LOGIN NOINHERIT NOBYPASSRLS',
        'GRANT "colonnade_ingest", "colonnade_worker", "colonnade_app", "colonnade_platform" TO "colonnade_service"',
        'ALTER ROLE "colonnade_service" SET role = "colonnade_app"',
        'GRANT "colonnade_owner" TO "admin"',
        f'GRANT CONNECT ON DATABASE "{database}" TO "colonnade_service"',
        'GRANT CREATE, USAGE ON SCHEMA public TO "colonnade_owner"',
        'GRANT USAGE ON SCHEMA public TO "colonnade_ingest", "colonnade_worker", "colonnade_app", "colonnade_platform"',
    ]


@pytest.mark.slow
async def test_roles_that_another_administrator_made_are_asked_for(url: str, superuser: asyncpg.Connection) -> None:
    await ensure_roles(superuser, None)
    admin = await login(superuser, url, "CREATEROLE")
    await own_database(superuser, "admin")
    with pytest.raises(RolesMissing) as caught:
        await migrate.ensure(admin, None)
    assert not [statement for statement in caught.value.statements if statement.startswith("CREATE")]
    for statement in caught.value.statements:
        await superuser.execute(statement)
    await migrate.upgrade(admin, None)
    assert await standing_at(admin) is Standing.CURRENT


@pytest.mark.parametrize(
    "taken",
    [
        'REVOKE "colonnade_worker" FROM "colonnade_service"',
        'ALTER ROLE "colonnade_service" RESET role',
        'REVOKE CREATE ON SCHEMA public FROM "colonnade_owner"',
        'REVOKE USAGE ON SCHEMA public FROM PUBLIC; REVOKE USAGE ON SCHEMA public FROM "colonnade_ingest"',
    ],
)
async def test_what_is_lost_is_granted_again(url: str, superuser: asyncpg.Connection, taken: str) -> None:
    await ensure_roles(superuser, None)
    await superuser.execute(taken)
    assert await ensure_roles(superuser, None) is True
    assert await ensure_roles(superuser, None) is False


async def test_the_password_is_set_and_never_shown(url: str, superuser: asyncpg.Connection) -> None:
    secret = 'it\'s %s \\ "secret"'
    netloc = f"svc:{url_quote(secret, safe='')}@"
    service = urlsplit(url)._replace(netloc=netloc).geturl()
    admin = await login(superuser, url, "NOCREATEROLE")
    with pytest.raises(RolesMissing) as caught:
        await migrate.ensure(admin, service)
    assert 'CREATE ROLE "svc" LOGIN NOINHERIT NOBYPASSRLS' in caught.value.statements
    shown = [*caught.value.statements, str(caught.value), repr(caught.value)]
    assert not [text for text in shown if "secret" in text or "PASSWORD" in text]

    assert await ensure_roles(superuser, service) is True
    stored = await superuser.fetchval("select rolpassword from pg_authid where rolname = 'svc'")
    assert belongs(stored, secret)
    assert not belongs(stored, secret + "x")


def belongs(verifier: str, password: str) -> bool:
    """Whether PostgreSQL made the SCRAM-SHA-256 *verifier* of *password* (RFC 5803)."""
    _, iterations_salt, keys = verifier.split("$")
    iterations, salt = iterations_salt.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return base64.b64encode(hashlib.sha256(client_key).digest()).decode() == keys.split(":")[0]


async def test_the_service_acts_as_app_unless_it_says_otherwise(url: str, superuser: asyncpg.Connection) -> None:
    await ensure_roles(superuser, None)
    connection = await asyncpg.connect(as_user(url, SERVICE_LOGIN))
    assert await connection.fetchval("select current_user") == Duty.APP
    await connection.execute("RESET ROLE")
    assert await connection.fetchval("select current_user") == Duty.APP
    await connection.close()


@pytest.mark.slow
async def test_a_login_with_an_odd_name_is_only_a_name(url: str, superuser: asyncpg.Connection) -> None:
    service = as_user(url, ODD)
    await migrate.upgrade(url, service)
    assert await made(superuser) == sorted([*Duty, ODD])
    await checked(service)
    connection = await asyncpg.connect(service)
    assert await connection.fetchval("select session_user::text || ' ' || current_user::text") == f"{ODD} {Duty.APP}"
    await connection.close()


@pytest.mark.slow
async def test_an_administrator_with_an_odd_name_migrates_too(url: str, superuser: asyncpg.Connection) -> None:
    admin = await login(superuser, url, "CREATEROLE", ODD)
    await own_database(superuser, quote(ODD))
    await migrate.upgrade(admin, None)
    assert await standing_at(admin) is Standing.CURRENT


async def test_the_service_login_is_accepted(url: str, superuser: asyncpg.Connection) -> None:
    await ensure_roles(superuser, None)
    await checked(as_user(url, SERVICE_LOGIN))


async def test_a_superuser_may_not_serve(url: str, superuser: asyncpg.Connection) -> None:
    await ensure_roles(superuser, None)
    with pytest.raises(UnsafeLogin, match="'postgres', which could bypass"):
        await check_login(superuser)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("ALTER ROLE colonnade_service BYPASSRLS", "bypass row-level security as colonnade_service"),
        ("GRANT colonnade_owner TO colonnade_service", "bypass row-level security as colonnade_owner"),
        ("GRANT colonnade_owner TO colonnade_app", "bypass row-level security as colonnade_owner"),
        ("GRANT postgres TO colonnade_service", "bypass row-level security as .*postgres"),
        ("ALTER ROLE colonnade_worker BYPASSRLS", "bypass row-level security as colonnade_worker"),
        ("GRANT pg_read_server_files TO colonnade_service", "bypass row-level security as pg_read_server_files"),
        (
            "REVOKE colonnade_worker, colonnade_ingest FROM colonnade_service",
            "lacks colonnade_ingest, colonnade_worker",
        ),
    ],
)
async def test_a_login_that_could_do_more_or_less_may_not_serve(
    url: str, superuser: asyncpg.Connection, change: str, reason: str
) -> None:
    await ensure_roles(superuser, None)
    await superuser.execute(change)
    with pytest.raises(UnsafeLogin, match=reason):
        await checked(as_user(url, SERVICE_LOGIN))


async def test_a_login_without_duties_may_not_serve(url: str, superuser: asyncpg.Connection) -> None:
    await ensure_roles(superuser, None)
    plain = await login(superuser, url, "", "plain")
    with pytest.raises(UnsafeLogin, match=f"'plain', which lacks {', '.join(SERVICE_DUTIES)}"):
        await checked(plain)
