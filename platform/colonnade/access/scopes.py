"""What a key or a person may do. A route names the scopes of which any one is enough; `admin` always is.

A route that names none is for `admin` alone, so that a new one is closed until somebody opens it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

LONGEST_OVERLAP = 30 * 86_400
"""Seconds that a key which was rotated goes on working, at most."""


class Scope(StrEnum):
    """What a tenant's key may do."""

    READ = "read"
    """Read everything but keys, piece by piece: an export of all is for `admin`."""
    CHECK = "check"
    """Ask for entitlements."""
    CUSTOMERS = "customers"
    """End customers: their data, subscriptions and overrides."""
    PORTALS = "portals"
    """Open portal sessions."""
    CATALOGUE = "catalogue"
    """What is offered, and how it looks: features, plans, policies, portal configurations, branding."""
    ADMIN = "admin"
    """Everything that the owner may do."""


class Role(StrEnum):
    """What the platform team's keys and people are."""

    ADMIN = "admin"
    SUPPORT = "support"
    """Reads everything but keys, acts for customers, and puts events right."""
    READ = "read"


_OF_ROLE: dict[Role, frozenset[str]] = {
    Role.ADMIN: frozenset({Scope.ADMIN}),
    Role.SUPPORT: frozenset({Role.SUPPORT, Scope.READ, Scope.CUSTOMERS, Scope.PORTALS}),
    Role.READ: frozenset({Scope.READ}),
}
ALLOWED = "allowed"
"""Of a route's `opt`: what is enough for it."""
REMEMBERED = "remembered"
"""Of a route's `opt`: a key and its tenant may be as they were a second ago; looking them up takes much of its time."""


def allow(*enough: Scope | Role, remembered: bool = False) -> dict[str, Any]:
    """A route's `opt`: whoever has any of these may use it."""
    return {ALLOWED: frozenset(map(str, enough)), REMEMBERED: remembered}


def grants_of_role(role: Role) -> frozenset[str]:
    """What *role* may do."""
    return _OF_ROLE[role]


def grants_of_key(scopes: Iterable[str], *, platform: bool) -> frozenset[str]:
    """What a key with these *scopes* may do; the platform team's keys have a role in their place."""
    given = frozenset(scopes)
    return frozenset().union(*(_OF_ROLE[Role(role)] for role in given)) if platform else given


def may(grants: frozenset[str], enough: frozenset[str]) -> bool:
    """Whether who has *grants* may use a route for which any of *enough* suffices."""
    return Scope.ADMIN in grants or not grants.isdisjoint(enough)
