"""`colonnade portals`: tenants' portals, branding, features and plans from one reviewed file."""

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import rich_click as click

from colonnade.commands.common import note, output_option
from colonnade.commands.services import run

if TYPE_CHECKING:
    from colonnade.as_code.planning import Step

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_WORDS = "YAML, TOML or JSON, by its name; `-`: YAML or JSON on standard input."
_file = click.option("-f", "--file", "path", required=True, type=_FILE, help=_WORDS)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print the steps as JSON.")


@click.group()
def portals() -> None:
    """Portal configurations, branding, features and plans of tenants, from one file."""


@portals.command("plan")
@_file
@_as_json
def plan_(path: Path, as_json: bool) -> None:
    """Say what applying FILE would change. Exit code 0: nothing, 2: something, 1: an error."""
    from colonnade.as_code import files, planning

    steps = run(lambda services: planning.plan(services, files.load(path)), "stripe_api_key")
    _show(steps, as_json)
    sys.exit(2 if any(step.action != "none" for step in steps) else 0)


@portals.command("apply")
@_file
@_as_json
@click.option("--author", default=getpass.getuser, help="Who it is, for the versions; default: the login.")
def apply_(path: Path, as_json: bool, author: str) -> None:
    """Make it as FILE says. Exit code 0: it is so, or will be once Stripe can be asked, 1: an error."""
    from colonnade.as_code import applying, files

    steps = run(lambda services: applying.apply(services, files.load(path), f"cli:{author}"), "stripe_api_key")
    _show(steps, as_json)


@portals.command("export")
@output_option
@click.option("--tenant", "tenants", multiple=True, help="Only this one (`ten_…`); may be repeated.")
def export_(path: Path | None, tenants: tuple[str, ...]) -> None:
    """Write what is so now, to begin with or to compare, as YAML, or as JSON by FILE's name. It holds no secrets."""
    from colonnade.as_code import exporting, files

    text_of = files.writer(path)
    text = text_of(run(lambda services: exporting.export(services, tenants), "stripe_api_key"))
    if path is None:
        click.echo(text, nl=False)
    else:
        path.write_text(text)


def _show(steps: list["Step"], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(steps), indent=2, ensure_ascii=False))
        return
    tenant = ""
    for step in steps:
        if step.action != "none" or step.drift or step.warnings:
            if step.tenant != tenant:
                tenant = step.tenant
                click.echo(tenant)
            _show_step(step)
    counts = {action: sum(step.action == action for step in steps) for action in ("create", "update", "none")}
    note(f"{counts['create']} to create, {counts['update']} to change, {counts['none']} as they are.")


def _show_step(step: "Step") -> None:
    click.echo(f"  { {'create': '+', 'update': '~', 'none': '='}[step.action] } {step.thing}")
    for change in step.changes:
        click.echo(f"      {change.field}: {_word(change.before)} -> {_word(change.after)}")
    for change in step.drift:
        click.echo(f"      at Stripe {change.field} is {_word(change.after)}; adopt or revert it")
    for warning in step.warnings:
        click.echo(f"      warning: {warning.param}: {warning.detail}")
        for missing in warning.missing:
            click.echo(f"        {missing.price} of {missing.product}: {missing.customers} customers")


def _word(value: Any) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)
