"""What a webhook delivery is made of: the exact bytes, and the headers that sign them."""

import hashlib
import hmac
import time

import msgspec

from colonnade_sandbox.expansion import public
from colonnade_sandbox.store import Object

USER_AGENT = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"


def encode(event: Object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(public(event)), indent=2)


def headers(body: bytes, secrets: list[str], skew: int = 0) -> dict[str, str]:
    """Signed with wall time, whatever time it is in the sandbox, plus `skew` seconds."""
    return {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": USER_AGENT,
        "Stripe-Signature": signature(body, secrets, int(time.time()) + skew),
    }


def signature(body: bytes, secrets: list[str], at: int) -> str:
    """The `Stripe-Signature` header: one `v1` for each accepted secret."""
    signed = f"{at}.".encode() + body
    digests = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={at}", *(f"v1={digest}" for digest in digests)])
