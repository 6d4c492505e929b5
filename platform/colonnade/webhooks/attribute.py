"""Which tenant an event belongs to: one ladder, whose rungs must not disagree.

`clues.clues` reads what the event itself names, `decide` compares that with what we know; both are pure. The rungs,
strongest first: the event's `account`, the object's `on_behalf_of`, its `transfer_data.destination`, then the
subscription, portal configuration or customer that is known to be a tenant's, and last our own metadata, which is only
a hint.

Products, prices and coupons name no tenant: they are the tenant's whose plans alone sell them, or nobody's.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from colonnade.webhooks.clues import Clue


class Known(Struct):
    """What is known of the clues: the tenants' ids by account, by Stripe object, and by their own public id.

    *plan* holds those whose plans sell a price or product, *names* the tenants' public ids.
    """

    account: dict[str, int]
    object: dict[str, int]
    tenant: dict[str, int]
    creating: bool = False
    """Whether a tenant is just being created, so that an account may be known in a moment."""
    plan: dict[str, set[int]] = {}
    names: dict[int, str] = {}
    former: dict[str, int] = {}
    """Accounts that a tenant had before the one it has."""
    removed: dict[str, int] = {}
    """Accounts and objects of whom nothing is kept, by the tenant that they were of."""

    def named_by(self, clue: Clue) -> int | None:
        """The tenant that *clue* names; several that sell the same are none."""
        if clue.kind == "plan":
            sellers = self.plan.get(clue.key, set())
            return min(sellers) if len(sellers) == 1 else None
        tenants: dict[str, int] = getattr(self, clue.kind)
        return tenants.get(clue.key)

    def gone(self, clue: Clue, owner: int | None) -> bool:
        """Whether *clue* names what was removed. *owner*: the tenant that has the account now.

        Who takes an account over after a removal begins anew there: what was removed on it by another is not gone.
        """
        tenant = self.removed.get(clue.key)
        return tenant is not None and (owner is None or owner == tenant or is_on_platform(clue))


def is_on_platform(clue: Clue) -> bool:
    """Whether it names an object on the platform's own account."""
    return clue.kind == "object" and "/" not in clue.key


class Attribution(NamedTuple):
    """The event is this tenant's; *rung* is the strongest that says so."""

    tenant_id: int
    rung: str


class Waiting(NamedTuple):
    """Nothing names a tenant yet."""

    reason: str


class Nobodys(NamedTuple):
    """The event is about the platform's catalogue, and not about one tenant's part of it."""

    reason: str


class Former(NamedTuple):
    """The event is of an account that this tenant has left."""

    tenant_id: int
    account: str


class Removed(NamedTuple):
    """The event is about somebody who was removed: nothing of it is to be kept."""


class Quarantine(NamedTuple):
    """Nothing may be done with the event before someone has looked at it."""

    reason: str


Verdict = Attribution | Waiting | Nobodys | Former | Removed | Quarantine


def decide(endpoint: str, account: str | None, found: Iterable[Clue], known: Known) -> Verdict:
    """The tenant that all rungs agree on."""
    found = list(found)
    accounts = [clue for clue in found if clue.kind == "account"]
    owner = next((tenant for clue in accounts if (tenant := known.named_by(clue)) is not None), None)
    if any(known.gone(clue, owner) for clue in found):
        return Removed()
    if endpoint == "platform" and account:
        return Quarantine(f"{account} is a connected account, and the event came to the platform endpoint")
    if endpoint == "connect" and not account:
        return Quarantine("the event names no account, and it came to the Connect endpoint")
    tenants = [(clue, known.named_by(clue)) for clue in found]
    unknown = [clue for clue, tenant in tenants if clue.kind == "account" and tenant is None]
    named = [(clue, tenant) for clue, tenant in tenants if tenant is not None]
    if left := [clue for clue in unknown if clue.key in known.former]:
        return Former(known.former[left[0].key], left[0].key)
    if unknown:
        reason = f"{unknown[0].rung} names {unknown[0].key}, which is no tenant's account"
        return Waiting(reason) if known.creating and not named else Quarantine(reason)
    if not named:
        if any(clue.kind == "plan" for clue, _ in tenants):
            return Nobodys("the plans of no tenant, or of several, sell this")
        return Waiting("nothing in the event names a tenant")
    (first, tenant), *others = named
    for clue, other in others:
        if other != tenant:
            return Quarantine(f"{first.rung} ({first.key}) and {clue.rung} ({clue.key}) name different tenants")
    return Attribution(tenant, first.rung)


def evidence(found: Iterable[Clue], known: Known) -> list[dict[str, str | None]]:
    """Everything in the event that could name a tenant, and whom it named: what `decide` went by."""
    return [
        {"rung": clue.rung, "key": clue.key, "tenant": known.names.get(known.named_by(clue) or 0)} for clue in found
    ]
