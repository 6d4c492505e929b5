"""One try to deliver: an HTTPS request that reaches only public addresses, follows nothing and waits for no one long.

A name is looked up once for each connection, what it stands for is checked, and just those addresses are connected to:
a name that answers differently the next time (DNS rebinding) gains nothing. `Host` and the TLS name stay the URL's.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook

from colonnade import __version__
from colonnade.notifications.addresses import is_allowed
from colonnade_tenants.notifications.queue import EXCERPT, Attempt, Claimed

TIMEOUT = 15.0
"""Seconds for one try, from the look-up of the name to the reply's headers."""
BODY_TIMEOUT = 2.0
"""Seconds in which the beginning of the reply's body may come; its status counts without it."""
LONGEST_RETRY_AFTER = 12 * 3600


class NotPublic(OSError):
    """The host's address is not a public one."""

    def __init__(self) -> None:
        super().__init__("The host's address is not a public one.")


class _Resolver(AbstractResolver):
    """Names looked up in threads of our own: slow name servers hold up nothing else."""

    def __init__(self, loopback: bool, threads: int) -> None:
        self._loopback = loopback
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="notification names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of *host*. Raises `NotPublic` if any of them is not public, and `OSError`."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._executor, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        if not all(is_allowed(str(address[0]), loopback=self._loopback) for *_, address in found):
            raise NotPublic
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, proto, _, address in found
        ]

    async def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class Sender:
    """Makes the requests of a process. Use as an asynchronous context manager.

    *loopback*: this machine is allowed too, for development. *trust*: which certificates are; None: the system's.
    """

    _session: aiohttp.ClientSession

    def __init__(self, *, loopback: bool = False, connections: int = 200, trust: ssl.SSLContext | None = None) -> None:
        self._loopback = loopback
        self._connections = connections
        self._trust = trust

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections,
                resolver=_Resolver(self._loopback, self._connections),
                socket_factory=self._socket,
                ssl=self._trust or True,
            ),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={
                "User-Agent": f"Colonnade/{__version__}",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
            },
        )
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._session.close()

    def _socket(self, where: tuple[Any, ...]) -> socket.socket:
        """The last gate, which addresses written into a URL pass as well: nothing connects but through here."""
        family, kind, protocol, _, address = where
        if not is_allowed(str(address[0]), loopback=self._loopback):
            raise NotPublic
        return socket.socket(family, kind, protocol)

    async def attempt(self, url: str, secrets: Sequence[str], delivery: Claimed) -> Attempt:
        """Send *delivery* to *url*, signed with each of *secrets*. Raises nothing: failures are in the answer."""
        at, started = datetime.now(UTC), time.perf_counter()
        status, excerpt, retry_after, error = None, None, None, None
        try:
            async with self._session.post(
                url, data=delivery.payload.encode(), headers=_signed(secrets, delivery, at), allow_redirects=False
            ) as reply:
                status, retry_after = reply.status, _seconds(reply.headers.get("Retry-After"))
                excerpt = await _beginning(reply)
                error = None if 200 <= status < 300 else _refusal(status)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as failure:
            error = _sentence(failure)
        milliseconds = round((time.perf_counter() - started) * 1000)
        return Attempt(at, milliseconds, status, error, excerpt, retry_after)


def _signed(secrets: Sequence[str], delivery: Claimed, at: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks; one signature for each secret, so that either side of a roll can check."""
    signatures = (Webhook(secret).sign(delivery.public_id, at, delivery.payload) for secret in secrets)
    return {
        "webhook-id": delivery.public_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


async def _beginning(reply: aiohttp.ClientResponse) -> str:
    """As much of the body as the log keeps; the rest is never read."""
    found = b""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(BODY_TIMEOUT):
            while len(found) < EXCERPT and (part := await reply.content.read(EXCERPT - len(found))):
                found += part
    return found.decode(errors="replace").replace("\x00", "\ufffd")


def _refusal(status: int) -> str:
    return "It redirects, which is not followed." if 300 <= status < 400 else f"It answered {status}."


def _seconds(retry_after: str | None) -> int | None:
    text = (retry_after or "").strip()
    return min(int(text), LONGEST_RETRY_AFTER) if text.isascii() and text.isdigit() and len(text) < 9 else None


def _sentence(failure: BaseException) -> str:
    """What went wrong, for the tenant: nothing about networks that only we can see."""
    cause = getattr(failure, "os_error", failure)
    if isinstance(cause, NotPublic):
        return str(cause)
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (TimeoutError, f"There was no answer within {TIMEOUT:g} seconds."),
        (aiohttp.InvalidURL, "The URL's host is not a name, nor an address as usually written."),
        (aiohttp.ClientConnectorDNSError, "The host's name cannot be looked up."),
        (aiohttp.ClientConnectorCertificateError, "The host's certificate is not valid."),
        (aiohttp.ClientSSLError, "No secure connection could be made."),
        (aiohttp.ClientConnectorError, "No connection could be made."),
        (aiohttp.ServerDisconnectedError, "The connection ended before an answer."),
    )
    return next((words for kind, words in kinds if isinstance(failure, kind)), "The answer was not valid HTTP.")
