"""What the state of a connected account amounts to, in one word, and what Stripe still wants of it, in words."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

ReadinessState = Literal["onboarding", "ready", "restricted_soon", "restricted", "rejected", "disconnected"]


class Requirement(Struct, frozen=True):
    """One thing that Stripe still wants: its name at Stripe, in words, and how urgent."""

    requirement: str
    words: str
    due: Literal["past_due", "currently_due", "eventually_due"]


def state_of(account: Mapping[str, Any]) -> ReadinessState:
    """Of an account object of Stripe's, or of what a mirror keeps of one."""
    due = account.get("requirements") or {}
    reason = due.get("disabled_reason") or ""
    if reason.startswith("rejected."):
        return "rejected"
    if not account.get("details_submitted"):
        return "onboarding"
    # A merchant of record needs card_payments: without it no charge can be made on behalf of the account.
    cards = (account.get("capabilities") or {}).get("card_payments") == "active"
    if reason or due.get("past_due") or not account.get("charges_enabled") or not cards:
        return "restricted"
    return "restricted_soon" if due.get("currently_due") else "ready"


def requirements_of(account: Mapping[str, Any]) -> list[Requirement]:
    """What is due, the most urgent first; each thing once."""
    due = account.get("requirements") or {}
    found: dict[str, Requirement] = {}
    for urgency in ("past_due", "currently_due", "eventually_due"):
        for name in due.get(urgency) or ():
            found.setdefault(name, Requirement(name, _words(name), urgency))
    return list(found.values())


def _words(requirement: str) -> str:
    """`business_profile.support_phone` as "Business profile: support phone"."""
    *path, last = requirement.split(".")
    parts = [part.replace("_", " ") for part in path if not part.startswith("person_")]
    words = ": ".join([*parts, last.replace("_", " ")])
    return words[:1].upper() + words[1:]
