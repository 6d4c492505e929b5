"""Since when a subscription is past due: grace is counted from the event that said so first, whatever arrived first."""

from datetime import datetime

import msgspec


class PastDue(msgspec.Struct, frozen=True):
    """*since* is None when it is not. *exact*: the event that brought it was seen; else the earliest that said so."""

    since: datetime | None = None
    exact: bool = False


def past_due(stored: PastDue, *, now: bool, at: datetime, said: bool, brought: bool) -> PastDue:
    """What holds after an event of the time *at*.

    *now*: whether the state that won is past due. *said*: whether the event shows it; *brought*: whether it shows
    as well that before it was not so. Of several that brought it the latest counts, and any counts more than one that
    did not.
    """
    if not now:
        return PastDue()
    if brought:
        return PastDue(max(stored.since, at) if stored.exact and stored.since else at, exact=True)
    if stored.since is None:
        return PastDue(at)
    return PastDue(min(stored.since, at)) if said and not stored.exact else stored
