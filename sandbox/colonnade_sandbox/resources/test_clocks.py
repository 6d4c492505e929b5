"""Test clocks: time of their own for a few customers, which moves when it is told to."""

from colonnade_sandbox import errors, periods
from colonnade_sandbox.call import Call, unset
from colonnade_sandbox.clock import DAY
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.store import Object

KIND = "test_helpers.test_clock"
# Stripe docs, "Test clocks": three customers a clock, three subscriptions each.
MOST_CUSTOMERS = 3
MOST_SUBSCRIPTIONS = 3
# Intervals of the shortest subscription that one advance may pass; without one, two years.
MOST_INTERVALS = 2
YEAR = {"interval": "year", "interval_count": 1}
KEPT = 30 * DAY

# What belongs to a customer, and so to its clock, by the prefix of its id.
OWNED = {
    "cus": "customer",
    "ii": "invoiceitem",
    "in": "invoice",
    "pm": "payment_method",
    "sub": "subscription",
    "sub_sched": "subscription_schedule",
}

retrievable(KIND, "/v1/test_helpers/test_clocks/{test_clock}")
listable(KIND, "/v1/test_helpers/test_clocks")


def underway(clock: str) -> errors.StripeError:
    text = f"Test clock advancement underway - cannot perform modifications: {clock}"
    return errors.StripeError(429, text, storable=False)


def bind(call: Call) -> None:
    """Give a write the time of the test clock behind what it names.

    Raises StripeError (429) while that clock is moving.
    """
    for value in (*call.path.values(), *call.params.values()):
        clock = _clock_of(call, value) if isinstance(value, str) else None
        if clock is not None:
            if clock["status"] == "advancing":
                raise underway(clock["id"])
            call.moment = clock["frozen_time"]
            return


def time_of(call: Call, customer: Object) -> int | None:
    """The time that a hosted page shows to a customer on a clock."""
    clock = call.find(KIND, customer["test_clock"] or "")
    return int(clock["frozen_time"]) if clock is not None else None


def check_still(call: Call, customer: Object) -> None:
    """Raises StripeError (429) while the clock that the customer is on is moving."""
    clock = call.find(KIND, customer["test_clock"] or "")
    if clock is not None and clock["status"] == "advancing":
        raise underway(clock["id"])


def _clock_of(call: Call, value: str) -> Object | None:
    prefix = value.rpartition("_")[0]
    if prefix == "clock":
        return call.find(KIND, value)
    owned = _subscription_of(call, value) if prefix == "si" else call.find(OWNED.get(prefix, ""), value)
    if owned is not None and "test_clock" not in owned and owned.get("customer"):
        owned = call.find("customer", owned["customer"])
    name = (owned or {}).get("test_clock")
    return call.find(KIND, name) if name else None


def _subscription_of(call: Call, item: str) -> Object | None:
    rows = call.all("subscription")
    return next((row for row in rows if any(each["id"] == item for each in row["items"]["data"])), None)


@operation("POST", "/v1/test_helpers/test_clocks", takes="customer frozen_time name")
def create(call: Call) -> Object:
    """With `customer`, which must be new, that customer moves onto the clock."""
    frozen = call.params["frozen_time"]
    values = {
        "deletes_after": call.sandbox.clock.now() + KEPT,
        "frozen_time": frozen,
        "name": unset(call.params.get("name")),
        "status": "ready",
        "status_details": {},
    }
    clock = call.add(KIND, "clock", values)
    if (key := call.params.get("customer")) is not None:
        customer = call.get("customer", key, "customer")
        if customer["test_clock"] or any(row["customer"] == key for row in call.all("subscription")):
            text = "Only a customer without subscriptions that is on no test clock can be put on one."
            raise errors.invalid(text, "customer")
        call.change(customer, {"test_clock": clock["id"]})
    return clock


@operation("POST", "/v1/test_helpers/test_clocks/{test_clock}/advance", takes="frozen_time")
def advance(call: Call) -> Object:
    """Starts the move; the work that falls due on the way is done, in order, after this has answered."""
    clock, target = call.get(KIND, call.id), call.params["frozen_time"]
    if target <= clock["frozen_time"]:
        raise errors.invalid("The new frozen time must be later than the current one.", "frozen_time")
    if target > _furthest(call, clock):
        text = (
            f"Cannot advance a test clock by more than {MOST_INTERVALS} intervals of its shortest subscription, or "
            "two years if it has none, at a time."
        )
        raise errors.invalid(text, "frozen_time")
    details = {"advancing": {"target_frozen_time": target}}
    moving = call.put(clock | {"status": "advancing", "status_details": details})
    call.emit(f"{KIND}.advancing", moving)
    call.sandbox.clock_moves.set()
    return moving


def _furthest(call: Call, clock: Object) -> int:
    recurring = [
        item["price"]["recurring"]
        for subscription in call.all("subscription")
        if subscription["test_clock"] == clock["id"] and subscription["ended_at"] is None
        for item in subscription["items"]["data"]
    ] or [YEAR]
    return min(periods.step(clock["frozen_time"], each, MOST_INTERVALS) for each in recurring)


def arrive(call: Call, clock: Object, *, failed: bool = False) -> None:
    """The end of a move: `ready` at the new time, or `internal_failure` if work on the way failed."""
    status = "internal_failure" if failed else "ready"
    target = clock["status_details"]["advancing"]["target_frozen_time"]
    arrived = call.put(clock | {"status": status, "status_details": {}, "frozen_time": target})
    call.emit(f"{KIND}.{status}", arrived)


@operation("DELETE", "/v1/test_helpers/test_clocks/{test_clock}")
def delete(call: Call) -> Object:
    """Its customers go, and all that is theirs, without events of their own."""
    clock = call.get(KIND, call.id)
    customers = {row["id"] for row in call.all("customer") if row["test_clock"] == clock["id"]}
    for kind in ("customer", "subscription", "subscription_schedule", "invoice", "invoiceitem", "payment_method"):
        for row in call.all(kind):
            if row["id"] in customers or row.get("customer") in customers:
                call.remove(row, event=None)
    return call.remove(clock)


def due_at(clock: Object) -> int:
    """When the clock is deleted, by the sandbox's time."""
    return int(clock["deletes_after"])


def expire(call: Call, clock: Object) -> None:
    delete(call.at(clock["id"]))


def check_room(call: Call, clock: str) -> None:
    """Raises StripeError (400) where a clock has all the customers that it may have."""
    found = call.get(KIND, clock, "test_clock")
    if sum(row["test_clock"] == found["id"] for row in call.all("customer")) >= MOST_CUSTOMERS:
        raise errors.invalid(f"A test clock can have at most {MOST_CUSTOMERS} customers.", "test_clock")


def check_subscriptions(call: Call, customer: Object) -> None:
    """Raises StripeError (400) where a customer on a clock has all the subscriptions that it may have."""
    if customer["test_clock"] is None:
        return
    if sum(row["customer"] == customer["id"] for row in call.all("subscription")) >= MOST_SUBSCRIPTIONS:
        text = f"A customer on a test clock can have at most {MOST_SUBSCRIPTIONS} subscriptions."
        raise errors.invalid(text, "customer")
