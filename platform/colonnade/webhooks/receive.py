"""The two endpoints that Stripe delivers to: verify, store, answer 200.

`Deliveries` takes them before the application and what observes it, which cost more than storing (measured). Only what
goes wrong goes on to the routes, where every other error is answered too. 4xx only for a bad signature or shape, and
5xx only if the event could not be stored: Stripe repeats what fails, and disables an endpoint that keeps failing. The
body, the signature and the secrets are never logged.
"""

import re
import time
from datetime import UTC, datetime
from typing import cast

import structlog
from litestar import asgi
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from colonnade.conventions.ending import announced
from colonnade.errors import Invalid, NotFound, Unavailable
from colonnade.middleware import BEGAN, GONE
from colonnade.observability import RECEIVED, REQUEST_SECONDS, REQUESTS, STORED, redact
from colonnade.settings import Settings
from colonnade.tracing.switch import current
from colonnade.webhooks.body import Bodies, Gone
from colonnade.webhooks.envelope import NO_LANE, Envelope, decode, identify
from colonnade.webhooks.forensics import Keyring, Refused
from colonnade.webhooks.refusals import Refusals
from colonnade.webhooks.signature import BadSignature, WebhookSecret, verify
from colonnade.webhooks.writer import InboxWriter, Received
from colonnade_tenants.handlers import HANDLERS

log = structlog.get_logger()

_ANSWERS: dict[type[Exception], str] = {
    MethodNotAllowedException: "method",
    NotFound: "off",
    RequestEntityTooLarge: "too large",
    HTTPException: "too slow",
    BadSignature: "signature",
    Invalid: "shape",
    Unavailable: "not stored",
}


def keyring(settings: Settings) -> Keyring:
    """The secrets of *settings*."""

    def parsed(texts: tuple[str, ...]) -> tuple[WebhookSecret, ...]:
        return tuple(map(WebhookSecret.parse, texts))

    platform_secrets = parsed(settings.stripe_platform_webhook_secrets)
    connect_secrets = parsed(settings.stripe_connect_webhook_secrets)
    other_mode = parsed(settings.stripe_other_mode_webhook_secrets)
    return Keyring({"platform": platform_secrets, "connect": connect_secrets}, other_mode)


class Receiver:
    """What both endpoints of a process share."""

    def __init__(self, settings: Settings, writer: InboxWriter, refusals: Refusals) -> None:
        self._secrets = keyring(settings).endpoints
        self._livemode = settings.livemode
        self._writer, self._store = writer, current().storing(writer.store)
        self._refusals = refusals
        self._bodies = Bodies()

    async def deliver(self, endpoint: str, scope: HTTPScope, receive: Receive) -> bool:
        """Store the request's event; whether anyone waits for the answer. Raises what `_ANSWERS` names."""
        try:
            self._admit(endpoint, scope)
            length = announced(scope)
            signatures = [value for name, value in scope["headers"] if name == b"stripe-signature"]
            body = await self._bodies.read(length, receive)
            now = time.time()
            try:
                verify(signatures, body, self._secrets[endpoint], now)
            except BadSignature:
                self._refusals.note(Refused(endpoint, signatures, body, length, now))
                raise
            row = self._row(endpoint, body)
            await self._store(row)
        except Gone:
            return False
        except Exception as error:
            RECEIVED.counts[endpoint, _ANSWERS.get(type(error), "failed")] += 1
            raise
        RECEIVED.counts[endpoint, "stored" if row.state == "pending" else row.state] += 1
        STORED.counts[endpoint, row.type if row.type in HANDLERS else "other"] += 1
        return True

    def _admit(self, endpoint: str, scope: HTTPScope) -> None:
        """Refuse a request before its body is read."""
        if scope["method"] != "POST":
            raise MethodNotAllowedException(detail="Events are POSTed here.", headers={"Allow": "POST"})
        if not self._secrets[endpoint]:
            raise NotFound("This endpoint is off: it has no secret.")
        if self._writer.full:
            raise Unavailable("Too many events are waiting to be stored; send it again later.", retry_after=2)

    def _row(self, endpoint: str, body: bytes) -> Received:
        try:
            envelope = decode(body)
        except Invalid as error:
            return self._unreadable(endpoint, body, error)
        if envelope.livemode != self._livemode:
            return Received(*envelope, endpoint, body, "ignored", "livemode")
        return Received(*envelope, endpoint, body)

    def _unreadable(self, endpoint: str, body: bytes, error: Invalid) -> Received:
        """A dead letter: Stripe signed it, and would disable an endpoint that refuses it. Raises `Invalid`.

        It can be replayed once a version of this program can read it.
        """
        least = identify(body, error)
        log.error("event unreadable", event_id=least.id, type=least.type, error=str(error))
        known = Envelope(least.id, None, least.type, least.id, datetime.now(UTC), None, self._livemode, NO_LANE)
        # msgspec repeats a wrong value as it is, and PostgreSQL takes no NUL.
        reason = re.sub(r"[^ -~]", "?", redact(str(error)))[:300]
        return Received(*known, endpoint, body, "dead", reason)


def _receiver(scope: Scope) -> Receiver:
    receiver: Receiver = scope["litestar_app"].state["receiver"]  # as an attribute it takes six times as long
    return receiver


async def _acknowledge(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


PLATFORM, CONNECT = "/webhooks/stripe/platform", "/webhooks/stripe/connect"
_ENDPOINTS = {PLATFORM: "platform", CONNECT: "connect"}
_REFUSED = "colonnade.refused"
"""In the scope: the error that a delivery ended in, for its route to raise."""


class Deliveries:
    """*app*, with deliveries taken, and counted as requests, before it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = _ENDPOINTS.get(scope["path"])
        if endpoint is None or scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        try:
            waiting = await _receiver(scope).deliver(endpoint, scope, receive)
        except Exception as error:
            scope["path_template"] = scope["path"]  # what the request is counted under
            scope[_REFUSED], scope[BEGAN] = error, began  # type: ignore[literal-required]
            await self._app(scope, receive, send)
            return
        if waiting:
            await _acknowledge(send)
        REQUESTS.counts["POST", scope["path"], 200 if waiting else GONE] += 1
        REQUEST_SECONDS.observe(scope["path"], time.perf_counter() - began)


async def _route(endpoint: str, scope: Scope, receive: Receive, send: Send) -> None:
    refused = cast("Exception | None", scope.get(_REFUSED))
    if refused is not None:
        raise refused
    if await _receiver(scope).deliver(endpoint, cast("HTTPScope", scope), receive):
        await _acknowledge(send)


# Paths that Litestar takes for the same, such as with a slash at the end, come here at once.
@asgi(PLATFORM, copy_scope=False)
async def platform(scope: Scope, receive: Receive, send: Send) -> None:
    """Events of the platform's own account."""
    await _route("platform", scope, receive, send)


@asgi(CONNECT, copy_scope=False)
async def connect(scope: Scope, receive: Receive, send: Send) -> None:
    """Events of connected accounts."""
    await _route("connect", scope, receive, send)


ROUTES = (platform, connect)
