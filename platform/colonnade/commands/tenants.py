"""`colonnade tenants`: what the platform team does for a tenant at the command line."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich_click as click

from colonnade.commands.common import note, serving

if TYPE_CHECKING:
    from colonnade.imports.store import Import


@click.group()
def tenants() -> None:
    """Tenants."""


@tenants.command("import")
@click.argument("tenant")
@click.option("--dry-run", is_flag=True, help="Only look, and report what would be imported.")
@click.option("--reference-key", help="The key of the Stripe customers' metadata that has the tenant's own ids.")
def import_(tenant: str, dry_run: bool, reference_key: str | None) -> None:
    """Take in the customers and subscriptions that TENANT (`ten_…`) has at Stripe already.

    Run it again to go on where it was interrupted, or to see what has come since: nothing is doubled.
    """
    from colonnade.imports.running import import_now

    with serving("stripe_api_key") as (settings, database_url), _watching() as show:
        work = asyncio.run(import_now(settings, database_url, tenant, reference_key, dry=dry_run, progress=show))
    _report(work, dry_run)


@contextmanager
def _watching() -> Iterator[Callable[["Import"], None]]:
    """A bar that moves: Stripe does not say how much there is."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[found]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("Importing", total=None, found="")

        def show(work: "Import") -> None:
            found = f"{work.counts.customers} customers, {work.counts.subscriptions} subscriptions"
            bar.update(task, description=f"Reading {work.step}", found=found)

        yield show
        bar.update(task, total=1, completed=1)


def _report(work: "Import", dry_run: bool) -> None:
    counts = work.counts
    said = "would be imported" if dry_run else "imported"
    click.echo(f"{counts.customers} customers and {counts.subscriptions} subscriptions {said}.")
    for number, words in (
        (counts.known, "of them were here already"),
        (counts.referenced, "customers have their reference"),
        (counts.others, "subscriptions are other tenants'"),
        (counts.unclaimed, "subscriptions are of nobody that is known"),
        (counts.refused, "were left alone"),
    ):
        if number:
            click.echo(f"  {number} {words}")
    for finding in work.findings:
        click.echo(f"  {finding.object}: {finding.reason}")
    if not dry_run:
        note("The worker applies them: `colonnade worker`.")
    if work.findings:
        sys.exit(2)
