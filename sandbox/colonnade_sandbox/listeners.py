"""`stripe listen`: the official CLI asks for a session, opens a websocket, and is handed every event.

The protocol is measured on CLI 1.52: the server signs, the CLI forwards the payload with the given headers
and reports what its target answered.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from colonnade_sandbox import ids, payloads, thin
from colonnade_sandbox.contract import source
from colonnade_sandbox.http import Receive, Scope, Send
from colonnade_sandbox.store import Object

if TYPE_CHECKING:
    from colonnade_sandbox.sandbox import Sandbox

PATH = "/stripecli/subscribe"
PROTOCOL = "stripecli-devproxy-v1"
# Sessions that are remembered, and events that one keeps while its CLI is away.
MOST_SESSIONS = 50
MOST_WAITING = 1000
# Seconds after which the CLI opens its websocket anew.
RECONNECT = 3600


@dataclass
class Listener:
    """One `stripe listen`. `features` holds `webhooks` for snapshot events and `v2_events` for thin ones."""

    id: str
    platform: str
    features: frozenset[str]
    secret: str
    waiting: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=MOST_WAITING))
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Listeners:
    """The sessions of this run; a CLI whose session is gone asks for another by itself."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._sessions: dict[str, Listener] = {}

    def open(self, platform: str, device: str, features: list[str]) -> Listener:
        """The secret stays the same for an account and a device, so that it can be put into a setting."""
        secret = ids.derived("whsec", f"{platform} {device}")
        listener = Listener(ids.new("cliws"), platform, frozenset(features), secret)
        self._sessions[listener.id] = listener
        while len(self._sessions) > MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return listener

    def tell(self, account: str, event: Object) -> None:
        """Hand an event of `account` to whoever listens for it or for a platform it is connected to."""
        if not self._sessions:
            return
        platforms = {account, *self._sandbox.platforms_of(account)}
        for listener in self._sessions.values():
            if listener.platform in platforms:
                listener.waiting.append((account, event["id"]))
                listener.woken.set()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One websocket, from its handshake to its end."""
        await receive()
        headers = dict(scope["headers"])
        listener = self._sessions.get(headers.get(b"websocket-id", b"").decode("latin-1"))
        if scope["path"] != PATH or listener is None:
            await _refuse(send)
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        pushing = asyncio.create_task(self._push(listener, send))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                self._heard(listener, message)
        finally:
            pushing.cancel()
            with suppress(asyncio.CancelledError):
                await pushing

    async def _push(self, listener: Listener, send: Send) -> None:
        while True:
            listener.woken.clear()
            while listener.waiting:
                account, key = listener.waiting.popleft()
                event = self._sandbox.store.find(account, "event", key)
                for message in self._messages(listener, event) if event is not None else ():
                    await send({"type": "websocket.send", "text": msgspec.json.encode(message).decode()})
            await listener.woken.wait()

    def _messages(self, listener: Listener, event: Object) -> Iterator[dict[str, Any]]:
        if "webhooks" in listener.features:
            body = payloads.encode(event)
            # The CLI takes the first by default and the second under `--latest`.
            for version in (None, source.api_version()):
                yield {
                    "type": "webhook_event",
                    "endpoint": {"api_version": version},
                    "event_payload": body.decode(),
                    "http_headers": self._headers(listener, body),
                    "webhook_conversation_id": ids.new("wc"),
                    "webhook_id": listener.id,
                }
        if "v2_events" in listener.features:
            for twin in thin.twins(event):
                body = payloads.encode(thin.notification(twin))
                yield {
                    "type": "v2_event",
                    "payload": body.decode(),
                    "http_headers": self._headers(listener, body),
                    "destination_id": listener.id,
                }

    def _headers(self, listener: Listener, body: bytes) -> dict[str, str]:
        return payloads.headers(body, [listener.secret], self._sandbox.faults.wanted.skew)

    def _heard(self, listener: Listener, message: Any) -> None:
        """The CLI tells what its target answered; everything else it says is an acknowledgement."""
        try:
            said = msgspec.json.decode(message.get("text") or message.get("bytes") or b"null")
        except msgspec.DecodeError:
            return
        if isinstance(said, dict) and said.get("type") == "webhook_response":
            attempt = {"target": listener.id, "url": said.get("forward_url"), "status": said.get("status")}
            self._sandbox.deliveries.attempts.append(attempt)


async def _refuse(send: Send) -> None:
    """The words by which the CLI knows that it needs a new session."""
    body = msgspec.json.encode({"error": {"message": "Unknown WebSocket ID."}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
