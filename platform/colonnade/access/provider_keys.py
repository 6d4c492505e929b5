"""The keys that the identity provider signs with, found by its discovery document (OpenID Connect Discovery 1.0)."""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import msgspec
import structlog

from colonnade.errors import Unavailable

log = structlog.get_logger()

ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
"""Of signatures: none with a shared secret, and not `none`."""
FRESH = 3600.0
"""Seconds after which the keys are read anew: one that the provider took back is good no longer."""
GOOD = 86_400.0
"""Seconds after which keys that could not be read anew are good no longer: one may have been taken back since."""
BETWEEN = 30.0
"""Seconds between two reads, at least: tokens with keys that do not exist cost the provider no more."""
TIMEOUT = 5.0
"""Seconds for one read."""
MOST_BYTES = 256 * 1024
MOST_KEYS = 100


class _Document(msgspec.Struct):
    issuer: str
    jwks_uri: str


class _Set(msgspec.Struct):
    keys: list[dict[str, Any]]


class ProviderKeys:
    """The keys of *issuer*, by id: read anew after an hour, and while that fails, good for a day."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._keys: dict[str, jwt.PyJWK] | None = None
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    async def get(self, kid: object) -> jwt.PyJWK | None:
        """The key with this id. Raises `Unavailable` where the provider has not told its keys for a day."""
        if self._due(kid):
            async with self._reading:
                if self._due(kid):
                    await self._try_to_read()
        if self._keys is None or time.monotonic() - self._read_at > GOOD:
            raise Unavailable("The identity provider cannot be asked for its keys now.", retry_after=int(BETWEEN))
        return self._keys.get(kid) if isinstance(kid, str) else None

    async def read(self) -> dict[str, jwt.PyJWK]:
        """What the provider publishes now. Raises `ValueError`, and what asking it raises."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            about = await _get(session, f"{self.issuer.rstrip('/')}/.well-known/openid-configuration", _Document)
            if about.issuer != self.issuer:
                raise ValueError(f"its document is of another issuer: {about.issuer!r}")
            if urlsplit(about.jwks_uri).scheme != "https" and not self.issuer.startswith("http://"):
                raise ValueError("its jwks_uri is not https")
            found = await _get(session, about.jwks_uri, _Set)
        return dict(filter(None, map(_usable, found.keys[:MOST_KEYS])))

    def _due(self, kid: object) -> bool:
        now = time.monotonic()
        if now - self._tried_at < BETWEEN:
            return False
        return self._keys is None or kid not in self._keys or now - self._read_at > FRESH

    async def _try_to_read(self) -> None:
        self._tried_at = time.monotonic()
        try:
            self._keys = await self.read()
            self._read_at = self._tried_at
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            log.warning("the identity provider's keys cannot be read", error=str(error) or type(error).__name__)


async def _get(session: aiohttp.ClientSession, url: str, kind: type[Any]) -> Any:
    async with session.get(url, allow_redirects=False) as reply:
        if reply.status != 200:
            raise ValueError(f"{url} answers {reply.status}")
        body = bytearray()
        async for chunk in reply.content.iter_any():
            body += chunk
            if len(body) > MOST_BYTES:
                raise ValueError(f"{url} answers more than {MOST_BYTES} bytes")
    return msgspec.json.decode(bytes(body), type=kind)


def _usable(key: dict[str, Any]) -> tuple[str, jwt.PyJWK] | None:
    """The key and its id; None for one that is not for signatures that we take."""
    kid = key.get("kid")
    if not isinstance(kid, str) or key.get("use", "sig") != "sig" or key.get("kty") == "oct":
        return None
    try:
        found = jwt.PyJWK.from_dict(key)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    return (kid, found) if found.algorithm_name in ALGORITHMS else None
