"""Routes of what was sent: notifications, deliveries with their tries, a test, and sending again."""

from typing import Annotated, get_args

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct

from colonnade.access.guard import Tenant
from colonnade.access.scopes import Role, Scope, allow
from colonnade.errors import Conflict, Invalid
from colonnade.notifications import endpoints
from colonnade.notifications.endpoints import Stored, check_types
from colonnade.notifications.routes import ONE, TAGS
from colonnade.services import Services
from colonnade.web import After, Limit, Page, number_from_cursor, page_of
from colonnade_tenants.notifications import log, notes, queue, record
from colonnade_tenants.notifications.log import DeliveryLog, DeliveryState, DeliveryView
from colonnade_tenants.notifications.payloads import Body
from colonnade_tenants.notifications.queue import Selection
from colonnade_tenants.times import Moment

_NOTIFICATIONS = "/tenants/{tenant:str}/notifications"
_STATES = get_args(DeliveryState)
StateFilter = Annotated[
    str | None, QueryParameter(name="state", enum=_STATES, description="Only deliveries in this state.")
]


class Replay(Struct, forbid_unknown_fields=True):
    """Which notifications; at least one field. *failed*: only those that were given up."""

    notifications: Annotated[list[str], Meta(min_length=1, max_length=1000)] | None = None
    types: Annotated[list[str], Meta(min_length=1)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    failed: bool = False


class SentAgain(Struct):
    """How many notifications are sent again."""

    count: int


class Pinged(Struct):
    """The test's notification; its delivery shows what came of it."""

    notification: str


def _require_enabled(endpoint: Stored) -> None:
    if endpoint.shown.state != "enabled":
        raise Conflict("The endpoint is disabled: enable it first.", "endpoint")


@get(
    _NOTIFICATIONS,
    summary="What the tenant was told in the last 30 days, newest first",
    tags=TAGS,
    opt=allow(Scope.READ),
)
async def list_notifications(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[Body]:
    async with services.database.tenant(current.id) as session:
        found = await log.bodies(session, number_from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each[0], lambda each: each[1])


@get(_NOTIFICATIONS + "/{notification:str}", summary="One notification", tags=TAGS, opt=allow(Scope.READ))
async def get_notification(
    notification: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Body:
    async with services.database.tenant(current.id) as session:
        return await log.body(session, notification)


@get(ONE + "/deliveries", summary="Deliveries to an endpoint, newest first", tags=TAGS, opt=allow(Scope.READ))
async def list_deliveries(
    endpoint: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    limit: Limit = 20,
    after: After = None,
    delivery_state: StateFilter = None,
) -> Page[DeliveryView]:
    if delivery_state is not None and delivery_state not in _STATES:
        raise Invalid(f"One of {', '.join(_STATES)}.", "state")
    wanted = msgspec.convert(delivery_state, DeliveryState | None)
    async with services.database.tenant(current.id) as session:
        of = (await endpoints.get(session, endpoint)).id
        found = await log.deliveries(session, of, wanted, number_from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each[0], lambda each: each[1])


@get(ONE + "/deliveries/{notification:str}", summary="A delivery and its tries", tags=TAGS, opt=allow(Scope.READ))
async def get_delivery(
    endpoint: FromPath[str],
    notification: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> DeliveryLog:
    async with services.database.tenant(current.id) as session:
        return await log.delivery(session, (await endpoints.get(session, endpoint)).id, notification)


@post(ONE + "/ping", summary="Send a test to an endpoint", tags=TAGS, status_code=202)
async def ping_endpoint(
    endpoint: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Pinged:
    async with services.database.tenant(current.id) as session:
        found = await endpoints.get(session, endpoint, lock=True)
        _require_enabled(found)
        (sent,) = await record(await session.twin(), [notes.ping(found.id)])
    return Pinged(sent)


@post(
    ONE + "/replay",
    summary="Send notifications again: some, or all since a time",
    tags=TAGS,
    status_code=202,
    opt=allow(Role.SUPPORT),
)
async def replay_notifications(
    endpoint: FromPath[str],
    data: JSONBody[Replay],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> SentAgain:
    if data == Replay():
        raise Invalid("Name the notifications, or give types, since, until or failed.", "notifications")
    check_types(data.types or ())
    async with services.database.tenant(current.id) as session:
        found = await endpoints.get(session, endpoint, lock=True)
        _require_enabled(found)
        selection = Selection(data.notifications, data.types, data.since, data.until, data.failed)
        count = await queue.replay(await session.twin(), found.id, selection)
        await endpoints.wake(session, found)
    return SentAgain(count)


ROUTES = (
    list_notifications,
    get_notification,
    list_deliveries,
    get_delivery,
    ping_endpoint,
    replay_notifications,
)
