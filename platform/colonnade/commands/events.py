"""`colonnade events`: the inbox on the command line."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import rich_click as click
from rich.console import Console
from rich.table import Table

from colonnade.commands.common import UtcTime, as_json_option, note, say_json, say_table
from colonnade.commands.services import acting, run
from colonnade.webhooks.states import CALL_STATES, State

if TYPE_CHECKING:
    from colonnade.database.connections import Database
    from colonnade.services import Services
    from colonnade.webhooks.events import Filter

T = TypeVar("T")
BY = "command line"
_STEPS = {"replay": "event.replayed", "release": "event.released", "ignore": "event.ignored"}
"""What is done to one event, as `actions` calls it and as the audit log does."""

_TIMES = UtcTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"])
_FILTERS = (
    click.option("--state", type=click.Choice(get_args(State)), help="Only events in this state."),
    click.option("--type", "event_type", help="Only events of this type."),
    click.option("--tenant", help="Only events of this tenant (ten_…)."),
    click.option("--from", "created_from", type=_TIMES, help="Only events that Stripe made then or later, UTC."),
    click.option("--to", "created_to", type=_TIMES, help="Only events that Stripe made before then, UTC."),
)


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that choose events."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def _filter(
    state: State | None,
    event_type: str | None,
    tenant: str | None,
    created_from: datetime | None,
    created_to: datetime | None,
) -> "Filter":
    from colonnade.webhooks.events import Filter

    return Filter(
        state=state,
        type=event_type,
        tenant=tenant,
        created_from=created_from,
        created_to=created_to,
    )


def _run(work: Callable[["Database"], Awaitable[T]]) -> T:
    return run(lambda services: work(services.database))


def _do(work: Callable[["Database"], Awaitable[T]], action: str, target: str) -> T:
    """Do what the audit log calls *action*."""

    async def noted(services: "Services") -> T:
        async with acting(services, action, target):
            return await work(services.database)

    return run(noted)


@click.group()
def events() -> None:
    """Received events: look, replay, release from quarantine, ignore."""


@events.command("list")
@filtered
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100), help="Events, at most.")
@as_json_option
def list_events(limit: int, as_json: bool, **wanted: Any) -> None:
    """List received events, newest first."""
    from colonnade.webhooks import events as inbox_events

    page = _run(lambda database: inbox_events.page(database, _filter(**wanted), None, limit))
    if as_json:
        say_json(page)
        return
    table = Table("Event", "Type", "State", "Tenant", "Created", "Tries", "Reason", box=None)
    for each in page.data:
        created = f"{each.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(each.id, each.type, each.state, each.tenant or "", created, str(each.attempts), each.reason or "")
    say_table(table)
    if page.next is not None:
        note("There are more: narrow the filters, or raise --limit.")


@events.command("show")
@click.argument("event")
@as_json_option
def show_event(event: str, as_json: bool) -> None:
    """Show an event with its payload and its journey."""
    from colonnade.webhooks import journey

    found = _run(lambda database: journey.show(database, event))
    if as_json:
        say_json(found)
        return
    console = Console()
    console.print(f"{found.id}  {found.type}  {found.state}", highlight=False)
    table = Table("When", "What", "By", "Detail", box=None)
    for step in found.journey:
        when = f"{step.at:%Y-%m-%d %H:%M:%S}" if step.at else ""
        table.add_row(when, step.what, step.by or "", step.detail or "")
    for effect in found.effects:
        table.add_row(f"{effect.at:%Y-%m-%d %H:%M:%S}", "changed", effect.customer, effect.feature)
    for each in found.evidence or []:
        table.add_row("", "names", each.rung, f"{each.key}: {each.tenant or 'nobody known'}")
    say_table(table)
    if found.error:
        console.print(found.error, markup=False, highlight=False)
    console.print_json(bytes(found.payload).decode())


@events.command("replay")
@click.argument("event", required=False)
@filtered
@click.option("--dry-run", is_flag=True, help="Change nothing; say how many events it would be.")
@as_json_option
def replay(event: str | None, dry_run: bool, as_json: bool, **wanted: Any) -> None:
    """Attribute and handle anew: one EVENT, or all that the options name."""
    from colonnade.webhooks import actions
    from colonnade.webhooks.events import Filter

    chosen = _filter(**wanted)
    if (event is None) == (chosen == Filter()):
        raise click.UsageError("Name one event, or choose many by options.")
    if event is not None:
        if dry_run:
            raise click.UsageError("--dry-run goes with the options that choose many.")
        _change("replay", event, as_json)
        return
    done = _do(
        lambda database: actions.replay_many(database, chosen, BY, dry_run=dry_run), "events.replayed", "events/replay"
    )
    if as_json:
        say_json(done)
        return
    table = Table("Type", "Events", box=None)
    for event_type, count in sorted(done.by_type.items()):
        table.add_row(event_type, str(count))
    say_table(table)
    note(f"{done.events} events {'would be' if dry_run else 'were'} put back into the queue.")


@events.command("release")
@click.argument("event")
@as_json_option
def release(event: str, as_json: bool) -> None:
    """Attribute a quarantined event anew."""
    _change("release", event, as_json)


@events.command("ignore")
@click.argument("event")
@as_json_option
def ignore(event: str, as_json: bool) -> None:
    """Take an event out for good."""
    _change("ignore", event, as_json)


@events.command("calls")
@click.option("--state", type=click.Choice(CALL_STATES), help="Only calls in this state.")
@click.option("--extension", help="Only calls of this handler (package:function).")
@click.option("--tenant", help="Only calls for this tenant (ten_…).")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100), help="Calls, at most.")
@as_json_option
def list_calls(limit: int, as_json: bool, **wanted: Any) -> None:
    """List calls of your own handlers that failed, newest first."""
    from colonnade.webhooks import calls

    page = _run(lambda database: calls.page(database, calls.CallFilter(**wanted), None, limit))
    if as_json:
        say_json(page)
        return
    table = Table("Call", "Event", "Handler", "Tenant", "State", "Tries", "Reason", box=None)
    for each in page.data:
        tries = str(each.attempts)
        table.add_row(each.id, each.event, each.extension, each.tenant, each.state, tries, each.reason or "")
    say_table(table)


@events.command("replay-call")
@click.argument("call")
@as_json_option
def replay_call(call: str, as_json: bool) -> None:
    """Make a failed CALL (ext_…) of your own handler once more, without the core handler."""
    from colonnade.webhooks import calls

    action, target = "extension_call.replayed", f"extension-calls/{call}/replay"
    found = _do(lambda database: calls.replay(database, call, BY), action, target)
    say_json(found) if as_json else note(f"{found.id} is {found.state}.")


@events.command("prune")
@as_json_option
def prune(as_json: bool) -> None:
    """Delete events that are done or ignored and older than COLONNADE_EVENT_RETENTION_DAYS, as the worker does."""

    async def old(services: "Services") -> tuple[int, int]:
        days = services.settings.event_retention_days
        return await _pruned(services, days), days

    deleted, days = run(old)
    say_json({"deleted": deleted}) if as_json else note(f"{deleted} events older than {days} days were deleted.")


async def _pruned(services: "Services", days: int) -> int:
    """How many events were deleted. The audit log is told too of what was before an error came."""
    from colonnade.access import audit
    from colonnade.access.principals import COMMAND_LINE
    from colonnade.database.connections import connect
    from colonnade.database.roles import Duty
    from colonnade.webhooks import retention

    deleted, whole = 0, False
    connection = await connect(services.database.url, Duty.WORKER)
    try:
        async for count in retention.batches(connection, days):
            deleted += count
        whole = True
    finally:
        await connection.close()
        if deleted or whole:
            after = {"deleted": deleted, "older_than_days": days, "whole": whole}
            async with services.database.platform_connection() as noted:
                await audit.record(noted, COMMAND_LINE, "events.pruned", tenant_id=None, target="events", after=after)
    return deleted


def _change(step: str, event: str, as_json: bool) -> None:
    from colonnade.webhooks import actions

    now = _do(lambda database: getattr(actions, step)(database, event, BY), _STEPS[step], f"events/{event}/{step}")
    say_json(now) if as_json else note(f"{now.id} is {now.state}.")
