"""The ASGI application: Stripe's API, its hosted pages, and the sandbox's own routes."""

import time
import traceback
from email.utils import formatdate
from pathlib import Path

import msgspec

from colonnade_sandbox import control, errors, hosted, oauth
from colonnade_sandbox.api import Api
from colonnade_sandbox.http import Receive, Request, Response, Scope, Send, read
from colonnade_sandbox.sandbox import Sandbox


class App:
    """One sandbox behind ASGI; its loops run between lifespan start and shutdown."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._api = Api(sandbox)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._sandbox.listeners.serve(scope, receive, send)
        elif scope["type"] == "http":
            request = await read(scope, receive)
            response = await self._answer(request)
            await response.send(send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._sandbox.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._sandbox.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, request: Request) -> Response:
        started = time.perf_counter()
        try:
            response = await self._dispatch(request)
        except Exception:  # a bug here must look to the caller as Stripe's own failures do
            traceback.print_exc()
            response = Response.json({"error": errors.failed().error}, 500)
        # Stripe dates its answers by the clock that its events are created by.
        response.headers.append(("date", formatdate(self._sandbox.clock.now(), usegmt=True)))
        if not request.path.startswith("/_sandbox/"):
            self._log(request, response, time.perf_counter() - started)
            if self._sandbox.record is not None and request.path.startswith(("/v1/", "/v2/")):
                _record(self._sandbox.record, request, response)
        return response

    async def _dispatch(self, request: Request) -> Response:
        path = request.path
        if path.startswith("/_sandbox/"):
            return control.answer(request, self._sandbox)
        if path.startswith("/oauth/"):
            return oauth.answer(request, self._sandbox)
        if path.startswith(("/v1/", "/v2/")):
            return await self._api.answer(request)
        if path.startswith(("/c/", "/p/", "/onboarding/", "/files/", "/invoice/")):
            return await hosted.handle(request, self._sandbox)
        error = errors.unknown_url(request.method, path)
        return Response.json({"error": error.error}, error.status)

    def _log(self, request: Request, response: Response, seconds: float) -> None:
        headers = dict(response.headers)
        self._sandbox.log.append(
            {
                "id": headers.get("request-id"),
                "method": request.method,
                "path": request.path,
                "account": request.headers.get("stripe-account"),
                "idempotency_key": request.headers.get("idempotency-key"),
                "query": request.query,
                "body": request.body[:10_000].decode("utf-8", "replace"),
                "status": response.status,
                "replayed": "idempotent-replayed" in headers,
                "milliseconds": round(seconds * 1000, 3),
            }
        )


def _record(file: Path, request: Request, response: Response) -> None:
    reply = {"method": request.method, "path": request.path, "status": response.status}
    line = msgspec.json.encode(reply | {"body": msgspec.Raw(msgspec.json.format(response.body, indent=-1))})
    with file.open("ab") as lines:
        lines.write(line + b"\n")
