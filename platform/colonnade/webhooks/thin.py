"""Thin events (`v2.core.event`): they say that something happened to an object, and Stripe is asked what.

Most have a snapshot event beside them. That is read by its id and handled as if it had been delivered: it says how the
object was at that time, so that what is later is decided as ever. Where it was delivered as well, the thin one adds
nothing. Of the others (accounts of the V2 API) the object is read as it is now. ("Event destinations", Stripe docs.)
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Container, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec
from msgspec import Struct

from colonnade.accounts.states import FROZEN, literal
from colonnade.errors import Invalid
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.client import StripeClient, StripeGateway
from colonnade.webhooks.clues import clues
from colonnade.webhooks.delivery import Delivery
from colonnade.webhooks.inbox import Claimed, Outcome
from colonnade_tenants.events import Event

AT_ONCE = 8
"""Reads of one batch that are under way together."""
TIMEOUT = 30
"""Seconds for one read."""

# What is told by finer events than the snapshot has (Stripe changelog, 2026-09-30.endive).
_GROUPS = (
    *("customer.subscription", "customer.discount", "entitlements.active_entitlement_summary", "invoice"),
    *("price", "product", "subscription_schedule"),
)
_OF_ACCOUNT = re.compile(r"v2\.core\.account(\[[a-z._]+\])?\.[a-z_]+")
_PATH = re.compile(r"/v[12](/[A-Za-z0-9_-]+)+")
_FROM_BODY_ALONE = frozenset({"account.application.authorized", "account.application.deauthorized"})
"""Who has disconnected can no longer be asked."""

_STORED = "select exists (select from inbox where event_id = $1)"
_ASKED = f"select exists (select from tenants where stripe_account = $1 and state not in {literal(FROZEN)})"  # noqa: S608

Failed = Callable[[Claimed, Exception], Outcome]


class _Related(Struct):
    id: str
    type: str
    url: str


class _Thin(Struct):
    """A notification, or the whole event: only the latter has *snapshot_event*, null where there is none."""

    object: str = ""
    snapshot_event: str | msgspec.UnsetType | None = msgspec.UNSET
    related_object: _Related | None = None


class _Data(Struct):
    object: dict[str, Any]
    previous_attributes: dict[str, Any] | None = None


class _Request(Struct):
    idempotency_key: str | None = None


class _Snapshot(Struct):
    type: str
    created: int
    data: _Data
    request: _Request | None = None


class _Wanted(NamedTuple):
    """A thin event that is to be read, and as what it is handled if it has no snapshot event."""

    type: str
    thin: _Thin

    @property
    def snapshot(self) -> str | None:
        """The id of its snapshot event, once that is known."""
        found = self.thin.snapshot_event
        return found if isinstance(found, str) and self.type not in _FROM_BODY_ALONE else None


def stands_for(event_type: str, handled: Container[str]) -> str | None:
    """The snapshot event type that a thin one tells of, as far as it is *handled*; None: nothing here acts on it."""
    if _OF_ACCOUNT.fullmatch(event_type):
        found = "account.updated"
    elif event_type.startswith("v1."):
        own = event_type.removeprefix("v1.")
        group = own.rpartition(".")[0]
        found = own if own in handled or group not in _GROUPS else f"{group}.updated"
    else:
        return None
    return found if found in handled else None


class ThinReader:
    """Turns thin events into what handlers take."""

    def __init__(self, gateway: StripeGateway, handled: Container[str]) -> None:
        self._gateway = gateway
        self._handled = handled

    async def complete(
        self, connection: asyncpg.Connection, found: Sequence[Delivery | Outcome], failed: Failed
    ) -> list[Delivery | Outcome]:
        """*found* with its thin events read. One that cannot be read is what *failed* makes of it.

        Left as they are: those that nobody handles, and those of an account that is no tenant's (for quarantine), or
        a frozen tenant's (to be held).
        """
        few, alone = asyncio.Semaphore(AT_ONCE), asyncio.Lock()

        async def exists(query: str, key: str) -> bool:
            async with alone:  # a connection takes one statement at a time
                return bool(await connection.fetchval(query, key))

        async def one(each: Delivery) -> Delivery | Outcome:
            try:
                async with few, asyncio.timeout(TIMEOUT):
                    return await self._complete(each, exists)
            except Exception as error:
                if connection.is_closed():  # the database's doing, not the event's
                    raise
                return failed(each.row, error)

        thin = {at: each for at, each in enumerate(found) if isinstance(each, Delivery) and _may_be_thin(each.row)}
        complete = dict(zip(thin, await asyncio.gather(*map(one, thin.values())), strict=True))
        return [complete.get(at, each) for at, each in enumerate(found)]

    async def read(self, delivery: Delivery) -> Delivery:
        """*delivery*, read if it is thin and handled. Raises the client's errors."""
        wanted = self._wanted(delivery.row)
        return delivery if wanted is None else await self._read(delivery.row, await self._whole(delivery.row, wanted))

    async def _complete(self, delivery: Delivery, exists: Callable[[str, str], Awaitable[bool]]) -> Delivery | Outcome:
        row = delivery.row
        wanted = self._wanted(row)
        if wanted is None:
            return delivery
        if wanted.type not in _FROM_BODY_ALONE and row.account and not await exists(_ASKED, row.account):
            return delivery
        wanted = await self._whole(row, wanted)
        if wanted.snapshot and await exists(_STORED, wanted.snapshot):
            return Outcome(row, "ignored", f"its snapshot event {wanted.snapshot} came as well")
        return await self._read(row, wanted)

    def _wanted(self, row: Claimed) -> _Wanted | None:
        if not _may_be_thin(row):
            return None
        thin = msgspec.json.decode(row.body, type=_Thin)
        known = stands_for(row.type, self._handled) if thin.object == "v2.core.event" else None
        return _Wanted(known, thin) if known else None

    async def _whole(self, row: Claimed, wanted: _Wanted) -> _Wanted:
        """With the id of its snapshot event, which a notification leaves out."""
        if wanted.type in _FROM_BODY_ALONE or wanted.thin.snapshot_event is not msgspec.UNSET:
            return wanted
        reply = await self._client(row).get(f"/v2/core/events/{row.event_id}")
        return wanted._replace(thin=msgspec.convert(reply, _Thin))

    async def _read(self, row: Claimed, wanted: _Wanted) -> Delivery:
        if wanted.snapshot:
            reply = await self._client(row).get(f"/v1/events/{wanted.snapshot}")
            snapshot = msgspec.convert(reply, _Snapshot)
        else:
            thing = {} if wanted.type in _FROM_BODY_ALONE else await self._now(row, wanted.thin.related_object)
            snapshot = _Snapshot(wanted.type, int(row.created.timestamp()), _Data(thing))
        return _delivery(row, snapshot)

    async def _now(self, row: Claimed, related: _Related | None) -> dict[str, Any]:
        if related is None:
            raise Invalid("The event names no object, and has no snapshot event.", "related_object")
        if related.type == "v2.core.account":
            platform = self._gateway.platform.bound(priority=Priority.EVENT)
            return await platform.get(f"/v1/accounts/{related.id}")
        if not _PATH.fullmatch(related.url):
            raise Invalid("This is no path of Stripe's API.", "related_object.url")
        return await self._client(row).get(related.url)

    def _client(self, row: Claimed) -> StripeClient:
        client = self._gateway.account(row.account) if row.account else self._gateway.platform
        return client.bound(priority=Priority.EVENT)


def _may_be_thin(row: Claimed) -> bool:
    """Without a look into the body."""
    return row.type.startswith(("v1.", "v2."))


def _delivery(row: Claimed, snapshot: _Snapshot) -> Delivery:
    thing, previous = snapshot.data.object, snapshot.data.previous_attributes
    key = snapshot.request.idempotency_key if snapshot.request else None
    created = datetime.fromtimestamp(snapshot.created, UTC)
    raw = msgspec.Raw(msgspec.json.encode(thing))
    event = Event(row.event_id, snapshot.type, created, row.account, raw, previous, key)
    return Delivery(row, event, clues(row.account, thing, previous))
