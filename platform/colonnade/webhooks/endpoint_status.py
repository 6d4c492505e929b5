"""Whether the webhook endpoints at Stripe are as this deployment needs them, and whether their events arrive."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

import asyncpg
import msgspec
import stripe

from colonnade.errors import StripeRefused
from colonnade.settings import Settings, variable
from colonnade.stripe_api.client import StripeClient, StripeGateway
from colonnade.webhooks.provision import KINDS, Kind, Recorded, endpoint_url, find, handled_types, recorded
from colonnade.webhooks.signature import WebhookSecret

GRACE = 600
"""Seconds that an event may take before it counts as missing: Stripe's first retries are over then."""
SAMPLE = 10
"""Connected accounts whose last event is looked for."""
REPEATED = timedelta(days=3)
"""For how long Stripe repeats a delivery that failed ("Webhooks: automatic retries", Stripe docs)."""
RECENT = 5
"""Events of an account that a sweep alone has to have found, before that counts as nothing being delivered.

Fewer could mislead: a sweep that overtakes a delivery marks an event that is delivered a moment later.
"""

_STRANGER = "it delivers here, and its secret is unknown: delete it at Stripe"
_CAME = "select event_id, swept from inbox where event_id = any($1)"
_LAST = "select received_at from inbox where endpoint = $1 order by id desc limit 1"
_ACCOUNTS = "select stripe_account from tenants where stripe_account is not null order by id desc limit $1"


Cure = Literal["provision", "remove-old", "delete"]
"""`webhooks provision`; the same with `--remove-old`, which an overlap ends in; or by hand at Stripe."""


class Drift(msgspec.Struct, frozen=True):
    """A difference between what Stripe has and what is needed, as a sentence.

    *cure*: what ends it; `remove-old` is of an older endpoint, beside the one that takes its place.
    """

    kind: Kind
    endpoint: str | None
    problem: str
    cure: Cure = "provision"


class Status(msgspec.Struct, frozen=True):
    """The recorded endpoints, when an event last came to each kind, and what is wrong.

    Which endpoint of a kind brought an event is not kept: it is the same event from each.
    """

    endpoints: list[Recorded]
    last_received: dict[Kind, str | None]
    drifts: list[Drift]


async def status(connection: asyncpg.Connection, gateway: StripeGateway, settings: Settings) -> Status:
    """Compare Stripe's view with ours. Raises the client's errors."""
    known = await recorded(connection)
    drifts = list(_configured(settings))
    for kind in KINDS:
        drifts += await _endpoints(gateway.platform, [each for each in known if each.kind == kind], kind, settings)
    drifts += await _strangers(gateway.platform, {each.id for each in known}, settings)
    drifts += await _missing(connection, gateway)
    last = {kind: await connection.fetchval(_LAST, kind) for kind in KINDS}
    return Status(known, {kind: at and at.isoformat(timespec="seconds") for kind, at in last.items()}, drifts)


def _configured(settings: Settings) -> Iterator[Drift]:
    for kind in KINDS:
        field = f"stripe_{kind}_webhook_secrets"
        secrets = [WebhookSecret.parse(text) for text in getattr(settings, field)]
        if not any(secret.accepted(time.time()) for secret in secrets):
            yield Drift(kind, None, f"{variable(field)} holds no secret that is accepted: deliveries are refused")


async def _endpoints(client: StripeClient, known: list[Recorded], kind: Kind, settings: Settings) -> list[Drift]:
    if not known:
        return [Drift(kind, None, "no endpoint was made: run `colonnade webhooks provision`")]
    drifts = []
    url, newest = endpoint_url(settings.base_url, kind), known[0]
    for each in known:
        found, older = await find(client, each.id), each is not newest
        cure: Cure = "remove-old" if older else "provision"
        drifts += [Drift(kind, each.id, problem, cure) for problem in _differences(found, url)]
        if older and found is not None:
            drifts.append(Drift(kind, each.id, _overlap(newest.created_at + REPEATED), cure))
    return drifts


def _overlap(over: datetime) -> str:
    return (
        "an older endpoint still delivers, as it should while a secret or version changes: `provision --remove-old` "
        f"ends that; from {over:%Y-%m-%d %H:%M} UTC on Stripe repeats nothing to it any more"
    )


def _differences(found: dict[str, Any] | None, url: str) -> Iterator[str]:
    if found is None:
        yield "Stripe does not have it any more"
        return
    if found["status"] != "enabled":
        yield "it is disabled: nothing is delivered"
    if found["url"] != url:
        yield f"it delivers to {found['url']} instead of {url}"
    if found["api_version"] != stripe.api_version:
        yield f"its API version is {found['api_version']} instead of {stripe.api_version}"
    wanted, has = set(handled_types()), set(found["enabled_events"])
    if missing := sorted(wanted - has) if "*" not in has else []:
        yield f"these types are not sent: {', '.join(missing)}"
    if surplus := sorted(has - wanted):
        yield f"these types are sent and not handled: {', '.join(surplus)}"


async def _strangers(client: StripeClient, known: set[str], settings: Settings) -> list[Drift]:
    """Endpoints that deliver here and were not made by `provision`, or by one that was interrupted."""
    page = await client.get("/v1/webhook_endpoints", {"limit": 100})
    kinds = {endpoint_url(settings.base_url, kind): kind for kind in KINDS}
    return [
        Drift(kinds[each["url"]], each["id"], _STRANGER, "delete")
        for each in page["data"]
        if each["url"] in kinds and each["id"] not in known
    ]


async def _missing(connection: asyncpg.Connection, gateway: StripeGateway) -> list[Drift]:
    """Whether the last events that Stripe made of handled types came: of the platform, and of some accounts."""
    drifts = await _last_came(connection, gateway.platform, "platform")
    for (account,) in await connection.fetch(_ACCOUNTS, SAMPLE):
        try:
            drifts += await _last_came(connection, gateway.account(account), "connect")
        except StripeRefused:
            continue  # it has disconnected: its events cannot be listed
    return drifts


async def _last_came(connection: asyncpg.Connection, client: StripeClient, kind: Kind) -> list[Drift]:
    settled = int(time.time()) - GRACE
    page = await client.get("/v1/events", {"limit": 100, "created": {"lte": settled}})
    types = set(handled_types())
    last = [each for each in page["data"] if each["type"] in types][:RECENT]
    swept = dict(await connection.fetch(_CAME, [each["id"] for each in last]))
    whose = f" of {client.account}" if client.account else ""
    if last and last[0]["id"] not in swept:
        problem = f"{last[0]['id']} ({last[0]['type']}{whose}) never came, though Stripe made it"
        return [Drift(kind, None, problem)]
    if len(last) == RECENT and all(swept.get(each["id"], True) for each in last):
        return [Drift(kind, None, f"the last {RECENT} events{whose} were found by a sweep alone: none is delivered")]
    return []
