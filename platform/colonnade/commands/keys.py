"""`colonnade keys`: API keys of the platform team and of tenants."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import rich_click as click
from rich.table import Table

from colonnade.access.scopes import LONGEST_OVERLAP, Role, Scope
from colonnade.commands.common import UtcTime, as_json_option, note, say_json, say_table
from colonnade.commands.services import acting, run

if TYPE_CHECKING:
    from colonnade.access.guard import Tenant
    from colonnade.access.owned_keys import KeyRow, Made
    from colonnade.services import Services

PAGE = 1000
_OWNER = "select t.public_id from api_keys k left join tenants t on t.id = k.tenant_id where k.public_id = $1"
_DATES = UtcTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"])


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("list")
@click.option("--tenant", help="This tenant's (`ten_…`); default: the platform team's.")
@click.option("--all", "over", is_flag=True, help="Revoked and expired ones too.")
@as_json_option
def list_keys(tenant: str | None, over: bool, as_json: bool) -> None:
    """List API keys, oldest first; never the keys themselves."""
    from colonnade.access import owned_keys

    async def read(services: "Services") -> list["KeyRow"]:
        owner = owned_keys.Owner.of(await _tenant(services, tenant))
        return await owned_keys.page(services, owner, None, PAGE)

    found = [each for each in run(read) if over or not _is_over(each)]
    if as_json:
        say_json(found)
        return
    table = Table("Key", "Name", "May", "Created", "Last used", "Expires", "Revoked", box=None)
    for each in found:
        dates = (each.created_at, each.last_used_at, each.expires_at, each.revoked_at)
        table.add_row(
            each.id, each.name, ", ".join(each.scopes), *(f"{at:%Y-%m-%d %H:%M}" if at else "" for at in dates)
        )
    say_table(table)


@keys.command("create")
@click.option("--name", default="platform", show_default=True, help="What the key is for.")
@click.option("--tenant", help="A key of this tenant (`ten_…`); default: of the platform team.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice([*map(str, Scope)]), help="Of a tenant's key; default admin."
)
@click.option("--role", type=click.Choice([*map(str, Role)]), help="Of the platform team's key; default admin.")
@click.option("--expires", type=_DATES, help="When it stops working, UTC.")
@as_json_option
def create_key(
    name: str, tenant: str | None, scopes: tuple[str, ...], role: str | None, expires: datetime | None, as_json: bool
) -> None:
    """Make a key and print it, this once."""
    if (scopes and tenant is None) or (role and tenant is not None):
        raise click.UsageError("--scope is for a tenant's key, --role for one of the platform team.")

    async def make(services: "Services") -> "Made":
        from colonnade.access import owned_keys

        found = await _tenant(services, tenant)
        owner = owned_keys.Owner.of(found)
        may = sorted(set(scopes or [role or "admin"]))
        async with acting(services, "key.created", owner.path, found):
            return await owned_keys.create(services, owner, name, may, expires, None)

    _print(run(make), as_json)


@keys.command("rotate")
@click.argument("key")
@click.option(
    "--overlap",
    default=86_400,
    show_default=True,
    type=click.IntRange(0, LONGEST_OVERLAP),
    help="Seconds for the old one.",
)
@as_json_option
def rotate_key(key: str, overlap: int, as_json: bool) -> None:
    """Make the key that follows KEY (`key_…`), and print it, this once; the old one goes on for a while."""

    async def make(services: "Services") -> "Made":
        from colonnade.access import owned_keys

        found = await _owner(services, key)
        owner = owned_keys.Owner.of(found)
        async with acting(services, "key.rotated", f"{owner.path}/{key}", found):
            return await owned_keys.rotate(services, owner, key, overlap, None, None)

    _print(run(make), as_json)


@keys.command("revoke")
@click.argument("key")
@as_json_option
def revoke_key(key: str, as_json: bool) -> None:
    """Revoke KEY (`key_…`), everywhere within a second."""

    async def revoke(services: "Services") -> None:
        from colonnade.access import owned_keys

        found = await _owner(services, key)
        owner = owned_keys.Owner.of(found)
        async with acting(services, "key.revoked", f"{owner.path}/{key}", found):
            await owned_keys.revoke(services, owner, key)

    run(revoke)
    say_json({"id": key, "revoked": True}) if as_json else note(f"{key} is revoked.")


def _print(made: "Made", as_json: bool) -> None:
    if as_json:
        say_json({**msgspec.structs.asdict(made.row), "key": made.secret})
        return
    note(f"{made.row.id}, shown this once:")
    click.echo(made.secret)


def _is_over(key: "KeyRow") -> bool:
    return key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= datetime.now(UTC))


async def _tenant(services: "Services", tenant: str | None) -> "Tenant | None":
    from colonnade.accounts.service import tenant_by_id

    return None if tenant is None else await tenant_by_id(services, tenant)


async def _owner(services: "Services", key: str) -> "Tenant | None":
    """Whose key it is; the platform team's is nobody's, and so is one that does not exist."""
    return await _tenant(services, await services.database.platform_pool.fetchval(_OWNER, key))
