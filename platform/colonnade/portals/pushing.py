"""Bringing Stripe's configuration in line with a version."""

from typing import Any

import msgspec
import structlog

from colonnade.access.guard import Tenant
from colonnade.errors import Conflict, StripeRefused
from colonnade.portals import stripe_state
from colonnade.portals.content import Content
from colonnade.portals.states import State
from colonnade.portals.stripe_form import parameters
from colonnade.portals.stripe_state import EXPAND
from colonnade.stripe_api.client import StripeClient
from colonnade_tenants.ids import new_id

log = structlog.get_logger()

PATH = "/v1/billing_portal/configurations"
KEY = "portal"
"""How the idempotency keys of our own writes begin, so that their events are told from edits by others."""


class Pushed(msgspec.Struct, frozen=True):
    """Stripe's id of the configuration, and what it is there now; null where that is not understood."""

    stripe_configuration: str
    state: State | None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What Stripe shall have: *version* of the tenant's configuration *name*, its offers resolved to *products*."""

    tenant: Tenant
    name: str
    version: int
    content: Content
    products: list[dict[str, Any]]

    @property
    def wanted(self) -> State:
        """What Stripe's object does then."""
        return stripe_state.wanted(self.content, self.products)

    @property
    def metadata(self) -> dict[str, str]:
        """By which the configuration is found to be ours."""
        return {
            "colonnade_tenant": self.tenant.public_id,
            "colonnade_configuration": self.name,
            "colonnade_version": str(self.version),
        }

    @property
    def key(self) -> str:
        """The same for the same version: repeated, a creation makes no second configuration."""
        return f"{KEY}:{self.tenant.public_id}:{self.name}:{self.version}:{self.content.digest().hex()[:16]}"

    def form(self, *, new: bool, former: dict[str, str]) -> dict[str, Any]:
        """The request's parameters; of the *former* metadata what is not wanted is cleared."""
        form = parameters(self.content.settings, self.products, new=new)
        form["metadata"] = dict.fromkeys(former, "") | self.content.settings.metadata | self.metadata
        form["name"] = self.name
        form["expand"] = EXPAND
        return form if new else form | {"active": self.content.active}


async def create(client: StripeClient, target: Target) -> Pushed:
    """A new configuration, once, however often it is repeated. Raises `StripeRefused`, `StripeUnavailable`."""
    form = target.form(new=True, former={})
    try:
        reply = await client.post(PATH, form, idempotency_key=target.key)
    except (StripeRefused, Conflict):
        # It may be the stored answer to an earlier try, whose cause was mended since: ask once under a fresh key.
        reply = await client.post(PATH, form, idempotency_key=f"{target.key}:{new_id('try')}")
    made: str = reply["id"]
    # Stripe makes active ones only.
    return _pushed(reply) if target.content.active else await update(client, target, made)


async def update(client: StripeClient, target: Target, stripe_configuration: str) -> Pushed:
    """Make Stripe's configuration what is wanted; where it is so already, nothing is written.

    Raises `NotFound` if Stripe has it no more, `StripeRefused`, `StripeUnavailable`.
    """
    path = f"{PATH}/{stripe_configuration}"
    now = await client.get(path, {"expand": EXPAND})
    found = _pushed(now)
    if stripe_state.ours(now) == target.metadata and found.state == target.wanted:
        return found
    form = target.form(new=False, former=now["metadata"])
    # The whole state is sent, so that repeating is harmless; and an answer kept from an earlier try would mislead.
    return _pushed(await client.post(path, form, idempotency_key=f"{target.key}:{new_id('try')}"))


def _pushed(reply: dict[str, Any]) -> Pushed:
    try:
        state = stripe_state.read(reply)
    except Conflict:
        state = None
    return Pushed(reply["id"], state)
