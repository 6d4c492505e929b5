"""`colonnade sweep`: find events that never arrived."""

import asyncio
import sys

import rich_click as click

from colonnade.commands.common import as_json_option, note, say_json, serving


@click.command()
@click.option("--tenant", help="Only the accounts that this tenant's events come from (`ten_…`).")
@click.option("--resync", is_flag=True, help="Read the objects as well: for what is older than Stripe's 30 days.")
@as_json_option
def sweep(tenant: str | None, resync: bool, as_json: bool) -> None:
    """Compare Stripe's list of events with what was received, and store what is missing for the worker."""
    from colonnade.webhooks.sweeping import sweep_now

    with (
        serving("stripe_api_key") as (settings, database_url),
        click.progressbar(length=100, label="Sweeping", item_show_func=str, file=sys.stderr) as bar,
    ):

        def show(account: str, done: float) -> None:
            bar.update(int(done * 100) - bar.pos, account or "the platform's own account")

        found = asyncio.run(sweep_now(settings, database_url, tenant, resync=resync, progress=show))
    if as_json:
        say_json(found)
    else:
        note(f"Stored {found.stored} {'event' if found.stored == 1 else 'events'} that had not been received.")
        for account in found.disconnected:
            note(f"{account} has disconnected: its tenant is noted as such.")
        for account, problem in found.failed.items():
            note(f"{account}: {problem}")
    if found.failed:
        sys.exit(1)
