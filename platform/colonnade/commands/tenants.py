"""`colonnade tenants`: what the platform team does for a tenant at the command line."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich_click as click

from colonnade.commands.common import as_json_option, note, say_json, serving
from colonnade.commands.services import run

if TYPE_CHECKING:
    from colonnade.imports.store import Import
    from colonnade.stripe_entitlements.comparing import Comparison


@click.group()
def tenants() -> None:
    """Tenants."""


@tenants.command("import")
@click.argument("tenant")
@click.option("--dry-run", is_flag=True, help="Only look, and report what would be imported.")
@click.option("--reference-key", help="The key of the Stripe customers' metadata that has the tenant's own ids.")
@as_json_option
def import_(tenant: str, dry_run: bool, reference_key: str | None, as_json: bool) -> None:
    """Take in the customers and subscriptions that TENANT (`ten_…`) has at Stripe already.

    Run it again to go on where it was interrupted, or to see what has come since: nothing is doubled.
    """
    from colonnade.imports.running import import_now

    with serving("stripe_api_key") as (settings, database_url), _watching() as show:
        work = asyncio.run(import_now(settings, database_url, tenant, reference_key, dry=dry_run, progress=show))
    if as_json:
        say_json(work)
        sys.exit(2 if work.findings else 0)
    _report(work, dry_run)


@tenants.command("compare")
@click.argument("tenant")
@click.option("--prefix", default="", help="What the tenant's lookup keys begin with; our keys leave it out.")
@click.option("--read", is_flag=True, help="Ask Stripe for each customer, instead of the last summary heard.")
@as_json_option
def compare(tenant: str, prefix: str, read: bool, as_json: bool) -> None:
    """Tell where Stripe's active entitlements of TENANT's customers (`ten_…`) and ours differ; exit 1 if any do."""
    from colonnade.stripe_entitlements.by_hand import compare_all

    differing: list[Comparison] = []

    def show(found: "Comparison") -> None:
        differing.append(found)
        if as_json:
            return
        click.echo(found.reference or found.stripe_customer or found.customer)
        for each in found.differences:
            click.echo(f"  {each.lookup_key}: {'only Stripe' if each.stripe else 'only here'}: {each.detail}")

    looked = run(lambda services: compare_all(services, tenant, prefix, read=read, show=show), "stripe_api_key")
    if as_json:
        say_json({"customers": looked, "differing": differing})
    note(f"{len(differing)} of {looked} customers differ.")
    sys.exit(1 if differing else 0)


@tenants.command("take-over-features")
@click.argument("tenant")
@click.option("--prefix", default="", help="What the tenant's lookup keys begin with; our keys leave it out.")
@click.option(
    "--product", "products", multiple=True, help="A product (`prod_…`) of the platform's account to read too."
)
@click.option("--apply", is_flag=True, help="Do it; by default it is only said.")
@as_json_option
def take_over_features(tenant: str, prefix: str, products: tuple[str, ...], apply: bool, as_json: bool) -> None:
    """Make flags and plans of the features that TENANT's products (`ten_…`) have at Stripe."""
    from colonnade.stripe_entitlements.by_hand import take_over_now
    from colonnade.stripe_entitlements.service import TakeOver

    wanted = TakeOver(not apply, prefix, list(products))
    report = run(lambda services: take_over_now(services, tenant, wanted), "stripe_api_key")
    if as_json:
        say_json(report)
        return
    for what, steps in (("feature", report.features), ("plan", report.plans)):
        for step in steps:
            grants = f": {', '.join(step.grants)}" if step.grants else ""
            click.echo(f"{step.action:6} {what} {step.key or '-'} ({step.of}){grants} {step.detail or ''}".rstrip())
    if not apply:
        note("Nothing was changed: add --apply.")


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
