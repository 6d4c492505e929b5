"""A removal is looked at first: what was seen then is what is confirmed, within some minutes, by a token."""

import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import jwt
import msgspec

from colonnade import secret_keys
from colonnade.errors import Conflict, Invalid

LIFETIME = 15 * 60
"""Seconds that a confirmation is good for."""

_AUDIENCE = "colonnade:removal"


class Preview(msgspec.Struct):
    """What would be removed: *rows* by table. Sending *confirmation* before *expires_at* does it."""

    dry_run: bool
    rows: dict[str, int]
    total: int
    confirmation: str
    expires_at: datetime


def _seen(whose: str, counts: Mapping[str, int]) -> dict[str, str]:
    return {"sub": whose, "rows": hashlib.sha256(msgspec.json.encode(counts, order="deterministic")).hexdigest()}


def preview(secret_key: str, whose: str, counts: Mapping[str, int]) -> Preview:
    """*counts* of *whose* rows (`ten_…`, `ten_…/ecu_…`), and what confirms their removal."""
    expires = int(time.time()) + LIFETIME
    token = secret_keys.signed(secret_key, _AUDIENCE, expires, _seen(whose, counts))
    rows = {table: number for table, number in counts.items() if number}
    return Preview(True, rows, sum(rows.values()), token, datetime.fromtimestamp(expires, UTC))


def check(secret_key: str, confirmation: str | None, whose: str, counts: Mapping[str, int]) -> None:
    """Raises `Invalid` for what confirms nothing, or not this; `Conflict` where there are other rows by now."""
    if confirmation is None:
        raise Invalid("Ask with dry_run=true first, and send the confirmation of its answer.", "confirmation")
    try:
        claims = secret_keys.said(secret_key, confirmation, _AUDIENCE, ["sub", "rows"])
    except jwt.PyJWTError as error:
        raise Invalid(
            "This confirmation has expired, or is none: ask with dry_run=true again.", "confirmation"
        ) from error
    seen = _seen(whose, counts)
    if claims["sub"] != seen["sub"]:
        raise Invalid("This confirms another removal.", "confirmation")
    if claims["rows"] != seen["rows"]:
        raise Conflict("There are other rows by now: ask with dry_run=true again.", "confirmation")
