"""The portal as Stripe tells of it: the state of configurations, who edited them, and who was let in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, func, or_, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants import customers
from colonnade_tenants.ahead import reads
from colonnade_tenants.billing.mirror import Mirror
from colonnade_tenants.billing.tables import portal_configuration_states, portal_sessions
from colonnade_tenants.events import Event
from colonnade_tenants.fields import Reference, Seconds, id_of, moment, optional_id
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.stripe import TenantStripe

OUR_KEY = "portal:"
"""How the idempotency keys of our own writes begin. An event of any other request is an edit from outside."""


class _Configuration(Struct):
    id: str
    active: bool
    is_default: bool
    updated: Seconds
    name: str | None = None


class Configuration(Struct, frozen=True):
    """A configuration's state. *settings* lacks the products, which no event shows."""

    name: str | None
    active: bool
    is_default: bool
    updated_at: datetime
    settings: dict[str, Any]


_SETTINGS = ("business_profile", "default_return_url", "features", "login_page", "metadata")


def _read(thing: Mapping[str, Any]) -> Configuration:
    found = msgspec.convert(thing, _Configuration)
    settings = {name: thing.get(name) for name in _SETTINGS}
    return Configuration(found.name, found.active, found.is_default, moment(found.updated), settings)


_MIRROR = Mirror(
    portal_configuration_states,
    Configuration,
    read=_read,
    path="/v1/billing_portal/configurations/{}",
    owner=(),
)
_states = portal_configuration_states.c
_UPDATED: Any = bindparam("updated")
_EVENT: Any = bindparam("event")
_MINE = (_states.tenant_id == TENANT, _states.id == bindparam("id"))
_APPLIED = Statement(
    update(portal_configuration_states)
    .where(*_MINE)
    .values(applied_updated=func.greatest(_states.applied_updated, _UPDATED))
)
_OUTSIDE = Statement(
    update(portal_configuration_states)
    .where(*_MINE)
    .where(
        or_(
            _states.outside_updated.is_(None),
            tuple_(_states.outside_updated, _states.outside_event) < tuple_(_UPDATED, _EVENT),
        )
    )
    .values(outside_updated=_UPDATED, outside_event=_EVENT)
)


@reads(objects=[_MIRROR.rows])
async def configuration_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the configuration's state, and note whose edit this was."""
    found = msgspec.json.decode(event.object, type=_Configuration)
    await _MIRROR.apply(tenant, stripe, event)
    updated = moment(found.updated)
    if (event.idempotency_key or "").startswith(OUR_KEY):
        await tenant.execute(_APPLIED, id=found.id, updated=updated)
    else:
        await tenant.execute(_OUTSIDE, id=found.id, updated=updated, event=event.id)


class _Flow(Struct):
    type: str


class _Session(Struct):
    """Stripe's portal session without its URL, which is a secret ("The portal session object", API reference)."""

    id: str
    customer: str
    configuration: Reference
    created: Seconds
    flow: _Flow | None
    locale: str | None
    on_behalf_of: Reference | None


_AUDIT = ("id", "customer_id", "configuration", "on_behalf_of", "flow", "locale", "created_at", "event")
_ADD_SESSION = Statement(
    insert(portal_sessions)
    .values(tenant_id=TENANT, **{name: bindparam(name) for name in _AUDIT})
    .on_conflict_do_nothing(index_elements=["tenant_id", "id"])
)


async def session_created(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Note who was let into which portal."""
    session = msgspec.json.decode(event.object, type=_Session)
    await tenant.execute(
        _ADD_SESSION,
        id=session.id,
        customer_id=await customers.by_stripe_id(tenant, session.customer),
        configuration=id_of(session.configuration),
        on_behalf_of=optional_id(session.on_behalf_of),
        flow=session.flow.type if session.flow else None,
        locale=session.locale,
        created_at=moment(session.created),
        event=event.id,
    )
