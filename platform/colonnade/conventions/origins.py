"""Requests from pages of other origins (CORS): a tenant's routes answer pages of that tenant's `return_origins` alone.

A route that belongs to no tenant is closed to browsers. No cookie is ever looked at, so that none is allowed along.
"""

import re
from collections.abc import Awaitable, Callable

import asyncpg
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

_TENANT = re.compile(r"/v1/tenants/(ten_[0-9A-Za-z_]+)(?:/.*)?", re.DOTALL)
_ALLOWS = "select $2 = any(return_origins) from tenants where public_id = $1"
_UNASKED = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
_MAY_SEND = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Request-Id, X-Request-Id"
)
_MAY_READ = (
    b"ETag, Request-Id, Retry-After, RateLimit, RateLimit-Policy, RateLimit-Limit, RateLimit-Remaining, "
    b"RateLimit-Reset, Deprecation, Sunset, Link"
)
_VARY = (b"vary", b"Origin")
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", _MAY_SEND),
    (b"access-control-max-age", b"600"),
)


class TenantOrigins:
    """*app*, open to pages of each tenant's own origins below that tenant's path."""

    def __init__(self, app: ASGIApp, pool: Callable[[], asyncpg.Pool]) -> None:
        self._app, self._pool = app, pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _TENANT.fullmatch(scope["path"]) if scope["type"] == ScopeType.HTTP else None
        headers = dict(scope["headers"]) if found else {}
        origin = headers.get(b"origin")
        if found is None or origin is None:
            await self._app(scope, receive, send)
            return
        allowed = await self._allows(found[1], origin)
        ours = [_VARY, *([(b"access-control-allow-origin", origin)] if allowed else [])]
        if scope.get("method") == "OPTIONS" and b"access-control-request-method" in headers:
            ours += _PREFLIGHT if allowed else ()
            await send({"type": "http.response.start", "status": 204, "headers": ours})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if allowed:
            ours.append((b"access-control-expose-headers", _MAY_READ))
        await self._app(scope, receive, _adding(send, ours))

    async def _allows(self, tenant: str, origin: bytes) -> bool:
        """Asked anew each time: an origin that was taken off the list is out at once."""
        try:
            async with self._pool().acquire(timeout=3) as connection:
                return bool(await connection.fetchval(_ALLOWS, tenant, origin.decode("latin-1")))
        except _UNASKED as error:
            log.warning("origins not asked", error=type(error).__name__)
            return False


def _adding(send: Send, ours: list[tuple[bytes, bytes]]) -> Send:
    def answer(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *ours]
        return send(message)

    return answer
