"""The `Stripe-Signature` header ("Check the webhook signatures", Stripe docs).

Our own check rather than the SDK's, which lets future timestamps pass, picks one of several `t`, decodes the body as
text, and fails with other exceptions than its own on hostile input.
"""

import hmac
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Self

import msgspec

from colonnade.errors import Invalid

TOLERANCE = 300
"""Seconds that a timestamp may be off, either way."""

_DIGITS = 12  # of a timestamp, at most: a longer one is no time


class WebhookSecret(msgspec.Struct, frozen=True):
    """A secret of an endpoint, accepted until *expires_at* (Unix seconds; None: for good)."""

    value: str
    expires_at: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of `whsec_…` or `whsec_…@2026-12-01T00:00Z`. Raises `ValueError` without repeating *text*."""
        value, at, when = text.partition("@")
        if not re.fullmatch(r"whsec_[!-~]+", value):
            raise ValueError("is no whsec_… secret")
        if not at:
            return cls(value)
        try:
            expires_at = datetime.fromisoformat(when)
        except ValueError:
            raise ValueError("has an expiry that is no time such as 2026-12-01T00:00Z") from None
        if expires_at.tzinfo is None:
            raise ValueError("has an expiry without a time zone; end it in Z")
        return cls(value, expires_at.astimezone(UTC).timestamp())

    def accepted(self, now: float) -> bool:
        """Whether it has not expired at *now*."""
        return self.expires_at is None or now < self.expires_at

    def signed(self, text: bytes, signatures: Iterable[bytes]) -> bool:
        """Whether one of *signatures* is this secret's of *text*. Each is compared: how long it takes tells nothing."""
        expected = hmac.digest(self.value.encode(), text, "sha256").hex().encode()
        genuine = False
        for signature in signatures:
            genuine |= hmac.compare_digest(expected, signature)
        return genuine


class BadSignature(Invalid):
    """The delivery does not show that Stripe sent it, lately, to this endpoint."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "Stripe-Signature")


def verify(headers: list[bytes], body: bytes, secrets: Iterable[WebhookSecret], now: float) -> None:
    """Refuse a *body* that none of *secrets* signed within `TOLERANCE` of *now* (Unix seconds). Raises `BadSignature`.

    *headers* are all values of that header. While a secret is rolled there is one `v1` for each, and any may match.
    """
    timestamp, signatures = parse(headers)
    signed, genuine = timestamp + b"." + body, False
    for secret in secrets:  # all of them are tried whichever fits
        if secret.accepted(now):
            genuine |= secret.signed(signed, signatures)
    if not genuine:
        raise BadSignature("No secret of this endpoint made this signature.")
    if abs(now - int(timestamp)) > TOLERANCE:
        raise BadSignature("The signature's time is more than five minutes off.")


def parse(headers: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The time and the `v1` signatures. Raises `BadSignature`."""
    if len(headers) != 1:
        raise BadSignature("Send this header once." if headers else "This header is missing.")
    times, signatures = [], []
    for item in headers[0].split(b","):
        name, _, value = item.partition(b"=")
        if name == b"v1":
            signatures.append(value)
        elif name == b"t":
            times.append(value)
    if len(times) != 1 or not times[0].isdigit() or len(times[0]) > _DIGITS:
        raise BadSignature("This header has no single `t=` with a Unix time.")
    return times[0], signatures
