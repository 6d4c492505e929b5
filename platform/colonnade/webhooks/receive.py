"""The two endpoints that Stripe delivers to: verify, store, answer 200.

Raw ASGI, for what a route costs beside it (a third of the work on this path; measured). 4xx only for a bad signature or
shape, and 5xx only if the event could not be stored: Stripe repeats what fails, and disables an endpoint that keeps
failing. The body, the signature and the secrets are never logged.
"""

import time
from typing import Any, cast

from litestar import asgi
from litestar.exceptions import MethodNotAllowedException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import HTTPScope, Receive, Scope, Send

from colonnade.errors import Invalid, NotFound, Unavailable
from colonnade.observability import RECEIVED
from colonnade.settings import Settings
from colonnade.webhooks.envelope import decode
from colonnade.webhooks.signature import BadSignature, verify
from colonnade.webhooks.writer import InboxWriter, Received

BODY_LIMIT = 1024 * 1024
"""Bytes of an event, at most."""

_ANSWERS: dict[type[Exception], str] = {
    MethodNotAllowedException: "method",
    NotFound: "off",
    RequestEntityTooLarge: "too large",
    BadSignature: "signature",
    Invalid: "shape",
    Unavailable: "not stored",
}


class Gone(Exception):
    """The client went away before its request was whole."""


class Receiver:
    """What both endpoints of a process share."""

    def __init__(self, settings: Settings, writer: InboxWriter) -> None:
        self._secrets = {
            "platform": settings.stripe_platform_webhook_secrets,
            "connect": settings.stripe_connect_webhook_secrets,
        }
        self._livemode = settings.livemode
        self._writer = writer

    async def deliver(self, endpoint: str, scope: HTTPScope, receive: Receive) -> str:
        """Store the request's event; what was done with it. Raises what `_ANSWERS` names, and `Gone`."""
        if scope["method"] != "POST":
            raise MethodNotAllowedException(detail="Events are POSTed here.", headers={"Allow": "POST"})
        secrets = self._secrets[endpoint]
        if not secrets:
            raise NotFound("This endpoint is off: it has no secret.")
        body = await _body(scope, receive)
        signatures = [value for name, value in scope["headers"] if name == b"stripe-signature"]
        verify(signatures, body, secrets, time.time())
        row = self._row(endpoint, body)
        await self._writer.store(row)
        return "stored" if row.state == "pending" else row.state

    def _row(self, endpoint: str, body: bytes) -> Received:
        envelope = decode(body)
        ours = envelope.livemode == self._livemode
        return Received(
            event_id=envelope.id,
            endpoint=endpoint,
            account=envelope.connected_account,
            type=envelope.type,
            object_id=envelope.key,
            created=envelope.created_at,
            api_version=envelope.api_version,
            livemode=envelope.livemode,
            body=body,
            state="pending" if ours else "ignored",
            reason=None if ours else "livemode",
        )


async def _body(scope: HTTPScope, receive: Receive) -> bytes:
    """The exact bytes that were sent."""
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    too_large = RequestEntityTooLarge(detail=f"An event has at most {BODY_LIMIT} bytes.")
    if announced.isdigit() and int(announced[:20]) > BODY_LIMIT:
        raise too_large
    body = bytearray()
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


async def _answer(endpoint: str, scope: Scope, receive: Receive, send: Send) -> None:
    receiver = cast("Receiver", scope["litestar_app"].state.receiver)
    try:
        done = await receiver.deliver(endpoint, cast("HTTPScope", scope), receive)
    except Gone:
        return
    except Exception as error:
        RECEIVED.labels(endpoint, _ANSWERS.get(type(error), "failed")).inc()
        raise
    RECEIVED.labels(endpoint, done).inc()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asgi("/webhooks/stripe/platform", copy_scope=False)
async def platform(scope: Scope, receive: Receive, send: Send) -> None:
    """Events of the platform's own account."""
    await _answer("platform", scope, receive, send)


@asgi("/webhooks/stripe/connect", copy_scope=False)
async def connect(scope: Scope, receive: Receive, send: Send) -> None:
    """Events of connected accounts."""
    await _answer("connect", scope, receive, send)


ROUTES = (platform, connect)
