"""The reply to a list or a single check, from its answers: the body, and whether the caller has it already."""

import hashlib
from typing import NamedTuple

from colonnade.checks.checks import Checks, Known
from colonnade.etags import is_known


class Reply(NamedTuple):
    """*status* is 200, or 304 where the caller has the answer already."""

    status: int
    headers: dict[str, str]
    body: bytes


def reply(checks: Checks, known: Known, feature: str | None, none_match: str) -> Reply | None:
    """The reply about *feature*, or about all that is granted; None: the tenant has no such feature."""
    found = known.answers
    written = found.all_granted() if feature is None else found.feature(feature)
    if written is None:
        return None
    # Weak: the tag stands for the answer, and not for the moment up to which it is known.
    tag = f'W/"{hashlib.blake2b(written, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Content-Type": "application/json"}
    if is_known(none_match, tag):
        del headers["Content-Type"]
        return Reply(304, headers, b"")
    return Reply(200, headers, written + checks.end([known]))
