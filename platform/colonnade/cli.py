"""The `colonnade` command. Each command's work lives elsewhere; here and in `commands` are its words and options."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import rich_click as click

from colonnade import __version__
from colonnade.commands import accounts as _accounts  # noqa: F401 - its commands are of the group `tenants`
from colonnade.commands import lifecycle as _lifecycle  # noqa: F401 - so are its
from colonnade.commands.common import Commands, check_reachable, load, note, serving
from colonnade.commands.completion import completion
from colonnade.commands.doctor import doctor
from colonnade.commands.events import events
from colonnade.commands.keys import keys
from colonnade.commands.portals import portals
from colonnade.commands.reencrypt import reencrypt
from colonnade.commands.sweep import sweep
from colonnade.commands.tenants import tenants
from colonnade.commands.webhooks import webhooks
from colonnade.settings import Settings, variable


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Colonnade: branded customer portals and entitlements for the tenants of a Stripe Connect platform."""


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if the database is not as this release makes it.")
@click.option("--roles", is_flag=True, help="Create the roles alone: what a dump is restored into needs them.")
def migrate(check: bool, roles: bool) -> None:
    """Create the database roles and run all migrations."""
    from colonnade.database.locate import open_database
    from colonnade.database.migrate import ensure, upgrade
    from colonnade.database.revisions import Standing

    with open_database(load(), note) as urls:
        check_reachable(urls.admin)
        service = urls.service if urls.service != urls.admin else None
        if check:
            sys.exit(_check_database(urls.admin))
        if roles:
            made = asyncio.run(ensure(urls.admin, service))
            note("The roles are made." if made else "The roles were there.")
            return
        before = asyncio.run(upgrade(urls.admin, service))
        newer = before.standing is Standing.NEWER
        note(f"{before.sentence} It is left as it is." if newer else "The database is at the newest migration.")


def _check_database(url: str) -> int:
    """The exit code; what differs is said, a line for each table's difference."""
    from colonnade.database.migrate import compare
    from colonnade.database.revisions import Standing

    schema, differences = asyncio.run(compare(url))
    for each in differences:
        click.echo(each)
    cure = " Run `colonnade migrate`." if schema.standing is Standing.PENDING else ""
    points = "1 point" if len(differences) == 1 else f"{len(differences)} points"
    note(f"The tables differ from this release's in {points}." if differences else f"{schema.sentence}{cure}")
    return 0 if schema.standing is Standing.CURRENT and not differences else 1


@main.command()
def serve() -> None:
    """Serve the API, the browser routes and the webhook endpoints."""
    from colonnade.server import run

    _check_tracing()
    with serving("stripe_api_key") as (settings, database_url):
        for field in ("stripe_platform_webhook_secrets", "stripe_connect_webhook_secrets"):
            if not getattr(settings, field):
                note(f"{variable(field)} is not set, so that webhook endpoint is off: `colonnade webhooks provision`.")
        run(settings, database_url)


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Of the web process; default 8000, or any free one.")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Default: COLONNADE_DATA_DIR.")
@click.option("--reset", is_flag=True, help="Forget the data of earlier demos first.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of words.")
def demo(port: int | None, data_dir: Path | None, reset: bool, as_json: bool) -> None:
    """Run the whole product here: database, a local Stripe, web, worker, and two seeded tenants."""
    from colonnade.demo import page, run
    from colonnade.observability import configure_logging

    def show(running: run.Running) -> None:
        click.echo(msgspec.json.encode(running).decode() if as_json else page.words(running))

    settings = Settings.load({name: text for name, text in os.environ.items() if name == "COLONNADE_DATA_DIR"})
    configure_logging("ERROR")
    run.run(run.Options(port, (data_dir or settings.data_dir).absolute(), reset), note, show)


@main.command()
@click.option("--concurrency", default=2, show_default=True, type=click.IntRange(1, 32), help="Batches at a time.")
def worker(concurrency: int) -> None:
    """Process the events that the webhook endpoints stored."""
    import uvloop

    from colonnade.webhooks.worker import work

    _check_tracing()
    with serving("stripe_api_key") as (settings, database_url):
        uvloop.run(work(settings, database_url, concurrency))


@main.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Run the local Stripe (`colonnade sandbox --help` lists its options)."""
    from colonnade_sandbox.server import main as run

    run(list(arguments))


def _check_tracing() -> None:
    """What is wrong with its variables ends the program here, before any process starts."""
    from colonnade.tracing.switch import wanted

    wanted(os.environ)


main.add_command(completion)
main.add_command(doctor)
main.add_command(keys)
main.add_command(sweep)
main.add_command(events)
main.add_command(portals)
main.add_command(reencrypt)
main.add_command(tenants)
main.add_command(webhooks)
