"""What a failed call means: whether to try again, after how long, and what its caller is told."""

import random
import re
from typing import Literal, NamedTuple

import aiohttp
import stripe

from colonnade.errors import Conflict, DomainError, NotFound, StripeRefused, StripeUnavailable

Outcome = Literal["unanswered", "failed", "rate_limited", "locked", "conflict", "refused"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds before the second try, at most; they double."""
LONGEST_ADVICE = 60.0
"""Seconds of Stripe's `Retry-After` that are believed."""

LOST = (stripe.StripeError, aiohttp.ClientError, TimeoutError)
"""What a failed call raises. The SDK's aiohttp transport lets a body that was cut off through as it is."""


class Failure(NamedTuple):
    """*reason*: Stripe's for limiting our rate; *retry_after*: seconds, where it said so."""

    outcome: Outcome
    again: bool
    reason: str = ""
    retry_after: float | None = None

    @property
    def of_stripe(self) -> bool:
        """Whether Stripe itself fails, rather than this call."""
        return self.outcome in {"unanswered", "failed"}


def understand(error: Exception) -> Failure:
    """Sources: "Rate limits", "Error handling", "Idempotent requests"; the SDK's own rules of retrying.

    A 429 of the limiter names its reason in a header; without one an object was locked by another request.
    """
    if not isinstance(error, stripe.StripeError) or error.http_status is None:
        return Failure("unanswered", again=True)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    status, advice = error.http_status, headers.get("stripe-should-retry")
    retry_after = _seconds(headers.get("retry-after"))
    if status == 429:
        reason = headers.get("stripe-rate-limited-reason", "")
        if reason or code_of(error) == "rate_limit":
            return Failure("rate_limited", again=True, reason=reason, retry_after=retry_after)
        return Failure("locked", again=True, retry_after=retry_after)
    if status >= 500 or status < 400:  # 2xx: an answer that is no JSON
        # Under its idempotency key Stripe repeats the answer that it once gave, its own failures too.
        replayed = headers.get("idempotent-replayed") == "true"
        return Failure("failed", again=advice != "false" and not replayed, retry_after=retry_after)
    if status == 409:  # the same idempotency key is under way
        return Failure("conflict", again=advice != "false", retry_after=retry_after)
    return Failure("refused", again=advice == "true")


def pause(failure: Failure, tries: int) -> float:
    """Seconds until the next try after *tries* failed: what Stripe advised, else doubling; never all at once."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tries - 1))
    spread = random.uniform(0.5, 1)  # noqa: S311 - nothing to guess
    return longest * spread if failure.retry_after is None else failure.retry_after + longest * spread / 2


def code_of(error: stripe.StripeError) -> str | None:
    """Stripe's error code. 401, 403, 409 and 429 leave the exception's own `code` empty."""
    code: str | None = error.code or getattr(error.error, "code", None)
    return code


def as_path(param: str) -> str:
    """Stripe's `items[0][price]` as our `items[0].price`."""
    return re.sub(r"\[([^\]\d][^\]]*)\]", r".\1", param)


def translated(error: Exception, retry_after: float) -> DomainError:
    """The error as our own; *retry_after* in seconds, where asking again later may help."""
    later = max(1, round(retry_after))
    if not isinstance(error, stripe.StripeError):
        return StripeUnavailable("Stripe did not answer to the end; try again.", later)
    status = error.http_status
    # 401 is about our own key: nothing that a caller could mend.
    if status is None or status >= 500 or status < 400 or status in {401, 409, 429}:
        return StripeUnavailable("Stripe cannot be asked right now; try again.", later)
    if isinstance(error, stripe.IdempotencyError):
        return Conflict("This Idempotency-Key came with another request before.", "Idempotency-Key")
    param = as_path(getattr(error, "param", None) or "") or None
    message, code = error.user_message or "Stripe refused the request.", code_of(error)
    if code == "resource_missing" and status == 404:
        return NotFound(message, param)
    return StripeRefused(message, status=status, code=code, param=param)


def _seconds(text: str | None) -> float | None:
    """Of a `Retry-After`; a date, which Stripe does not send, is none."""
    if text is None or not re.fullmatch(r"[0-9]{1,6}", text.strip()):
        return None
    return min(LONGEST_ADVICE, float(text))
