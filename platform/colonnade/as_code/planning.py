"""What applying a file would do. Everything in it is checked before anything is written."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.accounts.service import tenant_by_id
from colonnade.accounts.states import check_writable
from colonnade.as_code.document import Document, TenantText
from colonnade.as_code.exporting import current, feature_text, plan_text
from colonnade.errors import DomainError, Invalid, StripeRefused, Unavailable
from colonnade.portals import planning
from colonnade.portals.branding import checked
from colonnade.portals.current_prices import Caution
from colonnade.portals.differences import Difference
from colonnade.portals.planning import About
from colonnade.services import Services
from colonnade_tenants import catalogue

_LINKS = ("privacy_policy_url", "terms_of_service_url")


class Step(Struct, frozen=True, kw_only=True):
    """What happens to one thing of a *tenant*: `feature seats`, `portal configuration main`.

    *changes*: of a configuration, of what Stripe has. *drift*: what others changed at Stripe, and applying leaves.
    """

    tenant: str
    thing: str
    action: Literal["create", "update", "none"]
    changes: list[Difference] = []
    drift: list[Difference] = []
    warnings: list[Caution] = []


class _Undone(Exception):
    """Ends a transaction whose effects were only to be tried."""


async def plan(services: Services, document: Document) -> list[Step]:
    """In the order of applying. Raises `Invalid` with the place in the file, and `Unavailable`."""
    steps: list[Step] = []
    for name in sorted(document.tenants):
        with _at(f"tenants.{name}"):
            tenant = await tenant_by_id(services, name)
            check_writable(tenant)
        steps += await _of_tenant(services, tenant, document.tenants[name])
    return steps


async def _of_tenant(services: Services, tenant: Tenant, text: TenantText) -> list[Step]:
    path = f"tenants.{tenant.public_id}"
    now = await current(services, tenant)
    await _try_catalogue(services, tenant, text, path)
    steps = []
    for key in sorted(text.features):
        wanted = feature_text(text.features[key].feature(key))
        steps.append(_step(tenant, f"feature {key}", now.features.get(key), wanted))
    for key in sorted(text.plans):
        steps.append(_step(tenant, f"plan {key}", now.plans.get(key), plan_text(text.plans[key].plan(key))))
    if text.branding is not None:
        with _at(f"{path}.branding"):
            steps.append(_step(tenant, "branding", now.branding, checked(text.branding)))
    if text.portal.drift is not None and text.portal.drift != now.portal.drift:
        change = Difference("drift", now.portal.drift, text.portal.drift)
        steps.append(Step(tenant=tenant.public_id, thing="portal policy", action="update", changes=[change]))
    return steps + [step async for step in _configurations(services, tenant, text, path)]


async def _configurations(services: Services, tenant: Tenant, text: TenantText, path: str) -> Any:
    portal = text.portal.configurations
    if len([name for name, each in portal.items() if each.default]) > 1:
        raise Invalid(f"{path}.portal.configurations: one of them is the default, not several.")
    links = None
    if text.branding is not None:
        links = {name: url for name in _LINKS if (url := getattr(text.branding, name))}
    about = About({key: each.plan(key) for key, each in text.plans.items()}, links)
    taken = False
    for name in in_order(text):
        with _at(f"{path}.portal.configurations.{name}"):
            found = await planning.plan(services, tenant, name, wanted(text, name), about)
        changes = found.changes
        # Each is planned by itself, where the first of all is the default; the second here is not the first.
        turns = found.default_changes and not (found.default and taken)
        taken = taken or found.default
        if turns:
            changes = [*changes, Difference("default", not found.default, found.default)]
        action = "update" if found.action == "none" and turns else found.action
        yield Step(
            tenant=tenant.public_id,
            thing=f"portal configuration {name}",
            action=action,
            changes=changes,
            drift=found.drift,
            warnings=found.warnings,
        )


def in_order(text: TenantText) -> list[str]:
    """Names of configurations, the default first: it takes that from another before the other gives it up."""
    portal = text.portal.configurations
    return sorted(portal, key=lambda name: (not portal[name].default, name))


def wanted(text: TenantText, name: str) -> Any:
    """A configuration of the file. That it is not the default is not said: another one is."""
    found = text.portal.configurations[name]
    return found if found.default else msgspec.structs.replace(found, default=None)


async def _try_catalogue(services: Services, tenant: Tenant, text: TenantText, path: str) -> None:
    """Write features and plans, and undo it: so all of their rules hold, without saying them twice."""
    try:
        async with services.database.tenant(tenant.id) as session:
            for key in sorted(text.features):
                with _at(f"{path}.features.{key}"):
                    await catalogue.put_feature(session, text.features[key].feature(key))
            for key in sorted(text.plans):
                with _at(f"{path}.plans.{key}"):
                    await catalogue.put_plan(session, text.plans[key].plan(key))
            raise _Undone
    except _Undone:
        return


def _step(tenant: Tenant, thing: str, before: Struct | None, after: Struct) -> Step:
    old, new = (msgspec.to_builtins(each) if each else {} for each in (before, after))
    changes = [
        Difference(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    action: Literal["create", "update", "none"] = "create" if before is None else "update" if changes else "none"
    return Step(tenant=tenant.public_id, thing=thing, action=action, changes=changes)


@contextmanager
def _at(path: str) -> Iterator[None]:
    """Errors say where in the file they are."""
    try:
        yield
    except (Unavailable, StripeRefused):
        raise
    except DomainError as error:
        place = path if error.param in (None, "tenant") else f"{path}.{error.param}"
        raise Invalid(f"{place}: {error.message}") from error
