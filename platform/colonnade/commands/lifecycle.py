"""`colonnade tenants suspend|resume|archive|restore|export|delete`: what becomes of a tenant."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec
import rich_click as click

from colonnade.commands.common import as_json_option, note, output_option, say_json
from colonnade.commands.services import acting, run
from colonnade.commands.tenants import tenants

if TYPE_CHECKING:
    from colonnade.accounts.confirming import Preview
    from colonnade.accounts.lifecycle import Lifecycle
    from colonnade.services import Services

_STEPS = {
    "suspend": ("suspended", "Close TENANT's portals (`ten_…`); its events are still applied."),
    "resume": ("resumed", "Open TENANT (`ten_…`), which is suspended, again."),
    "archive": ("archived", "Put TENANT (`ten_…`) away: nothing is asked of Stripe, and its events are held."),
    "restore": ("restored", "Bring TENANT (`ten_…`), which is archived, back, and apply what was held."),
}
_PAUSE = 1.0
"""Seconds between looks at a removal."""


def _step(step: str, became: str, words: str) -> click.Command:
    @click.argument("tenant")
    @click.option("--reason", required=True, help="Why; the tenant reads it too.")
    @as_json_option
    def command(tenant: str, reason: str, as_json: bool) -> None:
        async def take(services: "Services") -> "Lifecycle":
            from colonnade.access.principals import COMMAND_LINE
            from colonnade.accounts import lifecycle, service

            found = await service.tenant_by_id(services, tenant)
            async with acting(services, f"tenant.{became}", f"tenants/{tenant}", found):
                return await lifecycle.take(services, found, step, COMMAND_LINE, reason)

        now = run(take)
        say_json(now) if as_json else note(f"{tenant} is {now.state}.")

    return click.command(step, help=words)(command)


for _name, (_became, _words) in _STEPS.items():
    tenants.add_command(_step(_name, _became, _words))


@tenants.command("export")
@click.argument("tenant")
@output_option
@click.option("--resume", is_flag=True, help="Go on where FILE ends.")
def export_tenant(tenant: str, path: Path | None, resume: bool) -> None:
    """Write everything of TENANT (`ten_…`) as lines of JSON; the last one says that it is whole."""
    if resume and path is None:
        raise click.UsageError("--resume goes with --file.")
    after = _last_cursor(path, tenant) if resume and path is not None and path.exists() else None

    async def write(services: "Services") -> None:
        from colonnade.accounts import exporting, service

        found = await service.tenant_by_id(services, tenant)
        subject = exporting.Subject(found.id, found.public_id)
        lines = exporting.lines(services.database.platform_pool, subject, exporting.place(subject, after))
        if path is None:
            await _written(lines, sys.stdout.buffer)
            return
        # Not before: what cannot be exported leaves the file as it is.
        with path.open("ab" if after else "wb") as file:
            await _written(lines, file)

    run(write)


async def _written(lines: AsyncIterator[bytes], file: IO[bytes]) -> None:
    """Write *lines*, with a bar: the first says how many there will be."""
    header = await anext(lines)
    file.write(header)
    total = sum(msgspec.json.decode(header)["counts"].values())
    with click.progressbar(length=max(total, 1), label="Exporting", file=sys.stderr) as bar:
        async for line in lines:
            file.write(line)
            bar.update(1)
    file.flush()


class _Line(msgspec.Struct):
    cursor: str | None = None


def _last_cursor(path: Path, tenant: str) -> str | None:
    """Of the last whole line that has one; a line that was cut off is taken away. Raises `Invalid`."""
    from colonnade.accounts import exporting
    from colonnade.errors import Invalid

    content, head = path.read_bytes(), exporting.head(tenant)
    if content[: len(head)] != head[: len(content)]:
        raise Invalid(f"{path} is no export of {tenant}; nothing was written to it.")
    whole = content[: content.rfind(b"\n") + 1]
    try:
        cursors = (msgspec.json.decode(line, type=_Line).cursor for line in reversed(whole.splitlines()))
        found = next((each for each in cursors if each), None)
    except msgspec.MsgspecError as error:
        raise Invalid(f"{path} has a line that is none of an export: {error}; nothing was written to it.") from error
    if whole != content:
        path.write_bytes(whole)
    return found


@tenants.command("delete")
@click.argument("tenant")
@click.option("--reason", required=True, help="Why; it stays in the tenant's history.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", is_flag=True, help="Until workers have removed everything.")
@as_json_option
def delete_tenant(tenant: str, reason: str, dry_run: bool, yes: bool, wait: bool, as_json: bool) -> None:
    """Delete TENANT (`ten_…`), which is archived or disconnected, and all that is known of it."""
    seen = run(lambda services: _preview(services, tenant))
    if not as_json:
        note(
            f"{seen.total} rows of {tenant} would be removed" if dry_run else f"{seen.total} rows are removed for good:"
        )
        for table, rows in sorted(seen.rows.items()):
            note(f"  {rows:8} {table}")
    if dry_run:
        if as_json:
            say_json({"tenant": tenant, "rows": seen.rows, "total": seen.total})
        return
    if not yes:
        click.confirm(f"Delete {tenant}?", abort=True, err=True)
    now = run(lambda services: _delete(services, tenant, seen, reason, wait=wait))
    say_json(now) if as_json else note(f"{tenant} is {now.state}; workers remove its rows.")


async def _preview(services: "Services", tenant: str) -> "Preview":
    from colonnade.access.principals import COMMAND_LINE
    from colonnade.accounts import removal, service

    return await removal.preview(services, await service.tenant_by_id(services, tenant), COMMAND_LINE)


async def _delete(services: "Services", tenant: str, seen: "Preview", reason: str, *, wait: bool) -> "Lifecycle":
    from colonnade.access.principals import COMMAND_LINE
    from colonnade.accounts import lifecycle, removal, service

    found = await service.tenant_by_id(services, tenant)
    async with acting(services, "tenant.deleted", f"tenants/{tenant}", found):
        now = await removal.begin(services, found, COMMAND_LINE, seen.confirmation, reason)
    if not wait:
        return now
    with click.progressbar(length=max(seen.total, 1), label="Removing", file=sys.stderr) as bar:
        while now.state != "deleted":
            await asyncio.sleep(_PAUSE)
            left = await removal.left(services, found)
            bar.update(max(0, seen.total - left - bar.pos))
            now = await lifecycle.read(services, found, COMMAND_LINE)
    return now
