"""Which database the settings mean: the one they name, or the embedded server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from colonnade.database.embedded import EmbeddedPostgres
from colonnade.database.roles import SERVICE_LOGIN
from colonnade.settings import Settings


class DatabaseUrls(NamedTuple):
    """`service`: what `serve` and `worker` log in with. `admin`: what `migrate` logs in with."""

    service: str
    admin: str


@contextmanager
def open_database(settings: Settings, notice: Callable[[str], None] = lambda _line: None) -> Iterator[DatabaseUrls]:
    """The database's URLs; while the block runs, the embedded server does too where none is named."""
    if settings.database_url is not None:
        yield DatabaseUrls(settings.database_url, settings.migration_database_url or settings.database_url)
        return
    with EmbeddedPostgres(Path(settings.data_dir), notice) as server:
        yield DatabaseUrls(server.url(SERVICE_LOGIN, "postgres"), server.url("postgres", "postgres"))
