"""What a write would do, found out without writing: neither here nor at Stripe."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.portals import current_prices, pushing, store, stripe_state, versions
from colonnade.portals.configurations import PutConfiguration
from colonnade.portals.content import Content, content_of, links_of
from colonnade.portals.current_prices import Caution
from colonnade.portals.defaults import default_after
from colonnade.portals.differences import NOTHING, Difference, differences
from colonnade.portals.examining import examine
from colonnade.portals.offers import Offer, offers
from colonnade.portals.rules import checked
from colonnade.portals.states import State
from colonnade.portals.stripe_state import EXPAND
from colonnade.services import Services
from colonnade.stripe_api.charges import client_for
from colonnade_tenants import values
from colonnade_tenants.catalogue import Plan as SoldPlan

Action = Literal["create", "update", "none"]


class About(Struct, frozen=True):
    """What is about to be written before the configuration: plans by key, and legal links of the branding."""

    plans: Mapping[str, SoldPlan] = {}
    links: Mapping[str, str] | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """What a PUT of this would do.

    *action*: `create` or `update` a configuration at Stripe, or `none`: not a single write. *changes*: of what it
    does, from what Stripe has now. *drift*: with `none`, what others changed at Stripe meanwhile, which stays: from
    what was written to what Stripe has.
    *version*: what the newest would be. *default*: whether it would be the tenant's default.
    """

    name: str
    action: Action
    version: int
    default: bool
    default_changes: bool
    changes: list[Difference]
    drift: list[Difference]
    warnings: list[Caution]


async def plan(
    services: Services, tenant: Tenant, name: str, wanted: PutConfiguration, about: About | None = None
) -> Plan:
    """Raises what the write would: `Invalid`, `Conflict`; and `StripeUnavailable`."""
    about = about or About()
    values.key(name, "name")
    settings = checked(wanted.settings, tenant)
    async with services.database.tenant(tenant.id) as session:
        row = await store.find(session, name)
        default = await default_after(session, row, wanted.default)
        offered = await offers(session, settings.features.subscription_update.products, about.plans)
        links = await links_of(session) if about.links is None else about.links
        content = content_of(settings, offered, links)
        warnings = await current_prices.warnings(session, content)
    wanted_now, now = await _states(services, tenant, row, content, offered)
    same = row is not None and row.content_hash == content.digest()
    idle = row is not None and same and row.applied
    created = row is None or row.stripe_configuration is None
    return Plan(
        name=name,
        action="none" if idle else "create" if created else "update",
        version=1 if row is None else row.version if same else row.version + 1,
        default=default,
        default_changes=default != (row is not None and row.is_default),
        changes=[] if idle else differences(now, wanted_now),
        drift=differences(wanted_now, now) if idle else [],
        warnings=warnings,
    )


async def _states(
    services: Services, tenant: Tenant, row: store.Row | None, content: Content, offered: Sequence[Offer]
) -> tuple[State, State]:
    """What Stripe shall have, and what it has."""
    client = client_for(services.stripe, tenant)
    update = content.settings.features.subscription_update
    examined = await examine(services, tenant, client, offered, update)
    examined.require_none()
    wanted = stripe_state.wanted(content, examined.products)
    if row is None or row.stripe_configuration is None:
        return wanted, NOTHING
    return wanted, stripe_state.read(await client.get(f"{pushing.PATH}/{row.stripe_configuration}", {"expand": EXPAND}))


class Diff(Struct, frozen=True):
    """What differs between two versions; *before* and *after* are their numbers."""

    before: int
    after: int
    changes: list[Difference]


async def diff(services: Services, tenant: Tenant, name: str, before: int | None, after: int | None) -> Diff:
    """What the version *after* (default: the newest) changed since *before* (default: the one before it).

    Raises `NotFound`.
    """
    async with services.database.tenant(tenant.id) as session:
        row = await store.get(session, name)
        newest = row.version if after is None else after
        oldest = max(newest - 1, 0) if before is None else before
        found = []
        for number in (oldest, newest):
            version = await versions.get(session, name, number) if number else None
            found.append(State(version.active, version.settings) if version else NOTHING)
    return Diff(oldest, newest, differences(*found))
