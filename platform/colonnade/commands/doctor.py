"""`colonnade doctor`: what is wrong, and what to do about it."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import rich_click as click

from colonnade.commands.common import as_json_option, note, say_json
from colonnade.settings import Settings, SettingsError

if TYPE_CHECKING:
    from colonnade.doctor.examining import Report
    from colonnade.doctor.place import Check

_CURE = "Correct the variable; `docs/settings.md` says what each takes."


@click.command()
@as_json_option
def doctor(as_json: bool) -> None:
    """Look for misconfigurations before traffic finds them; exit 1 if there is an error."""
    from colonnade.database.locate import open_database
    from colonnade.doctor.examining import CHECKS, Report
    from colonnade.doctor.place import Finding
    from colonnade.observability import configure_logging

    configure_logging("CRITICAL")  # what goes wrong is a finding
    try:
        settings = Settings.load(os.environ)
    except SettingsError as error:
        findings = [Finding("settings", "error", problem, _CURE) for problem in error.problems]
        _say(Report(findings, [], [each.name for each in CHECKS]), as_json)
        return
    with open_database(settings, note) as urls:
        _say(asyncio.run(_examined(settings, urls.service, quiet=as_json or not sys.stderr.isatty())), as_json)


async def _examined(settings: Settings, database_url: str, *, quiet: bool) -> "Report":
    from colonnade.doctor.examining import examine
    from colonnade.doctor.place import Place
    from colonnade.stripe_api.client import StripeGateway

    def told(check: "Check") -> None:
        if not quiet:
            note(f"… {check.about}")

    gateway = StripeGateway(settings)
    try:
        return await examine(Place(settings, database_url, gateway), told)
    finally:
        await gateway.close()


def _say(report: "Report", as_json: bool) -> None:
    if as_json:
        say_json(report)
    else:
        for each in report.findings:
            click.echo(f"{each.severity.upper()} {each.check}: {each.problem}\n    {each.cure}")
        skipped = (
            f", {len(report.skipped)} could not be made yet: {', '.join(report.skipped)}" if report.skipped else ""
        )
        note(f"{len(report.passed)} checks passed{skipped}.")
    sys.exit(0 if report.healthy else 1)
