"""Where customers come back from the portal: a page that waits until what they changed is known, and sends them on."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.response import Redirect

from colonnade.access.guard import Tenant
from colonnade.accounts.service import tenant_by_id
from colonnade.errors import NotFound
from colonnade.notifications.stream import EventStream
from colonnade.portals import links, pages, results
from colonnade.portals.browser import FOR_PEOPLE
from colonnade.portals.returning import settle
from colonnade.portals.rooms import Room
from colonnade.services import Services
from colonnade_tenants.portal import state, visits
from colonnade_tenants.portal.visits import Visit

POLL = 0.1
"""Seconds between looks."""
LONGEST = 60.0
"""Seconds that a stream goes on; a browser comes again."""

_ANSWERS = {
    200: ResponseSpec(str, description="A page that waits.", media_type=MediaType.HTML, generate_examples=False),
    303: ResponseSpec(None, description="On to the tenant's page.", generate_examples=False),
}


@get(
    links.PATH + "/{link:str}",
    summary="Come back from the portal: wait until what was changed is known, then go on to the tenant's page",
    tags=["Portals"],
    security=[{}],
    exception_handlers=FOR_PEOPLE,
    responses=_ANSWERS,
)
async def come_back(link: FromPath[str], services: NamedDependency[Services]) -> Response[Any]:
    tenant, visit_id = await _place(services, link)
    async with services.database.tenant_connection(tenant.id) as connection:
        await visits.again(connection, visit_id)
    return await _on(services, tenant, visit_id)


@get(
    links.PATH + "/{link:str}/done",
    summary="The same, from a flow that is done",
    tags=["Portals"],
    security=[{}],
    exception_handlers=FOR_PEOPLE,
    responses=_ANSWERS,
)
async def come_back_done(link: FromPath[str], services: NamedDependency[Services]) -> Response[Any]:
    tenant, visit_id = await _place(services, link)
    async with services.database.tenant_connection(tenant.id) as connection:
        await visits.completed(connection, visit_id)
        await visits.again(connection, visit_id)
    return await _on(services, tenant, visit_id)


@get(
    links.PATH + "/{link:str}/events",
    summary="One server-sent event, `settled`, once the customer can go on",
    tags=["Portals"],
    security=[{}],
    media_type="text/event-stream",
    exception_handlers=FOR_PEOPLE,
)
async def follow_return(
    link: FromPath[str], services: NamedDependency[Services], request: Request[Any, Any, Any]
) -> Response[bytes]:
    tenant, visit_id = await _place(services, link)
    room: Room = request.app.state.room
    room.require(tenant.id)
    return EventStream(_chunks(services, room, tenant, visit_id))


async def _chunks(services: Services, room: Room, tenant: Tenant, visit_id: str) -> AsyncGenerator[bytes]:
    with room.taken(tenant.id):
        yield b": waiting\n\n"
        async with asyncio.timeout(LONGEST):
            while (url := await _settled(services, tenant, visit_id)) is None:
                await asyncio.sleep(POLL)
    yield b"event: settled\ndata: " + msgspec.json.encode({"url": url}) + b"\n\n"


async def _on(services: Services, tenant: Tenant, visit_id: str) -> Response[Any]:
    url = await _settled(services, tenant, visit_id)
    return pages.waiting() if url is None else Redirect(url, status_code=303, headers=pages.HEADERS)


async def _settled(services: Services, tenant: Tenant, visit_id: str) -> str | None:
    """Where to send the customer; None while that has to wait."""
    visit = await settle(services, tenant, visit_id)
    if visit is None:
        raise NotFound("This link does not work.")
    if visit.outcome is None:
        return None
    return await results.forward_url(services, tenant, visit, await _reference(services, tenant, visit))


async def _reference(services: Services, tenant: Tenant, visit: Visit) -> str | None:
    async with services.database.tenant_connection(tenant.id) as connection:
        _, reference = await state.names(connection, visit.customer_id)
    return reference


async def _place(services: Services, link: str) -> tuple[Tenant, str]:
    place = links.verify(link, services.secret_key)
    return await tenant_by_id(services, place.tenant), place.visit


PUBLIC_ROUTES = (come_back, come_back_done, follow_return)
