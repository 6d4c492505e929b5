"""What the text of a setting may be. Each function gives its value.

Each raises ValueError with the rest of a sentence that begins with the variable's name, and repeats the text only where
it cannot be a secret.
"""

import base64
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from colonnade.webhooks.signature import WebhookSecret

SECRET_KEY_LENGTH = 32
"""Characters, at least."""
SIGNING_BYTES = 24
"""Of a secret that notifications are signed with ("Webhook secrets", Standard Webhooks)."""


def postgres_url(text: str) -> str:
    """Where a PostgreSQL is."""
    # Not urlsplit: its errors repeat the password. An unescaped "/", "?", "#" or "@" in one would be read as the
    # end of the host's part.
    match = re.fullmatch(r"postgres(?:ql)?://((?:[^@/?#\s]*@)?[^@/?#\s]*/[^@/?#\s]+(?:\?[^#\s]*)?)", text)
    if match is None:
        raise ValueError(
            "must look like postgresql://user:password@host:port/database"
            " (percent-encode special characters in the password)"
        )
    return f"postgresql://{match[1]}"


def stripe_key(text: str) -> str:
    """A secret or restricted key of Stripe's."""
    if not re.fullmatch(r"(sk|rk)_(test|live)_[A-Za-z0-9_]+", text):
        raise ValueError("must be a Stripe key that begins with sk_test_, rk_test_, sk_live_ or rk_live_")
    return text


def webhook_secrets(text: str) -> tuple[str, ...]:
    """`whsec_…`, separated by commas."""
    found = _parts(text)
    for part in found:
        try:
            WebhookSecret.parse(part)
        except ValueError as error:
            raise ValueError(f"must be one or more whsec_… secrets, separated by commas; one {error}") from None
    return found


def secret_key(text: str) -> str:
    """One or several, the newest first."""
    keys = _parts(text)
    if any(len(key) < SECRET_KEY_LENGTH for key in keys):
        raise ValueError(f"must have at least {SECRET_KEY_LENGTH} characters, each key where commas separate several")
    return ",".join(keys)


def origin(text: str) -> str:
    """An origin, as browsers write it."""
    match = re.fullmatch(r"https?://(?:[A-Za-z0-9._-]+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{1,5}))?", text)
    if match is None or not 0 < int(match[2] or 443) <= 65535 or (match[1] is not None and _address(match[1]) is None):
        raise ValueError("must be http(s)://host or http(s)://host:port, with no slash at the end")
    return text


def origins(text: str) -> tuple[str, ...]:
    """Several, separated by commas."""
    return tuple(origin(part.lower()) for part in _parts(text))


def client_id(text: str) -> str:
    """The id of a Connect application."""
    if not re.fullmatch(r"ca_[A-Za-z0-9]+", text):
        raise ValueError("must be the id of a Connect application, ca_…")
    return text


def stripe_base(text: str) -> str:
    """Where Stripe, or a stand-in of it on this machine, is."""
    return _secure(origin(text))


def issuer(text: str) -> str:
    """An identity provider."""
    if not re.fullmatch(r"https?://[^\s?#@]+", text):
        raise ValueError("must be the issuer's URL, as its tokens name it")
    return _secure(text)


def endpoint(text: str) -> str:
    """Where notifications go."""
    if not re.fullmatch(r"https?://[^\s@#]+", text) or not urlsplit(text).hostname:
        raise ValueError("must be a URL such as https://team.example/hooks")
    return _secure(text)


def signing_secrets(text: str) -> tuple[str, ...]:
    """As Standard Webhooks spells them, separated by commas."""
    found = _parts(text)
    for part in found:
        try:
            long_enough = len(base64.b64decode(part.removeprefix("whsec_"), validate=True)) >= SIGNING_BYTES
        except ValueError:
            long_enough = False
        if not part.startswith("whsec_") or not long_enough:
            raise ValueError(f"must be whsec_ and {SIGNING_BYTES} bytes or more in base64, separated by commas")
    return found


def networks(text: str) -> tuple[str, ...]:
    """Addresses or networks, separated by commas."""
    found = _parts(text)
    for part in found:
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise ValueError(f"must be addresses or networks such as 10.0.0.0/8, not {part!r}") from None
    return found


def roles(text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a value and a role."""
    pairs = []
    for part in _parts(text):
        value, _, role = part.rpartition("=")
        pairs.append((value, role))
        if not value or role not in ("admin", "support", "read"):
            raise ValueError("must be VALUE=ROLE, separated by commas, each ROLE one of admin, support, read")
    return tuple(pairs)


def word(text: str) -> str:
    """One line of text."""
    if not text.isprintable() or len(text) > 500:
        raise ValueError("must be printable, and not so long")
    return text


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _secure(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = _address(host)
    if parts.scheme == "http" and host != "localhost" and not (address and address.is_loopback):
        raise ValueError("must be https, except for a host such as 127.0.0.1 or localhost")
    return url


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def folder(text: str) -> Path:
    """A path."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"names a home directory that does not exist: {text!r}") from None


def host(text: str) -> str:
    """A host's name or address."""
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", text):
        raise ValueError(f"must be a host name or an address, not {text!r}")
    return text


def number(low: int, high: int) -> Callable[[str], int]:
    """Parses a number from *low* to *high*."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def switch(text: str) -> bool:
    """`true` or `false`."""
    if text.lower() not in ("true", "false"):
        raise ValueError(f"must be true or false, not {text!r}")
    return text.lower() == "true"


def choice(kind: Any) -> Callable[[str], str]:
    """Parses one of the words of *kind*, a `Literal`."""

    def parse(text: str) -> str:
        if text.lower() not in get_args(kind):
            raise ValueError(f"must be one of {', '.join(get_args(kind))}, not {text!r}")
        return text.lower()

    return parse
