"""What a demo tenant's site hears of one customer: Colonnade's stream, followed with the tenant's key, in words."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp
import msgspec

_FOREVER = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
"""A comment comes every ten seconds: silence means that the connection is dead."""


class Heard(NamedTuple):
    """Something that happened: its place in the tenant's stream, and what to show of it."""

    place: str
    words: str


async def follow(
    http: aiohttp.ClientSession, url: str, key: str, after: str, reference: str, names: dict[str, str]
) -> AsyncIterator[Heard]:
    """What follows the place *after* about the customer, until the connection ends. *names*: features as shown."""
    headers = {"Authorization": f"Bearer {key}", "Last-Event-ID": after}
    try:
        async with http.get(url, headers=headers, timeout=_FOREVER, raise_for_status=True) as reply:
            place = ""
            async for line in reply.content:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "id":
                    place = value
                elif field == "data":
                    body = msgspec.json.decode(value)
                    if (body.get("customer") or {}).get("reference") == reference:
                        for words in _words(body, names):
                            yield Heard(place, words)
    except (aiohttp.ClientError, TimeoutError):
        return  # whoever listens comes back with the last place


def shown(value: bool | int | None, kind: str = "") -> str:
    """A feature's value, as a customer reads it. In notifications a flag is 1 or 0."""
    if value is True or (kind == "flag" and value):
        return "yes"
    return "without limit" if value is None else f"{value:,}"


def _words(body: dict[str, Any], names: dict[str, str]) -> list[str]:
    at = datetime.fromisoformat(body["timestamp"]).astimezone(UTC)
    when, data = f"{at:%H:%M:%S} UTC", body["data"]
    if body["type"] == "subscription.changed":
        return [f"{when} · Subscription is {data['status']}"]
    if body["type"] != "entitlements.changed":
        return []
    return [f"{when} · {names.get(each['feature'], each['feature'])}: {_now(each, at)}" for each in data["changes"]]


def _now(change: dict[str, Any], at: datetime) -> str:
    """What the feature's timeline says of that moment."""
    for row in change["after"]:
        until = datetime.fromisoformat(row["valid_until"]) if row["valid_until"] else None
        if datetime.fromisoformat(row["valid_from"]) <= at and (until is None or at < until):
            return shown(row["value"], row["kind"]) + (f", until {until:%d %B %Y, %H:%M} UTC" if until else "")
    return "no more"
