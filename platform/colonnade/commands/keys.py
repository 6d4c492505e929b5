"""`colonnade keys`: API keys of the platform team and of tenants."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import asyncpg
import msgspec
import rich_click as click
from rich.console import Console
from rich.table import Table

from colonnade.access.keys import random_key, store
from colonnade.commands.common import as_json_option, note, say_json, serving
from colonnade.database.connections import connect
from colonnade.database.roles import Duty
from colonnade.errors import NotFound
from colonnade_tenants import values

T = TypeVar("T")

_COLUMNS = """
k.public_id as id, t.public_id as tenant, k.name, k.scopes, k.created_at, k.revoked_at
from api_keys k left join tenants t on t.id = k.tenant_id
"""
_LIST = f"""
select {_COLUMNS} where ($1::text is null or t.public_id = $1) and ($2 or k.revoked_at is null) order by k.public_id
"""
_ONE = f"select {_COLUMNS} where k.public_id = $1"
_REVOKE = "update api_keys set revoked_at = coalesce(revoked_at, now()) where public_id = $1 returning public_id"


class KeyRow(msgspec.Struct, omit_defaults=True):
    """A key as the command line shows it; *tenant* is null for the platform team's, *key* is shown once."""

    id: str
    tenant: str | None
    name: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None
    key: str | None = None


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("list")
@click.option("--tenant", help="Only this tenant's (`ten_…`).")
@click.option("--all", "revoked", is_flag=True, help="Revoked ones too.")
@as_json_option
def list_keys(tenant: str | None, revoked: bool, as_json: bool) -> None:
    """List API keys, oldest first; never the keys themselves."""

    async def read(connection: asyncpg.Connection) -> list[KeyRow]:
        if tenant is not None:
            await _tenant_id(connection, tenant)
        return [msgspec.convert(dict(row), KeyRow) for row in await connection.fetch(_LIST, tenant, revoked)]

    found = _run(read)
    if as_json:
        say_json(found)
        return
    table = Table("Key", "Of", "Name", "Scopes", "Created", "Revoked", box=None)
    for each in found:
        dates = [f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (each.created_at, each.revoked_at)]
        table.add_row(each.id, each.tenant or "platform", each.name, ", ".join(each.scopes), *dates)
    Console().print(table)


@keys.command("create")
@click.option("--name", default="platform", show_default=True, help="What the key is for.")
@click.option("--tenant", help="A key of this tenant (`ten_…`); default: of the platform team.")
@click.option("--scope", "scopes", multiple=True, default=["admin"], show_default=True, help="May be repeated.")
@as_json_option
def create_key(name: str, tenant: str | None, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a key and print it, this once."""

    async def make(connection: asyncpg.Connection) -> KeyRow:
        values.text(name, "name", 100)
        owner = None if tenant is None else await _tenant_id(connection, tenant)
        kind = "platform" if owner is None else "tenant"
        made = await store(connection, random_key(kind), name, owner, sorted(set(scopes)))
        row = msgspec.convert(dict(await connection.fetchrow(_ONE, made.id)), KeyRow)
        row.key = made.secret
        return row

    made = _run(make)
    if as_json:
        say_json(made)
        return
    click.echo(made.key)


@keys.command("revoke")
@click.argument("key")
@as_json_option
def revoke_key(key: str, as_json: bool) -> None:
    """Revoke KEY, named by its id (`key_…`), everywhere within a second."""

    async def revoke(connection: asyncpg.Connection) -> KeyRow:
        if await connection.fetchval(_REVOKE, key) is None:
            raise NotFound(f"There is no key {key!r}.", "key")
        return msgspec.convert(dict(await connection.fetchrow(_ONE, key)), KeyRow)

    revoked = _run(revoke)
    say_json(revoked) if as_json else note(f"{revoked.id} ({revoked.name}) is revoked.")


async def _tenant_id(connection: asyncpg.Connection, tenant: str) -> int:
    found: int | None = await connection.fetchval("select id from tenants where public_id = $1", tenant)
    if found is None:
        raise NotFound(f"There is no tenant {tenant!r}.", "tenant")
    return found


def _run(work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    async def run(database_url: str) -> T:
        connection = await connect(database_url, Duty.PLATFORM)
        try:
            return await work(connection)
        finally:
            await connection.close()

    with serving() as (_settings, database_url):
        return asyncio.run(run(database_url))
