"""The composition root: the only module that knows every part of the web process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.di import NamedDependency, Provide
from litestar.routes import HTTPRoute

import colonnade.access.audit_routes
import colonnade.access.routes
import colonnade.accounts.export_routes
import colonnade.accounts.lifecycle_routes
import colonnade.accounts.onboarding_routes
import colonnade.accounts.readiness_routes
import colonnade.accounts.routes
import colonnade.catalogue.routes
import colonnade.checks.routes
import colonnade.customers.routes
import colonnade.entitlement_tokens.routes
import colonnade.entitlements.routes
import colonnade.health
import colonnade.imports.routes
import colonnade.notifications.log_routes
import colonnade.notifications.routes
import colonnade.notifications.stream
import colonnade.portals.branding.routes
import colonnade.portals.browser
import colonnade.portals.configuration_routes
import colonnade.portals.preview.routes
import colonnade.portals.return_routes
import colonnade.portals.session_routes
import colonnade.stripe_entitlements.routes
import colonnade.webhooks.receive
import colonnade.webhooks.routes
from colonnade import reference
from colonnade.access import audit
from colonnade.access.actors import Told
from colonnade.access.gate import Gate
from colonnade.access.guard import Principal, Tenant, guard
from colonnade.checks.checks import Checks
from colonnade.checks.front import ChecksFront
from colonnade.conventions.ending import ending
from colonnade.conventions.headers import Shield
from colonnade.conventions.origins import TenantOrigins
from colonnade.conventions.strict import StrictRequest
from colonnade.database.connections import Database
from colonnade.middleware import RequestObserver
from colonnade.notifications.feed import Feed
from colonnade.portals.front import SessionsFront
from colonnade.portals.rooms import Room
from colonnade.problems import EXCEPTION_HANDLERS
from colonnade.services import Services
from colonnade.settings import Settings
from colonnade.stopping import ENDING
from colonnade.stripe_api.client import StripeGateway
from colonnade.tracing.switch import current
from colonnade.webhooks.receive import Deliveries, Receiver, keyring
from colonnade.webhooks.refusals import Refusals
from colonnade.webhooks.writer import InboxWriter

GUARDED = (
    *colonnade.access.routes.ROUTES,
    *colonnade.access.audit_routes.ROUTES,
    *colonnade.accounts.routes.ROUTES,
    *colonnade.accounts.lifecycle_routes.ROUTES,
    *colonnade.accounts.export_routes.ROUTES,
    *colonnade.accounts.onboarding_routes.ROUTES,
    *colonnade.accounts.readiness_routes.ROUTES,
    *colonnade.portals.branding.routes.ROUTES,
    *colonnade.portals.preview.routes.ROUTES,
    *colonnade.portals.configuration_routes.ROUTES,
    *colonnade.portals.session_routes.ROUTES,
    *colonnade.catalogue.routes.ROUTES,
    *colonnade.customers.routes.ROUTES,
    *colonnade.entitlements.routes.ROUTES,
    *colonnade.checks.routes.ROUTES,
    *colonnade.entitlement_tokens.routes.ROUTES,
    *colonnade.stripe_entitlements.routes.ROUTES,
    *colonnade.webhooks.routes.ROUTES,
    *colonnade.imports.routes.ROUTES,
    *colonnade.notifications.routes.ROUTES,
    *colonnade.notifications.log_routes.ROUTES,
    *colonnade.notifications.stream.ROUTES,
)
PUBLIC = (
    *colonnade.accounts.onboarding_routes.PUBLIC_ROUTES,
    *colonnade.entitlement_tokens.routes.PUBLIC_ROUTES,
    *colonnade.portals.browser.PUBLIC_ROUTES,
    *colonnade.portals.return_routes.PUBLIC_ROUTES,
    *colonnade.health.ROUTES,
    *colonnade.webhooks.receive.ROUTES,
)

BODY_LIMIT = 256 * 1024
"""Bytes of a request's body; a larger one is answered 413."""


# Each names the one before it, though it needs none: Litestar resolves what is independent as tasks of a group, which
# costs a request more than all of them (measured). The tenant comes last: not every route has one.
def _principal(request: Request[Any, Any, Any], services: NamedDependency[Services]) -> Principal:
    principal: Principal = request.scope["state"]["principal"]
    return principal


def _current(request: Request[Any, Any, Any], principal: NamedDependency[Principal]) -> Tenant:
    tenant: Tenant = request.scope["state"]["tenant"]
    return tenant


def _told(principal: NamedDependency[Principal], services: NamedDependency[Services]) -> Told:
    return Told(services.database, principal.tenant_id)


def _name_all_methods(app: Litestar) -> None:
    """Let OPTIONS name every method of its path: Litestar 2.25 names those of the handler that came first."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            handler, _ = route.route_handler_map["OPTIONS"]
            handler(route.create_options_handler(route.path).fn)


def create_app(settings: Settings, *, database_url: str, secret_key: str) -> Litestar:
    """The web application on the database at *database_url*.

    Starting it raises `UnsafeLogin` where that login could bypass row-level security.
    """

    checks = Checks(database_url, settings.check_memory_mb * 1024 * 1024)
    gate = Gate(settings, database_url, checks.keys)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        gateway = StripeGateway(settings, "web")
        try:
            async with (
                Database(database_url, audit.before_commit) as database,
                InboxWriter(database.ingest_pool) as writer,
                Refusals(keyring(settings), database.platform_pool) as refusals,
                Feed(database) as feed,
                checks,
                gate,
            ):
                gateway.use(database.platform_pool)
                app.state.receiver = Receiver(settings, writer, refusals)
                app.state.feed = feed
                app.state.services = Services(settings, secret_key, database, gateway)
                yield
        finally:
            await gateway.close()

    def services(request: Request[Any, Any, Any]) -> Services:
        found: Services = request.app.state.services
        return found

    async def logged(response: Response[Any]) -> Response[Any]:
        """A key or tenant that this request changed is not taken for what it was; other processes hear of it."""
        if audit.changes("key", "tenant"):
            gate.known.forget()
        return await audit.after_request(response)

    app = Litestar(
        route_handlers=[
            Router("/v1", route_handlers=GUARDED, guards=[guard], after_request=logged),
            *PUBLIC,
            reference.assets(),
        ],
        dependencies={
            "services": Provide(services, sync_to_thread=False),
            "current": Provide(_current, sync_to_thread=False),
            "principal": Provide(_principal, sync_to_thread=False),
            "told": Provide(_told, sync_to_thread=False),
        },
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=[lifespan],
        request_class=StrictRequest,
        openapi_config=reference.config((*GUARDED, *PUBLIC)),
        logging_config=None,  # `configure_logging` has set it up
        request_max_body_size=BODY_LIMIT,
    )
    _name_all_methods(app)
    app.state.checks, app.state.gate, app.state.room = checks, gate, Room()
    app.state[ENDING] = asyncio.Event()
    fronts = SessionsFront(ChecksFront(app.asgi_handler, checks, gate), gate)
    inner = TenantOrigins(fronts, lambda: app.state.services.database.platform_pool)
    outer = Deliveries(RequestObserver(inner, Shield(settings.base_url)))
    app.asgi_handler = current().application(ending(outer))
    return app
