"""Faults that tests ask for: API calls that fail, deliveries that get lost, doubled, late or out of order."""

import random
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from colonnade_sandbox import errors

# The two kinds of 429 (Stripe docs, "Rate limits"): the limiter's, which says its reason, and an object's lock.
RATE_LIMITS = {
    "rate_limit": "Request rate limit exceeded. You can learn more about rate limits here "
    "https://stripe.com/docs/rate-limits.",
    "lock_timeout": "This object cannot be accessed right now because another API request or Stripe process is "
    "currently accessing it. If you see this error intermittently, retry the request. If you see this error "
    "frequently and are making multiple concurrent requests to a single object, make your requests serially or at a "
    "lower rate. For more details, see https://stripe.com/docs/rate-limits#object-lock-timeouts.",
}
Part = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, msgspec.Meta(ge=0.0)]


class ApiFault(msgspec.Struct, forbid_unknown_fields=True):
    """The next `next` API calls answer `status` after `delay` seconds: long enough, and the client gives up.

    With `after` they are executed first and only their answer is lost; `status` 0 executes them and answers as
    usual. `code` says which 429. `cut_off` ends the connection in the middle of the body. `path` (its beginning)
    and `account` leave all other calls alone. `spread` makes each delay another: evenly from `delay` less that part
    of it to `delay` and that part more; the same request for faults draws the same sequence.
    """

    next: int
    status: Literal[0, 429, 500, 503] = 500
    code: Literal["rate_limit", "lock_timeout"] = "rate_limit"
    delay: Seconds = 0.0
    spread: Part = 0.0
    after: bool = False
    cut_off: bool = False
    path: str = ""
    account: str = ""


class DeliveryFault(msgspec.Struct, forbid_unknown_fields=True):
    """The next `next` deliveries are dropped for good, sent twice, reversed in order, or late by `seconds`."""

    next: int
    action: Literal["drop", "duplicate", "reorder", "delay"]
    seconds: Seconds = 1.0


class Chaos(msgspec.Struct, forbid_unknown_fields=True):
    """Every delivery is disturbed with these probabilities; the same seed draws the same sequence.

    `delay` holds one back by `seconds`, `reorder` by a random part of them.
    """

    seed: int = 0
    drop: Part = 0.0
    duplicate: Part = 0.0
    delay: Part = 0.0
    reorder: Part = 0.0
    seconds: Seconds = 1.0


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """All faults at once; `skew` is added to the time in the signature of every delivery, in seconds."""

    api: ApiFault | None = None
    deliveries: DeliveryFault | None = None
    chaos: Chaos | None = None
    skew: int = 0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens to one delivery: how often it is sent, and after how many seconds."""

    copies: int = 1
    wait: float = 0.0


class Faults:
    def __init__(self) -> None:
        self.want(Wanted())

    def want(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._random = random.Random(wanted.chaos.seed if wanted.chaos else 0)  # noqa: S311
        self._delays = random.Random(0)  # noqa: S311 - of its own, so that calls do not shift what chaos hits

    def of_call(self, path: str, account: str) -> ApiFault | None:
        """The fault of an API call, if one is due, with the delay that was drawn for it."""
        fault = self.wanted.api
        if fault is None or fault.next < 1 or not path.startswith(fault.path) or fault.account not in ("", account):
            return None
        fault.next -= 1
        drawn = fault.delay * (1 + fault.spread * self._delays.uniform(-1, 1))
        return msgspec.structs.replace(fault, delay=drawn)

    def of_delivery(self) -> Disturbance:
        fault = self.wanted.deliveries
        if fault is not None and fault.next > 0:
            fault.next -= 1
            return _counted(fault)
        return self._drawn(self.wanted.chaos) if self.wanted.chaos is not None else Disturbance()

    def _drawn(self, chaos: Chaos) -> Disturbance:
        # Every delivery draws all five numbers, so that one probability does not shift what the others hit.
        drop, duplicate, delay, reorder, part = (self._random.random() for _ in range(5))
        wait = chaos.seconds if delay < chaos.delay else 0.0
        wait += part * chaos.seconds if reorder < chaos.reorder else 0.0
        return Disturbance(0 if drop < chaos.drop else 2 if duplicate < chaos.duplicate else 1, wait)


def _counted(fault: DeliveryFault) -> Disturbance:
    match fault.action:
        case "drop":
            return Disturbance(copies=0)
        case "duplicate":
            return Disturbance(copies=2)
        case "delay":
            return Disturbance(wait=fault.seconds)
        case _:  # reorder: the first one waits longest
            return Disturbance(wait=fault.seconds + 0.1 * fault.next)


def error_of(fault: ApiFault) -> errors.StripeError:
    """What a call that a test wants to fail is answered."""
    if fault.status == 429:
        return errors.StripeError(429, RATE_LIMITS[fault.code], code=fault.code, storable=False)
    return errors.StripeError(fault.status, "An error was asked for.", type="api_error", storable=False)
