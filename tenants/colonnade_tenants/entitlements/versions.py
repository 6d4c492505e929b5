"""Which version of something holds when."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol, TypeVar

from colonnade_tenants.entitlements.model import FOREVER


class Versioned(Protocol):
    """*version* counts up; *since* is the moment from which it holds."""

    @property
    def version(self) -> int: ...
    @property
    def since(self) -> datetime: ...


V = TypeVar("V", bound=Versioned)


def windows(versions: Iterable[V]) -> Iterator[tuple[V, datetime, datetime]]:
    """Each version that is ever in effect with the half-open interval in which it is, the newest first."""
    end = FOREVER
    for each in sorted(versions, key=lambda version: version.version, reverse=True):
        if each.since < end:
            yield each, each.since, end
            end = each.since


def in_effect(versions: Iterable[V], at: datetime) -> V | None:
    """The version that holds at that moment."""
    return next((each for each, start, end in windows(versions) if start <= at < end), None)
