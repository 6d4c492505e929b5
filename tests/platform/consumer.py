"""A tenant's own web server, as its developers would write it: it checks each notification and keeps it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError


class Consumer:
    """Answers what *answer* says of the notification: a status, or a whole response; 200 at first."""

    def __init__(self) -> None:
        self.url = ""
        self.secrets: list[str] = []
        self.received: list[dict[str, Any]] = []
        """Every body, as often as it came."""
        self.requests: list[web.BaseRequest] = []
        self.answer: Callable[[dict[str, Any]], Any] = lambda _: 200

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        sent = await request.read()
        self.requests.append(request)
        try:
            body = self._verified(sent, dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        assert body["id"] == request.headers["webhook-id"]
        self.received.append(body)
        answer = self.answer(body)
        if asyncio.iscoroutine(answer):
            answer = await answer
        return web.Response(status=answer, text=f"said {answer}") if isinstance(answer, int) else answer

    def _verified(self, sent: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Either side of a roll may know only one of the secrets."""
        for secret in self.secrets:
            try:
                body: dict[str, Any] = Webhook(secret).verify(sent, headers)
            except WebhookVerificationError:
                continue
            return body
        raise WebhookVerificationError("no secret fits")

    async def until(self, count: int, within: float = 30) -> list[dict[str, Any]]:
        """What was received, once it is *count*."""
        async with asyncio.timeout(within):
            while len(self.received) < count:
                await asyncio.sleep(0.02)
        return self.received

    def ids(self) -> list[str]:
        return [body["id"] for body in self.received]


@asynccontextmanager
async def consuming() -> AsyncIterator[Consumer]:
    """A running consumer on a free port of this machine."""
    consumer = Consumer()
    runner = web.ServerRunner(web.Server(consumer.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    consumer.url = f"http://127.0.0.1:{port}/colonnade"
    try:
        yield consumer
    finally:
        await runner.cleanup()
