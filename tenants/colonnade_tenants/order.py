"""Which of two snapshots of one Stripe object is the newer, whatever order they arrive in.

Nothing here compares a local clock with Stripe's: `created` meets `created` only.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

NOTHING = b""
"""What was before the event that created the object."""
_SIZE = 16
_LONGEST = 32
"""States of one second that are kept; with more, the object is read."""


class Stamp(msgspec.Struct, frozen=True):
    """Where a snapshot stands among the snapshots of its object.

    *stage*: how far the object is on a course that it never goes back, such as ended, or deleted. *facts*: digest of
    what the mirror keeps of it. *before*: digest of what that was just before; `NOTHING` at creation; None when not
    known. Of what is held it is the digests of all states of that second that are known to have led to the facts, one
    after the other.
    """

    created: datetime
    stage: int
    facts: bytes
    before: bytes | None


class Verdict(NamedTuple):
    """*news*: whether the new snapshot is the later one; None when the two cannot tell, and the object has to be read.

    *before*: what is to be held with the one that is later.
    """

    news: bool | None
    before: bytes | None


def weigh(new: Stamp, held: Stamp) -> Verdict:
    """Whether *new*, which an event brought, is later news than what is *held*.

    The further stage wins, then the later `created`. The events of one second are put in a row: each says what was
    before it, so that it comes after that, or before what the row began with. Where one does not fit in, or leads back to
    a state that the row has already, nothing in that second is certain any more. So it is not to be deceived by a
    state that returns: once all events of the second were heard, they make one row or the object was read.
    """
    if new.stage != held.stage:
        return Verdict(new.stage > held.stage, new.before if new.stage > held.stage else held.before)
    if new.created != held.created:
        return Verdict(new.created > held.created, new.before if new.created > held.created else held.before)
    if new.facts == held.facts:
        return Verdict(False, _again(new, held))
    made, was_made = new.before == NOTHING, held.before == NOTHING
    if made != was_made:
        return Verdict(was_made, new.before if was_made else held.before)
    if made or new.before is None or held.before is None:
        return Verdict(None, None)
    return _in_a_row(new, new.before, held, held.before)


def _in_a_row(new: Stamp, before: bytes, held: Stamp, led: bytes) -> Verdict:
    row = [led[at : at + _SIZE] for at in range(0, len(led), _SIZE)]
    row += [held.facts] if row[-1] != held.facts else []
    if (before, new.facts) in pairwise(row) or (before == new.facts and before in row):
        return Verdict(False, led)
    if before == held.facts and new.facts not in row and len(row) < _LONGEST:
        return Verdict(True, b"".join(row))
    if new.facts == row[0] and before not in row and len(row) < _LONGEST:
        return Verdict(False, before + led)
    return Verdict(None, None)


def _again(new: Stamp, held: Stamp) -> bytes | None:
    """What led to the facts that *new* and *held* share within one second.

    Two different answers mean that the state was left and came back: then nothing later in that second is certain.
    """
    if new.before == new.facts or held.before in (NOTHING, None):  # nothing that is mirrored changed
        same = new.before in (new.facts, held.before)
        return held.before if same else None
    if held.before == held.facts:
        return new.before
    return held.before if new.before == held.before[-_SIZE:] else None


def digest(facts: Any) -> bytes:
    """A short name for *facts*, the same for equal ones."""
    return hashlib.blake2b(msgspec.json.encode(facts, order="sorted"), digest_size=_SIZE).digest()


def rewind(now: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, Any]:
    """The object before the event: *previous_attributes* laid over the object, nested objects in part, arrays whole."""
    return {
        key: rewind(now[key], value) if isinstance(value, Mapping) and isinstance(now.get(key), Mapping) else value
        for key, value in {**now, **previous}.items()
    }
