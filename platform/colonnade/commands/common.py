"""What commands share: settings, the database, and failures as sentences.

A command imports what does its work when it runs: help and completion, which load them all, would else take seconds.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click
from click.exceptions import Exit
from rich.console import Console
from rich.table import Table

from colonnade import reaching
from colonnade.settings import Settings, SettingsError
from colonnade_tenants.errors import Invalid
from colonnade_tenants.times import require_moment


def note(line: str) -> None:
    """One line of progress, on standard error."""
    click.echo(line, err=True)


@contextmanager
def sentences() -> Iterator[None]:
    """Known failures end the command with their sentence and exit code 1, not with a traceback."""
    try:
        yield
    except (click.ClickException, click.Abort, Exit):
        raise
    except Exception as error:
        if not _said(error):
            raise
        sys.exit(1)


class Commands(click.RichGroup):
    """Commands whose known failures are sentences, wherever in them they happen."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        with sentences():
            return super().invoke(ctx)


def _said(error: Exception) -> bool:
    """Whether *error* is a known failure, which is then told."""
    from colonnade.database.revisions import StrangeSchema
    from colonnade.database.roles import RolesMissing, UnsafeLogin
    from colonnade.database.server_user import EmbeddedPostgresError
    from colonnade.demo.errors import DemoError
    from colonnade.errors import DomainError, StripeUnavailable

    if isinstance(error, RolesMissing):
        note(f"{error}. Have the database administrator run this once, and give the login of the service a password")
        note("(`\\password` in psql), then repeat the command:\n")
        click.echo("".join(f"{statement};\n" for statement in error.statements), nl=False)
    elif isinstance(error, StripeUnavailable):
        note(reaching.no_stripe(error))
    elif isinstance(error, DomainError):
        note(str(error) if error.param is None else f"{error.param}: {error}")
    elif isinstance(error, SettingsError | EmbeddedPostgresError | StrangeSchema | UnsafeLogin | DemoError):
        note(str(error))
    elif isinstance(error, OSError):
        note(f"Cannot go on: {error}")
    else:
        return False
    return True


class UtcTime(click.DateTime):
    """A time in UTC, in the years that `colonnade_tenants.times` says."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """A time that is out of bounds is a usage error, as one that cannot be read is."""
        try:
            return require_moment(super().convert(value, param, ctx).replace(tzinfo=UTC), None)
        except Invalid as error:
            self.fail(str(error), param, ctx)


def _file_or_none(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    return None if path == Path("-") else path


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
output_option = click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_file_or_none,
    help="Default, and `-`: standard output.",
)


def say_json(value: Any) -> None:
    """*value* as one line of JSON, on standard output."""
    click.echo(msgspec.json.encode(value).decode())


def say_table(table: Table) -> None:
    """*table* on standard output, as wide as its longest words: an id that was cut is of no use to another command.

    Where nobody's screen is the end, each row is a line.
    """
    console = Console()
    found = console.measure(table, options=console.options.update(width=10_000))
    width = found.minimum if console.is_terminal else found.maximum
    Console(width=max(console.width, width)).print(table)


def load(*needs: str) -> Settings:
    """The settings, with logging set up by them."""
    from colonnade.observability import configure_logging

    settings = Settings.load(os.environ, needs=needs)
    configure_logging(settings.log_level.upper(), settings.log_format)
    return settings


def check_reachable(database_url: str) -> None:
    """End the program where that database, or this login, cannot be used."""
    import asyncpg

    try:
        asyncio.run(reaching.reach(database_url))
    except (OSError, asyncpg.PostgresError) as error:
        note(reaching.no_database(database_url, error))
        sys.exit(1)


@contextmanager
def serving(*needs: str) -> Iterator[tuple[Settings, str]]:
    """The settings, and the URL of a database that is migrated and whose login is safe to serve with."""
    import asyncpg

    from colonnade.database.connections import verify
    from colonnade.database.locate import open_database

    settings = load(*needs)
    with open_database(settings, note) as urls:
        try:
            asyncio.run(verify(urls.service))
        except asyncpg.PostgresError as error:
            note(f"The database does not let the service in: {error}. If it is new, run `colonnade migrate` first.")
            sys.exit(1)
        except OSError as error:
            note(reaching.no_database(urls.service, error))
            sys.exit(1)
        yield settings, urls.service
