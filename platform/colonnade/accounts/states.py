"""What a tenant can be, and the steps from one state to another: one table, of which everything else is derived.

The row of a tenant keeps facts (`suspended_at`, `disconnected_at`, …), and a trigger derives `state` from them, so that
facts of different origin do not overwrite each other: who is suspended and disconnects is suspended after coming back.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from colonnade.errors import Closed


class State(StrEnum):
    """A tenant's state; the strongest fact decides, here the last."""

    INVITED = "invited"
    """It has no connected account yet."""
    ONBOARDING = "onboarding"
    """Its account was never able to take payments."""
    LIVE = "live"
    """Its account was able to, if only once: readiness says what is so now."""
    SUSPENDED = "suspended"
    """The platform team closed its portals. Events are applied, because money goes on."""
    DISCONNECTED = "disconnected"
    """The account took its access away."""
    ARCHIVED = "archived"
    """The platform team put it away."""
    DELETING = "deleting"
    """Its rows are being removed."""
    DELETED = "deleted"
    """Only its tombstone is left."""


FROZEN = frozenset({State.DISCONNECTED, State.ARCHIVED, State.DELETING, State.DELETED})
"""Stripe is not called, events are held (or reduced to a stub), data can only be read."""
CLOSED = FROZEN | {State.SUSPENDED}
"""No portal opens and no subscription starts."""
PUT_AWAY = FROZEN - {State.DISCONNECTED}
"""Nobody has anything to do for it."""
REMOVED = frozenset({State.DELETING, State.DELETED})

RETURN = "return"
"""The cause of what is computed once a tenant is back, as the history of entitlements names it."""

By = Literal["platform", "stripe", "colonnade"]
"""Who takes a step: the platform team by a request, Stripe by an event, or a worker."""


class Step(NamedTuple):
    """*at_rest*: the states that it may be taken from. *changes*: columns of `tenants` and what they become, in SQL."""

    by: frozenset[By]
    at_rest: frozenset[State]
    changes: Mapping[str, str]


def _step(by: Iterable[By], at_rest: Iterable[State], **changes: str) -> Step:
    return Step(frozenset(by), frozenset(at_rest), changes)


_ALIVE = frozenset({State.INVITED, State.ONBOARDING, State.LIVE, State.SUSPENDED})
_KEPT = _ALIVE | {State.DISCONNECTED, State.ARCHIVED}
_GONE = frozenset({State.DISCONNECTED, State.ARCHIVED})

STEPS: Mapping[str, Step] = {
    "go_live": _step(["stripe"], _KEPT - {State.INVITED}, live_at="coalesce(live_at, now())"),
    "suspend": _step(["platform"], _ALIVE - {State.SUSPENDED}, suspended_at="now()"),
    "resume": _step(["platform"], {State.SUSPENDED}, suspended_at="null"),
    "disconnect": _step(["stripe"], _KEPT - {State.INVITED}, disconnected_at="now()", coming_back="false"),
    "reconnect": _step(["stripe", "platform"], _GONE, disconnected_at="null", coming_back="archived_at is null"),
    "archive": _step(["platform"], _KEPT - {State.ARCHIVED}, archived_at="now()", coming_back="false"),
    "restore": _step(["platform"], {State.ARCHIVED}, archived_at="null", coming_back="disconnected_at is null"),
    "remove": _step(["platform"], _GONE, removal="'deleting'", coming_back="false"),
    "finish": _step(["colonnade"], {State.DELETING}, removal="'deleted'"),
}
"""Every step there is. Access taken away, or given again, is a fact whatever the state: of an archived tenant too."""


def literal(states: Iterable[State]) -> str:
    """The states as a list of SQL: `('archived', …)`."""
    return "(" + ", ".join(f"'{state}'" for state in sorted(states)) + ")"


WORDS: Mapping[State, str] = {
    State.SUSPENDED: "is suspended by the platform",
    State.DISCONNECTED: "has disconnected its Stripe account",
    State.ARCHIVED: "is archived",
    State.DELETING: "is being deleted",
    State.DELETED: "was deleted",
}


def sentence(state: State, reason: str | None = None) -> str:
    """Why a tenant in this closed *state* is refused something."""
    because = f": {reason}" if reason and state in (State.SUSPENDED, State.ARCHIVED) else ""
    return f"This tenant {WORDS[state]}{because}".rstrip(".") + "."


class Standing(Protocol):
    """What is known of a tenant's state."""

    @property
    def state(self) -> State: ...
    @property
    def state_reason(self) -> str | None: ...


def closed(tenant: Standing) -> Closed:
    """The refusal of what a tenant in this state may not."""
    return Closed(sentence(tenant.state, tenant.state_reason), code=tenant.state)


def check_writable(tenant: Standing) -> None:
    """Refuse where everything can only be read. Raises `Closed`."""
    if tenant.state in FROZEN:
        raise closed(tenant)


def check_open(tenant: Standing) -> None:
    """Refuse where no portal may open and no subscription start. Raises `Closed`."""
    if tenant.state in CLOSED:
        raise closed(tenant)
