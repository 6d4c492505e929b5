"""Why a signature check failed. It runs after the refusal and off its path, and nothing that it finds is accepted.

It looks for the bytes that Stripe may have signed: as they came, and with whatever proxies and frameworks do to a body
undone. What it says holds no part of the body, the header or a secret.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from colonnade.errors import Invalid
from colonnade.webhooks.recodings import LIMIT, recodings
from colonnade.webhooks.signature import TOLERANCE, WebhookSecret, parse

BUDGET = 0.1
"""Seconds of one diagnosis, about: no recoding is begun after them."""


class Cause(StrEnum):
    """Why a delivery was refused. Each is a label of a metric: their number is bounded."""

    HEADER_MISSING = "header missing"
    HEADER_REPEATED = "header repeated"
    HEADER_MANGLED = "header mangled"
    TOO_OLD = "too old"
    IN_FUTURE = "in the future"
    EXPIRED_SECRET = "expired secret"
    OTHER_ENDPOINT = "secret of the other endpoint"
    OTHER_MODE = "secret of the other mode"
    JSON = "JSON written anew"
    BASE64 = "base64"
    JSON_STRING = "JSON string"
    LINE_ENDINGS = "line endings"
    CHARSET = "charset"
    COMPRESSED = "compressed"
    DECOMPRESSED = "decompressed"
    EMPTY = "empty body"
    TRUNCATED = "truncated"
    UNKNOWN = "unknown"
    NOT_EXAMINED = "not examined"


class Diagnosis(NamedTuple):
    """The cause, and a sentence for the operator."""

    cause: Cause
    detail: str


class Refused(NamedTuple):
    """A delivery whose signature failed; *announced* is its Content-Length."""

    endpoint: str
    headers: list[bytes]
    body: bytes
    announced: int | None
    at: float


class Keyring(msgspec.Struct, frozen=True):
    """Every secret that is known, by endpoint; those of the other mode are accepted nowhere."""

    endpoints: dict[str, tuple[WebhookSecret, ...]]
    other_mode: tuple[WebhookSecret, ...] = ()

    def owners(self, endpoint: str, now: float) -> Iterator[tuple[WebhookSecret, Diagnosis | None]]:
        """All secrets, with what is wrong with each; None: it is this endpoint's, and accepted."""
        for secret in self.endpoints[endpoint]:
            expired = secret.expires_at is not None and not secret.accepted(now)
            yield secret, _expired(secret.expires_at or 0) if expired else None
        for name, secrets in self.endpoints.items():
            if name != endpoint:
                sentence = f"It was signed with a secret of the {name} endpoint: deliver it there, or swap the secrets."
                yield from ((secret, Diagnosis(Cause.OTHER_ENDPOINT, sentence)) for secret in secrets)
        sentence = "It was signed with a secret of Stripe's other mode: this deployment serves one mode."
        yield from ((secret, Diagnosis(Cause.OTHER_MODE, sentence)) for secret in self.other_mode)


# However a header was damaged, a number of seconds and 64 hexadecimal digits are found in it.
_TIME = re.compile(rb"(?<![0-9A-Za-z])[tT]\W{1,6}([0-9]{9,12})(?![0-9])")
_DIGESTS = re.compile(rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])")


def diagnose(refused: Refused, keyring: Keyring) -> Diagnosis:
    """Why *refused* failed `signature.verify`."""
    if not refused.headers:
        return Diagnosis(Cause.HEADER_MISSING, "No Stripe-Signature came: a proxy drops it, or Stripe did not send it.")
    if len(refused.headers) > 1:
        return Diagnosis(Cause.HEADER_REPEATED, f"The header came {len(refused.headers)} times; Stripe sends it once.")
    try:
        timestamp, signatures = parse(refused.headers)
    except Invalid:
        timestamp, signatures = b"", []
    check = _checker(refused, keyring, timestamp, signatures)
    whole = any(_DIGESTS.fullmatch(signature) for signature in signatures)
    return (
        check(refused.body, None)
        or _mangled_header(refused, keyring, whole=whole)
        or _incomplete(refused)
        or _recoded(refused.body, check)
        or _broken(refused.body)
        or Diagnosis(
            Cause.UNKNOWN,
            "No known secret made this signature: another endpoint's did, the body was changed, or it is not Stripe's.",
        )
    )


_Check = Callable[[bytes, Diagnosis | None], Diagnosis | None]


def _checker(refused: Refused, keyring: Keyring, timestamp: bytes, signatures: Iterable[bytes]) -> _Check:
    """A function: what is wrong if *body* is what was signed; None if no known secret signed it."""
    signatures = list(signatures)

    def check(body: bytes, changed: Diagnosis | None) -> Diagnosis | None:
        for secret, flaw in keyring.owners(refused.endpoint, refused.at):
            if secret.signed(timestamp + b"." + body, signatures):
                return changed or flaw or _time(int(timestamp), refused.at)
        return None

    return check if timestamp else lambda _body, _changed: None


def _expired(at: float) -> Diagnosis:
    ended = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%MZ}"
    return Diagnosis(Cause.EXPIRED_SECRET, f"It was signed with a secret that expired at {ended}.")


def _time(signed_at: int, now: float) -> Diagnosis | None:
    age = round(now - signed_at)
    if age > TOLERANCE:
        return Diagnosis(
            Cause.TOO_OLD, f"It was signed {age} s ago: held up on the way, repeated, or this machine's clock is fast."
        )
    if age < -TOLERANCE:
        return Diagnosis(Cause.IN_FUTURE, f"It was signed {-age} s in the future: this machine's clock is slow.")
    return None


def _mangled_header(refused: Refused, keyring: Keyring, *, whole: bool) -> Diagnosis | None:
    (header,) = refused.headers
    header = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), header[:4096])
    time_found = _TIME.search(header)
    digests = [digest.lower() for digest in _DIGESTS.findall(header)[:8]]
    if time_found and digests:
        spelled = Diagnosis(Cause.HEADER_MANGLED, "The header is Stripe's, but its spelling was changed on the way.")
        if found := _checker(refused, keyring, time_found[1], digests)(refused.body, spelled):
            return found
    if whole:
        return None
    return Diagnosis(Cause.HEADER_MANGLED, "The header has no `t=` with a Unix time and `v1=` with a signature.")


def _incomplete(refused: Refused) -> Diagnosis | None:
    got, announced = len(refused.body), refused.announced
    if announced is not None and got < announced:
        return Diagnosis(Cause.TRUNCATED, f"{got} of the {announced} bytes that Content-Length announced came.")
    if not refused.body:
        return Diagnosis(Cause.EMPTY, "The body is empty: something read it before it came here.")
    return None


def _recoded(body: bytes, check: _Check) -> Diagnosis | None:
    if len(body) > LIMIT:
        return None
    ends = time.monotonic() + BUDGET
    for name, detail, original in recodings(body):
        if found := check(original, Diagnosis(Cause(name), detail)):
            return found
        if time.monotonic() > ends:
            return None
    return None


def _broken(body: bytes) -> Diagnosis | None:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Cut within a number, such as after its sign, the end itself is what is wrong.
        if "truncated" in str(error) or str(error).endswith(f"(byte {len(body)})"):
            return Diagnosis(Cause.TRUNCATED, f"The body ends after {len(body)} bytes, in the middle of its JSON.")
    return None
