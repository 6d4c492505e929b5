"""What is held of a Stripe object, and what becomes of it when a further snapshot is heard.

One mechanism for every mirror: the newest snapshot wins, whatever order they arrive in (see `order`); what the events
cannot decide, one read of the object does.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from colonnade_tenants.order import Stamp, digest, weigh

READ = "read"
"""The event of what no event said so far: it was read."""

F = TypeVar("F", bound=msgspec.Struct)


class Held(msgspec.Struct, Generic[F], frozen=True):
    """The facts of an object, the event that they are from, that event's `created`, and what was so before.

    *before* is that of `order.Stamp`: digests, of one state where an event brought it, of several where it is held.
    """

    facts: F
    created: datetime
    event: str
    before: bytes | None

    def stamp(self, stage: int, *, tie: bool) -> Stamp:
        """Where these facts stand among the object's snapshots. The digest is asked for where stage and time *tie*."""
        return Stamp(self.created, stage, digest(self.facts) if tie else b"", self.before)


async def later(
    new: Held[F],
    old: Held[F] | None,
    *,
    stage: Callable[[F], int],
    reread: Callable[[], Awaitable[F | None]],
    partial: bool = False,
) -> Held[F]:
    """What is held from now on: *new*, *old*, or where the two cannot tell, what *reread* answers.

    *reread* answers None where the object cannot be read any more. *partial*: *new* shows only some of the facts, and
    cannot be compared with others of its second. What was read stands under the `created` that the two have in common:
    anything later still is news.
    """
    if old is None:
        return new
    my_stage, their_stage = stage(new.facts), stage(old.facts)
    tie = (my_stage, new.created) == (their_stage, old.created)
    mine, theirs = new.stamp(my_stage, tie=tie), old.stamp(their_stage, tie=tie)
    news, before = (None, None) if partial and tie else weigh(mine, theirs)
    if news:
        return new if before == new.before else msgspec.structs.replace(new, before=before)
    if news is None:
        return _read(await reread(), new, old, stage)
    same = tie and mine.facts == theirs.facts
    name = min(new.event, old.event) if same and old.event != READ else new.event if same else old.event
    return msgspec.structs.replace(old, event=name, before=before)


def _read(found: F | None, new: Held[F], old: Held[F], stage: Callable[[F], int]) -> Held[F]:
    if found is None or found == old.facts or stage(found) < stage(old.facts):
        return msgspec.structs.replace(old, before=None)
    name = new.event if found == new.facts else READ
    return msgspec.structs.replace(old, facts=found, event=name, before=None)
