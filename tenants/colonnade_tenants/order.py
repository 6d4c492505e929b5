"""Which of two snapshots of one Stripe object is the newer, whatever order they arrive in.

Nothing here compares a local clock with Stripe's: `created` meets `created` only.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

NOTHING = b""
"""What was before the event that created the object."""


class Stamp(msgspec.Struct, frozen=True):
    """Where a snapshot stands among the snapshots of its object.

    *stage*: how far the object is on a course that it never goes back, such as ended, or deleted. *facts*: digest of
    what the mirror keeps of it. *before*: digest of what that was just before; `NOTHING` at creation; None when not
    known.
    """

    created: datetime
    stage: int
    facts: bytes
    before: bytes | None


def supersedes(new: Stamp, old: Stamp) -> bool | None:
    """Whether *new* is later news than *old*; None when the two cannot tell, and the object has to be read.

    The further stage wins, then the later `created`, and identical facts are no news. Within one second, one is the
    later if the other is what it says was before. That could be deceived only by a state that returns within
    one second after a detour through two others; the next event mends it.
    """
    if new.stage != old.stage:
        return new.stage > old.stage
    if new.created != old.created:
        return new.created > old.created
    if new.facts == old.facts:
        return False
    follows = old.before == NOTHING or (_known(new, old) and new.before == old.facts)
    precedes = new.before == NOTHING or (_known(new, old) and old.before == new.facts)
    return follows if follows != precedes else None


def _known(new: Stamp, old: Stamp) -> bool:
    return new.before is not None and old.before is not None


def settle(new: Stamp, old: Stamp) -> bytes | None:
    """What was before the facts that *new* and *old* share within one second.

    Two different answers mean that the state was left and came back: then nothing later in that second is certain.
    """
    if new.before in (old.before, new.facts):
        return old.before
    return new.before if old.before == old.facts else None


def digest(facts: Any) -> bytes:
    """A short name for *facts*, the same for equal ones."""
    return hashlib.blake2b(msgspec.json.encode(facts, order="sorted"), digest_size=16).digest()


def rewind(now: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, Any]:
    """The object before the event: *previous_attributes* laid over the object, nested objects in part, arrays whole."""
    return {
        key: rewind(now[key], value) if isinstance(value, Mapping) and isinstance(now.get(key), Mapping) else value
        for key, value in {**now, **previous}.items()
    }
