"""The webhook endpoints at Stripe: made, kept as the service wants them, and replaced by overlap.

Stripe shows a secret once and never changes an endpoint's API version ("Webhook endpoints", Stripe API reference). So a
new version, or a new secret, is a second endpoint of the same kind; both deliver, an event is stored once whichever
comes first, and the older one goes when the new secret is in use.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, cast, get_args

import asyncpg
import msgspec
import stripe

from colonnade.access.keys import digest
from colonnade.errors import NotFound
from colonnade.stripe_api.client import StripeClient
from colonnade.webhooks.extensions import installed
from colonnade_tenants.handlers import HANDLERS

Kind = Literal["platform", "connect"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_RECORDED = "select id, kind, api_version, created_at from webhook_endpoints order by created_at desc, id"
_RECORD = """
insert into webhook_endpoints (id, kind, api_version, secret_digest) values ($1, $2, $3, $4) on conflict do nothing
"""
_FORGET = "delete from webhook_endpoints where id = $1"


class Recorded(msgspec.Struct, frozen=True):
    """An endpoint that this deployment made."""

    id: str
    kind: Kind
    api_version: str
    created_at: datetime


class Provisioned(msgspec.Struct, frozen=True):
    """An endpoint that is now as wanted; *secret* only where it was just made, since Stripe never shows it again."""

    kind: Kind
    id: str
    url: str
    done: Literal["created", "updated", "unchanged", "removed"]
    secret: str | None = None


def handled_types() -> list[str]:
    """The event types that Stripe is asked to send: those that have a handler, of ours or of an installed package.

    Raises `ExtensionBroken`.
    """
    return sorted({*HANDLERS, *(each.event_type for each in installed())})


def endpoint_url(base_url: str, kind: Kind) -> str:
    """Where Stripe delivers events of *kind*."""
    return f"{base_url}/webhooks/stripe/{kind}"


async def recorded(connection: asyncpg.Connection) -> list[Recorded]:
    """The endpoints that this deployment made, the newest first."""
    return [Recorded(*row) for row in await connection.fetch(_RECORDED)]


async def find(client: StripeClient, endpoint_id: str) -> dict[str, Any] | None:
    """The endpoint as Stripe has it."""
    try:
        return await client.get(f"/v1/webhook_endpoints/{endpoint_id}")
    except NotFound:
        return None


async def provision(
    connection: asyncpg.Connection, client: StripeClient, base_url: str, *, roll: bool = False
) -> list[Provisioned]:
    """Make or mend one endpoint of each kind with the SDK's API version; *roll*: make another beside it.

    Raises the client's errors. What was made before one is recorded, so that a repeat goes on from there.
    """
    known = await recorded(connection)
    return [await _provision(connection, client, known, kind, endpoint_url(base_url, kind), roll) for kind in KINDS]


async def _provision(
    connection: asyncpg.Connection, client: StripeClient, known: list[Recorded], kind: Kind, url: str, roll: bool
) -> Provisioned:
    current = [each for each in known if each.kind == kind and each.api_version == stripe.api_version]
    for each in [] if roll else current:
        if (found := await find(client, each.id)) is not None:
            return await _mend(client, kind, found, url)
        await connection.execute(_FORGET, each.id)
    made = await client.post(
        "/v1/webhook_endpoints",
        _wanted(url)
        | {
            "connect": kind == "connect",
            "api_version": stripe.api_version,
            "description": f"Colonnade, {kind} events",
        },
    )
    await connection.execute(_RECORD, made["id"], kind, stripe.api_version, digest(made["secret"]))
    return Provisioned(kind, made["id"], url, "created", made["secret"])


async def _mend(client: StripeClient, kind: Kind, found: Mapping[str, Any], url: str) -> Provisioned:
    wanted = _wanted(url)
    same = found["url"] == url and found["status"] == "enabled" and sorted(found["enabled_events"]) == handled_types()
    if not same:
        await client.post(f"/v1/webhook_endpoints/{found['id']}", wanted | {"disabled": False})
    return Provisioned(kind, found["id"], url, "unchanged" if same else "updated")


def _wanted(url: str) -> dict[str, Any]:
    return {"url": url, "enabled_events": handled_types()}


async def remove_old(connection: asyncpg.Connection, client: StripeClient) -> list[Provisioned]:
    """Delete all endpoints of this deployment but the newest of each kind. Raises the client's errors."""
    removed = []
    kept: set[str] = set()
    for each in await recorded(connection):
        if each.kind not in kept:
            kept.add(each.kind)
            continue
        if (found := await find(client, each.id)) is not None:
            await client.delete(f"/v1/webhook_endpoints/{each.id}")
            removed.append(Provisioned(each.kind, each.id, cast("str", found["url"]), "removed"))
        await connection.execute(_FORGET, each.id)
    return removed
