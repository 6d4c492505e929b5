"""What every test may ask for: a real PostgreSQL, migrated by `colonnade.database.migrate.upgrade`.

    database           a fresh database for one test, dropped after it
    shared_database    one for all tests of a module, for those that leave it as they found it
    template           the migrated database that both are copied from; nothing may connect to it
    server             a superuser's URL of the server

The first test that asks starts the embedded server in `FOLDER`. Every pytest process of this checkout uses that one;
the last to leave stops and removes it, along with what a killed run left. `COLONNADE_TEST_DATABASE_URL`, a superuser's
URL, names another server: one for tests only, since Colonnade's roles are made in it and stay.

Fixtures that outlive a test are synchronous, because every test has an event loop of its own.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import hypothesis
import pytest

from colonnade.database import migrate
from colonnade.database.embedded import EmbeddedPostgres
from colonnade.database.roles import SERVICE_LOGIN
from colonnade.database.server_files import locked

# On a busy machine a test that takes long is not wrong.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")

ROOT = Path(__file__).parents[1]
MEMORY = Path("/dev/shm")  # noqa: S108  # where Linux has it, databases in memory are made three times as fast
ROOM = 4 << 30  # bytes; a container's may be far smaller
IN_MEMORY = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
PARENT = MEMORY if IN_MEMORY else Path(tempfile.gettempdir())
FOLDER = PARENT / f"colonnade-tests-{os.geteuid()}{str(ROOT).replace(os.sep, '-')}"
SERVICE_PASSWORD = "only-for-tests"
# Nothing here has to survive a crash, and autovacuum would keep the template from being copied.
QUICK = ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "autovacuum = off")


class ScratchDatabase(NamedTuple):
    """`admin_url` logs in as a superuser, `service_url` as what `serve` and `worker` log in with."""

    name: str
    admin_url: str
    service_url: str


def database_named(server: str, name: str) -> ScratchDatabase:
    admin = urlsplit(server)._replace(path=f"/{name}")
    host = admin.netloc.rpartition("@")[2]
    service = admin._replace(netloc=f"{SERVICE_LOGIN}:{SERVICE_PASSWORD}@{host}")
    return ScratchDatabase(name, admin.geturl(), service.geturl())


def run_sql(url: str, *statements: str) -> None:
    """Each statement in a transaction of its own, which CREATE DATABASE needs."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


@contextmanager
def new_database(server: str, template: str) -> Iterator[ScratchDatabase]:
    """A copy of *template*, dropped at the end of the block."""
    name = f"colonnade_test_{secrets.token_hex(6)}"
    run_sql(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield database_named(server, name)
    finally:
        run_sql(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def exclusive() -> Callable[[], AbstractContextManager[None]]:
    """A block that no other pytest process of this checkout is in."""
    FOLDER.mkdir(exist_ok=True)
    if FOLDER.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{FOLDER} belongs to another user: remove it")
    FOLDER.chmod(0o755)  # where root may not make a user namespace, the server is another user and has to get in
    return lambda: locked(FOLDER / "lock")


@pytest.fixture(scope="session")
def server(exclusive: Callable[[], AbstractContextManager[None]]) -> Iterator[str]:
    # Popped, because it is no setting: the service's own processes would refuse it.
    if url := os.environ.pop("COLONNADE_TEST_DATABASE_URL", None):
        yield url
        return
    embedded = EmbeddedPostgres(FOLDER)
    with exclusive():
        embedded.start()
        url = embedded.url("postgres", "postgres")
        run_sql(url, *(f"ALTER SYSTEM SET {setting}" for setting in QUICK), "SELECT pg_reload_conf()")
    yield url
    with exclusive():
        embedded.stop()
        if not (FOLDER / "postgres/data/postmaster.pid").exists():
            shutil.rmtree(FOLDER / "postgres")


@pytest.fixture(scope="session")
def template(server: str, exclusive: Callable[[], AbstractContextManager[None]]) -> Iterator[str]:
    with new_database(server, "template0") as database:
        with exclusive():  # roles belong to the whole server, so that two processes must not make them at once
            asyncio.run(migrate.upgrade(database.admin_url, database.service_url))
        yield database.name


@pytest.fixture
def database(server: str, template: str) -> Iterator[ScratchDatabase]:
    with new_database(server, template) as database:
        yield database


@pytest.fixture(scope="module")
def shared_database(server: str, template: str) -> Iterator[ScratchDatabase]:
    with new_database(server, template) as database:
        yield database
