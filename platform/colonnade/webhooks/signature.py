"""The `Stripe-Signature` header ("Check the webhook signatures", Stripe docs).

Our own check rather than the SDK's, which lets future timestamps pass, picks one of several `t`, decodes the body as
text, and fails with other exceptions than its own on hostile input.
"""

import hmac
from collections.abc import Iterable

from colonnade.errors import Invalid

TOLERANCE = 300
"""Seconds that a timestamp may be off, either way."""

_DIGITS = 12  # of a timestamp, at most: a longer one is no time


class BadSignature(Invalid):
    """The delivery does not show that Stripe sent it, lately, to this endpoint."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "Stripe-Signature")


def verify(headers: list[bytes], body: bytes, secrets: Iterable[str], now: float) -> None:
    """Refuse a *body* that none of *secrets* signed within `TOLERANCE` of *now* (Unix seconds). Raises `BadSignature`.

    *headers* are all values of that header. While a secret is rolled there is one `v1` for each, and any may match.
    """
    timestamp, signatures = _parse(headers)
    signed = timestamp + b"." + body
    genuine = False
    for secret in secrets:
        expected = hmac.digest(secret.encode(), signed, "sha256").hex().encode()
        for signature in signatures:  # every pair is compared: how long it takes tells nothing
            genuine |= hmac.compare_digest(expected, signature)
    if not genuine:
        raise BadSignature("No secret of this endpoint made this signature.")
    if abs(now - int(timestamp)) > TOLERANCE:
        raise BadSignature("The signature's time is more than five minutes off.")


def _parse(headers: list[bytes]) -> tuple[bytes, list[bytes]]:
    if len(headers) != 1:
        raise BadSignature("Send this header once." if headers else "This header is missing.")
    pairs = [item.partition(b"=")[::2] for item in headers[0].split(b",")]
    times = [value for name, value in pairs if name == b"t"]
    if len(times) != 1 or not times[0].isdigit() or len(times[0]) > _DIGITS:
        raise BadSignature("This header has no single `t=` with a Unix time.")
    return times[0], [value for name, value in pairs if name == b"v1"]
