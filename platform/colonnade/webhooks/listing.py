"""Stripe's lists, page by page: of events, snapshot and thin ones, and of objects."""

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from colonnade.stripe_api.client import StripeClient

PAGE = 100
TYPES = 20
"""Types of one listing, at most."""
SNAPSHOTS, THIN = "/v1/events", "/v2/core/events"
# Accounts of the V2 API have thin events alone ("Event types", Stripe documentation). Other thin events stand for a
# snapshot event, which is listed itself.
OF_ACCOUNTS = (
    *(f"v2.core.account.{word}" for word in ("created", "updated", "closed")),
    *(
        f"v2.core.account[configuration.{role}].{word}"
        for role in ("merchant", "customer", "recipient")
        for word in ("capability_status_updated", "updated")
    ),
    *(f"v2.core.account[{part}].updated" for part in ("defaults", "identity", "requirements", "future_requirements")),
)


class Query(NamedTuple):
    """One listing of events."""

    path: str
    types: list[str]

    async def between(self, client: StripeClient, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """The events that Stripe made from *start* to *end*, both included, the newest first."""
        say = _text if self.path == THIN else _seconds
        query = {"types": self.types, "created": {"gte": say(start), "lte": say(end)}}
        return [event async for page in pages(client, self.path, query) for event in page]


def queries(types: Collection[str]) -> list[Query]:
    """The listings that together have all of *types*."""
    thin = sorted(each for each in types if each.startswith(("v1.", "v2.")))
    snapshots = sorted(set(types).difference(thin))
    return [
        Query(path, names[first : first + TYPES])
        for path, names in ((SNAPSHOTS, snapshots), (THIN, thin))
        for first in range(0, len(names), TYPES)
    ]


async def pages(client: StripeClient, path: str, query: Mapping[str, Any]) -> AsyncIterator[list[dict[str, Any]]]:
    """A whole list. Raises the client's errors."""
    after: dict[str, Any] = {}
    while True:
        reply = await client.get(path, {**query, **after, "limit": PAGE})
        rows: list[dict[str, Any]] = reply["data"]
        yield rows
        if path == THIN and reply.get("next_page_url"):
            after = {"page": parse_qs(urlsplit(reply["next_page_url"]).query)["page"][0]}
        elif reply.get("has_more") and rows:
            after = {"starting_after": rows[-1]["id"]}
        else:
            return


async def stripe_time(client: StripeClient) -> datetime:
    """What time it is for Stripe: the date of its answer; the newest event's, should that be later (a test clock)."""
    reply, at = await client.dated(SNAPSHOTS, {"limit": 1})
    newest = (datetime.fromtimestamp(event["created"], UTC) for event in reply["data"])
    return max([at, *newest])


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
