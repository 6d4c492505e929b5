"""`colonnade tenants list|create|show|onboard`: tenants and their connected accounts."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import rich_click as click
from rich.table import Table

from colonnade.accounts.states import State
from colonnade.commands.common import as_json_option, note, say_json, say_table
from colonnade.commands.services import acting, run
from colonnade.commands.tenants import tenants
from colonnade_tenants.readiness import ReadinessState

if TYPE_CHECKING:
    from colonnade.accounts.routes import ListedTenant, TenantView
    from colonnade.services import Services

T = TypeVar("T")
_READINESS = click.Choice(get_args(ReadinessState))
_STATES = click.Choice([str(state) for state in State if state is not State.DELETED])


@tenants.command("list")
@click.option("--readiness", "ready", multiple=True, type=_READINESS, help="Only those so ready; may be repeated.")
@click.option("--state", "states", multiple=True, type=_STATES, help="Only those in this state; may be repeated.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="Tenants, at most.")
@as_json_option
def list_tenants(ready: tuple[ReadinessState, ...], states: tuple[State, ...], limit: int, as_json: bool) -> None:
    """List tenants, newest first, with what their accounts may do."""
    from colonnade.accounts import readiness
    from colonnade.accounts.routes import listed

    async def read(services: "Services") -> tuple[list["ListedTenant"], bool]:
        wanted = readiness.Wanted([*ready] or None, [*states] or None)
        found = await readiness.page(services, wanted, None, limit)
        return [listed(*each) for each in found[:limit]], len(found) > limit

    found, more = run(read)
    if as_json:
        say_json(found)
        return

    table = Table("Tenant", "Name", "State", "Readiness", "Charges", "Account", "Created", box=None)
    for each in found:
        created = f"{each.created_at:%Y-%m-%d %H:%M}"
        now = each.readiness.state if each.readiness else ""
        table.add_row(each.id, each.name, each.state, now, each.charge_type, each.account or "", created)
    say_table(table)
    if more:
        note("There are more: raise --limit.")


@tenants.command("create")
@click.argument("name")
@click.option("--charge-type", default="destination", show_default=True, help="destination, separate or direct.")
@click.option("--account", help="Adopt this connected account (`acct_…`); default: one is made.")
@click.option("--country", help="Of the account that is made: two letters.")
@click.option("--email", help="Of the business.")
@click.option("--fee", "application_fee_percent", type=float, help="The platform's fee, in percent.")
@click.option("--origin", "return_origins", multiple=True, help="Where its pages are (`https://…`); may be repeated.")
@click.option("--idempotency-key", help="Repeating the command with the same key makes the tenant once.")
@as_json_option
def create_tenant(as_json: bool, idempotency_key: str | None, **fields: Any) -> None:
    """Create the tenant NAME with a connected account, and print its first key, this once."""
    import msgspec

    from colonnade.accounts import new_tenants, service
    from colonnade.accounts.routes import view

    async def make(services: "Services") -> tuple["TenantView", str]:
        given = {name: value for name, value in fields.items() if value not in (None, ())}
        new = _converted(given, new_tenants.NewTenant)
        async with acting(services, "tenant.created", "tenants"):
            tenant, key = await service.create(services, new, idempotency_key)
        return view(tenant), key

    made, key = run(make, "stripe_api_key")
    if as_json:
        say_json({**msgspec.structs.asdict(made), "key": key})
        return
    note(f"{made.id} ({made.name}) has the account {made.account}. Its first key, shown this once:")
    click.echo(key)


@tenants.command("show")
@click.argument("tenant")
@as_json_option
def show_tenant(tenant: str, as_json: bool) -> None:
    """Show TENANT (`ten_…`), what its account may do, and what is still due."""
    import msgspec

    from colonnade.accounts import readiness, service
    from colonnade.accounts.routes import view

    async def read(services: "Services") -> tuple["TenantView", readiness.Readiness]:
        found = await service.tenant_by_id(services, tenant)
        return view(found), await readiness.readiness(services, found)

    found, ready = run(read, "stripe_api_key")
    if as_json:
        say_json({**msgspec.structs.asdict(found), "readiness": ready})
        return

    table = Table(show_header=False, box=None)
    for name, value in msgspec.to_builtins({**msgspec.structs.asdict(found), "readiness": ready.state}).items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        table.add_row(name, "" if shown is None else str(shown))
    # Stripe asks for some things by two names, such as the date and the address of an agreement.
    for due, words in dict.fromkeys((each.due, each.words) for each in ready.requirements):
        table.add_row(f"  {due}", words)
    say_table(table)


@tenants.command("onboard")
@click.argument("tenant")
@click.option("--return-url", help="Where the business returns to from Stripe; default: a page of ours.")
@as_json_option
def onboard_tenant(tenant: str, return_url: str | None, as_json: bool) -> None:
    """Print a link of ours to Stripe's onboarding for TENANT (`ten_…`); it may be e-mailed."""
    from colonnade.access import audit
    from colonnade.access.principals import COMMAND_LINE
    from colonnade.accounts import onboarding, service

    async def make(services: "Services") -> tuple[str, int]:
        found = await service.tenant_by_id(services, tenant)
        link = await onboarding.link(services, found, onboarding.OnboardingRequest(return_url))
        async with services.database.platform_connection() as connection:
            action, target = "onboarding_link.created", f"tenants/{tenant}/onboarding-links"
            await audit.record(connection, COMMAND_LINE, action, tenant_id=found.id, target=target)
        return link

    url, expires = run(make, "stripe_api_key")
    until = datetime.fromtimestamp(expires, UTC)
    if as_json:
        say_json({"url": url, "expires_at": until})
        return
    click.echo(url)
    note(f"It is good until {until:%Y-%m-%d %H:%M} UTC.")


def _converted(given: dict[str, Any], kind: type[T]) -> T:
    """The options as what the route takes. Raises `Invalid` with what is wrong."""
    import msgspec

    from colonnade.conventions.wording import invalid

    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise invalid(error, kind) from error
