"""Faults that tests ask for: API calls that fail, deliveries that get lost, doubled, late or out of order."""

from dataclasses import dataclass
from typing import Literal

import msgspec


class ApiFault(msgspec.Struct, forbid_unknown_fields=True):
    """The next `next` API calls answer `status` after `delay` seconds.

    With `after` they are executed first and only their answer is lost; `status` 0 only delays.
    """

    next: int
    status: Literal[0, 429, 500, 503] = 500
    delay: float = 0.0
    after: bool = False


class DeliveryFault(msgspec.Struct, forbid_unknown_fields=True):
    """The next `next` deliveries are dropped for good, sent twice, reversed in order, or late by `seconds`."""

    next: int
    action: Literal["drop", "duplicate", "reorder", "delay"]
    seconds: float = 1.0


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    api: ApiFault | None = None
    deliveries: DeliveryFault | None = None


@dataclass
class Disturbance:
    """What happens to one delivery: `left` counts down from the number asked for."""

    action: str
    seconds: float
    left: int

    def wait(self) -> float:
        """Seconds to hold the delivery back; with `reorder` the first one waits longest."""
        if self.action == "delay":
            return self.seconds
        return self.seconds + 0.1 * self.left if self.action == "reorder" else 0.0


class Faults:
    def __init__(self) -> None:
        self.wanted = Wanted()

    def of_call(self) -> ApiFault | None:
        """The fault of the next API call, if one is due."""
        fault = self.wanted.api
        if fault is None or fault.next < 1:
            return None
        fault.next -= 1
        return fault

    def of_delivery(self) -> Disturbance | None:
        fault = self.wanted.deliveries
        if fault is None or fault.next < 1:
            return None
        fault.next -= 1
        return Disturbance(fault.action, fault.seconds, fault.next)
