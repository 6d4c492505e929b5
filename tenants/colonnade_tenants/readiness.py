"""What the state of a connected account amounts to, in one word, and what it waits for, in words.

A total function of the account as Stripe tells it: whatever is missing or strange in there counts as not given.
Sources: "The Account object" (Stripe API reference), "Handle verification with the API", "Account capabilities".
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct

from colonnade_tenants import readiness_words as words
from colonnade_tenants.readiness_words import Party

ReadinessState = Literal["onboarding", "ready", "restricted_soon", "restricted", "rejected", "disconnected"]
Due = Literal["past_due", "currently_due", "pending_verification", "eventually_due"]
_URGENCY: tuple[Due, ...] = ("past_due", "currently_due", "pending_verification", "eventually_due")
_NOW: tuple[Due, ...] = ("past_due", "currently_due")

Facts = Mapping[str, Any]
"""An account object of Stripe's, or what the mirror keeps of one."""


class Requirement(Struct, frozen=True):
    """One thing that is still wanted: its name at Stripe, in words, how urgent, and who has to act.

    *deadline*: until when, where Stripe says so. *future*: only from a change of Stripe's rules on. *problem*: why what
    was given did not do. *alternatives*: what would do instead.
    """

    requirement: str
    words: str
    due: Due
    waits_for: Party = "business"
    deadline: datetime | None = None
    future: bool = False
    problem: str | None = None
    alternatives: list[str] = []


class Readiness(Struct, frozen=True):
    """*state* in one word, *reason* why it is not `ready` in a sentence, and what is wanted, the most urgent first."""

    state: ReadinessState
    reason: str | None
    requirements: list[Requirement]
    blamed: Party | None = None
    """Who has to act on *reason*, where no requirement says."""

    @property
    def waits_for(self) -> list[Party]:
        """Who has to act now, for the account to be, and stay, ready."""
        if self.state == "ready":
            return []
        acting = {each.waits_for for each in self.requirements if each.due != "eventually_due"}
        return sorted(acting | ({self.blamed} if self.blamed else set()))

    @property
    def deadline(self) -> datetime | None:
        """The earliest of the deadlines."""
        return min((each.deadline for each in self.requirements if each.deadline), default=None)


UNCONNECTED = Readiness("onboarding", "The business has not connected its account yet.", [], "business")
DISCONNECTED = Readiness("disconnected", "The business took our access to its account away.", [], "business")


def needed(charge_type: str) -> tuple[str, ...]:
    """The capabilities without which a tenant that is paid this way cannot be: it is the merchant of record, and where
    the platform charges, it is paid by transfer ("Create subscriptions with Connect", Stripe docs)."""
    return ("card_payments",) if charge_type == "direct" else ("card_payments", "transfers")


def assess(account: Facts, charge_type: str) -> Readiness:
    """The readiness of *account* for a tenant that is paid by *charge_type*."""
    wanted = list(_requirements(account, charge_type))
    state, reason, blamed = _state(account, charge_type, wanted)
    return Readiness(state, reason, wanted, blamed)


_Verdict = tuple[ReadinessState, str | None, Party | None]


def _state(account: Facts, charge_type: str, wanted: list[Requirement]) -> _Verdict:
    disabled = _mapping(account, "requirements").get("disabled_reason")
    why = disabled if isinstance(disabled, str) else ""
    if why.startswith("rejected."):
        return ("rejected", *words.of_reason(why))
    if account.get("details_submitted") is not True:
        return "onboarding", "The business has not finished Stripe's onboarding.", None
    if why:
        return ("restricted", *words.of_reason(why))
    due_now = {each.due for each in wanted if not each.future}
    if "past_due" in due_now:
        return "restricted", "Something that Stripe asked for is overdue.", None
    lacking = [name for name in needed(charge_type) if _mapping(account, "capabilities").get(name) != "active"]
    if lacking:
        return "restricted", f"Stripe has not enabled {words.of_capability(lacking[0])}.", _blamed(wanted)
    for switch, meaning in (("charges_enabled", "charges"), ("payouts_enabled", "payouts")):
        if account.get(switch) is not True:
            return "restricted", f"Stripe holds {meaning} of this account.", _blamed(wanted)
    if "currently_due" in due_now:
        return "restricted_soon", "Stripe asks for something, and will restrict the account without it.", None
    if any(each.future and (each.due in _NOW or each.deadline) for each in wanted):
        return "restricted_soon", "A change of Stripe's rules will ask for something more.", None
    return "ready", None, None


def _blamed(wanted: list[Requirement]) -> Party | None:
    """Stripe, where nobody else has anything to do."""
    return None if any(each.due != "eventually_due" for each in wanted) else "stripe"


def _requirements(account: Facts, charge_type: str) -> Iterator[Requirement]:
    """Each once, the most urgent first; those of a later change of rules behind."""
    seen: set[str] = set()
    for future, field in ((False, "requirements"), (True, "future_requirements")):
        for each in _listed(_mapping(account, field), future):
            if each.requirement not in seen:
                seen.add(each.requirement)
                yield each
    yield from _not_asked_for(_mapping(account, "capabilities"), charge_type)


def _listed(due: Facts, future: bool) -> Iterator[Requirement]:
    deadline = _time(due.get("current_deadline"))
    problems = {str(each.get("requirement")): each.get("reason") for each in _mappings(due, "errors")}
    instead = {
        name: _texts(each, "alternative_fields_due")
        for each in _mappings(due, "alternatives")
        for name in _texts(each, "original_fields_due")
    }
    for urgency in _URGENCY:
        for name in _texts(due, urgency):
            problem = problems.get(name)
            yield Requirement(
                name,
                words.of_requirement(name),
                urgency,
                "stripe" if urgency == "pending_verification" else words.party(name),
                deadline if urgency in _NOW else None,
                future,
                problem if isinstance(problem, str) else None,
                instead.get(name, []),
            )


def _not_asked_for(capabilities: Facts, charge_type: str) -> Iterator[Requirement]:
    """Stripe asks for nothing on account of a capability that nobody has requested."""
    for name in needed(charge_type):
        if capabilities.get(name, "unrequested") == "unrequested":
            text = f"A request for {words.of_capability(name)}, which the account lacks"
            yield Requirement(f"capabilities.{name}", text, "currently_due", "platform")


def _mapping(value: Facts, name: str) -> Facts:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _list(value: Facts, name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _mappings(value: Facts, name: str) -> list[Facts]:
    return [each for each in _list(value, name) if isinstance(each, Mapping)]


def _texts(value: Facts, name: str) -> list[str]:
    return [each for each in _list(value, name) if isinstance(each, str) and each]


def _time(value: Any) -> datetime | None:
    """Of seconds since 1970, in the years that PostgreSQL and we both know."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 253_402_300_800:
        return None
    return datetime.fromtimestamp(value, UTC)
