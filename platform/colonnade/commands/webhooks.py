"""`colonnade webhooks`: the endpoints at Stripe."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import rich_click as click
from rich.table import Table

from colonnade.commands.common import as_json_option, note, say_json, say_table, serving
from colonnade.settings import Settings, variable

if TYPE_CHECKING:
    import asyncpg

    from colonnade.stripe_api.client import StripeGateway
    from colonnade.webhooks.endpoint_status import Status
    from colonnade.webhooks.provision import Provisioned


@click.group()
def webhooks() -> None:
    """The webhook endpoints at Stripe."""


@asynccontextmanager
async def _open(settings: Settings, database_url: str) -> AsyncIterator[tuple["asyncpg.Connection", "StripeGateway"]]:
    from colonnade.database.connections import connect
    from colonnade.database.roles import Duty
    from colonnade.stripe_api.client import StripeGateway

    gateway = StripeGateway(settings)
    try:
        connection = await connect(database_url, Duty.PLATFORM)
        gateway.belong(connection)
        try:
            yield connection, gateway
        finally:
            await connection.close()
    finally:
        await gateway.close()


@webhooks.command("provision")
@click.option("--roll", is_flag=True, help="Make another endpoint of each kind: new secrets, delivered beside the old.")
@click.option("--remove-old", "remove", is_flag=True, help="Delete all but the newest endpoint of each kind.")
@as_json_option
def provision_endpoints(roll: bool, remove: bool, as_json: bool) -> None:
    """Make or mend both endpoints at Stripe, and print the secrets of new ones, this once."""
    from colonnade.webhooks.provision import provision, remove_old

    if roll and remove:
        raise click.UsageError("First --roll; then, with the new secrets in use, --remove-old.")

    async def run(settings: Settings, database_url: str) -> list["Provisioned"]:
        async with _open(settings, database_url) as (connection, gateway):
            if remove:
                return await remove_old(connection, gateway.platform)
            return await provision(connection, gateway.platform, settings.base_url, roll=roll)

    with serving("stripe_api_key") as (settings, database_url):
        done = asyncio.run(run(settings, database_url))
        if as_json:
            say_json(done)
            return
        for each in done:
            note(f"{each.kind}: {each.id} {each.done} ({each.url})")
            if each.secret:
                field = f"stripe_{each.kind}_webhook_secrets"
                click.echo(f"{variable(field)}={','.join((each.secret, *getattr(settings, field)))}")


@webhooks.command("status")
@as_json_option
def show_status(as_json: bool) -> None:
    """Compare the endpoints at Stripe with what is needed; exit 1 if they differ."""
    from colonnade.webhooks.endpoint_status import status

    async def run(settings: Settings, database_url: str) -> "Status":
        async with _open(settings, database_url) as (connection, gateway):
            return await status(connection, gateway, settings)

    with serving("stripe_api_key") as (settings, database_url):
        found = asyncio.run(run(settings, database_url))
        say_json(found) if as_json else _print(found)
        sys.exit(1 if found.drifts else 0)


def _print(found: "Status") -> None:
    table = Table("Kind", "Endpoint", "API version", box=None)
    for each in found.endpoints:
        table.add_row(each.kind, each.id, each.api_version)
    say_table(table)
    came = "; ".join(f"{kind}: {at or 'never'}" for kind, at in found.last_received.items())
    click.echo(f"Last event, by whichever endpoint of its kind: {came}")
    for drift in found.drifts:
        click.echo(f"{drift.kind}{f' {drift.endpoint}' if drift.endpoint else ''}: {drift.problem}")
