"""Sends a call: waits for its turn, tries again what may succeed later, and learns from what Stripe answers."""

import asyncio
import uuid
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any, NamedTuple

import msgspec
import stripe
import structlog

from colonnade.errors import StripeUnavailable
from colonnade.observability import STRIPE_CALLS, STRIPE_CIRCUIT
from colonnade.stripe_api.breaker import Breaker, State
from colonnade.stripe_api.budget import Budget
from colonnade.stripe_api.calls import Call, Priority
from colonnade.stripe_api.failures import LOST, Failure, code_of, pause, translated, understand
from colonnade.stripe_api.gate import Gate
from colonnade.stripe_api.home import Home
from colonnade.stripe_api.limits import kind
from colonnade.stripe_api.merging import Merging, Sent
from colonnade.tracing.switch import current

log = structlog.get_logger()

TRIES = 3
IN_ALL: Mapping[Priority, float] = {
    Priority.PORTAL: 20,
    Priority.REQUEST: 30,
    Priority.EVENT: 12,  # less than half of what its handler has
    Priority.SWEEP: 120,
}
"""Seconds after which no further try begins."""
LONGEST_TRY, SHORTEST_TRY = 15.0, 5.0
"""Seconds that one try may take: what is left of the time in all, within these. A shorter one would say nothing of
Stripe; the SDK's own limit of 80 would hold a web request for minutes."""


class Reply(NamedTuple):
    """Stripe's answer, decoded."""

    data: dict[str, Any]
    dated: str

    @property
    def date(self) -> datetime:
        """What time it was for Stripe. Raises `ValueError` where it did not say."""
        return parsedate_to_datetime(self.dated)


class Sender:
    """The process's calls, whoever makes them. Raises what `StripeClient` promises."""

    def __init__(self, sdk: stripe.StripeClient, budget: Budget, breaker: Breaker, gate: Gate, home: Home) -> None:
        self._ask = current().asking(sdk.raw_request_async)
        self._budget, self._breaker, self._gate, self._home = budget, breaker, gate, home
        self._reads: Merging[Reply] = Merging()
        self._clock = asyncio.get_running_loop().time

    @property
    def refusing(self) -> float | None:
        """Seconds for which calls are refused here, since Stripe does not answer; None: it answers."""
        return None if self._breaker.state is State.CLOSED else self._breaker.wait(self._clock())

    async def send(self, call: Call) -> Reply:
        """Stripe's answer to *call*; a read that the same tenant has waiting already is joined."""
        await self._home.check(call, self._id)
        if call.method != "get":
            return await self._send(call, lambda: None)
        reply, joined = await self._reads.ask(_same(call), lambda sent: self._send(call, sent))
        if joined:
            self._count(call, "merged")
        return reply

    async def _id(self, call: Call) -> str:
        return str((await self.send(call)).data["id"])

    async def _send(self, call: Call, sent: Sent) -> Reply:
        options = _options(call)
        until = self._clock() + IN_ALL[call.priority]
        for tries in range(1, TRIES + 1):
            await self._enter(call)
            sent()
            try:
                return await self._try(call, options, until)
            except LOST as error:
                failure = understand(error)
                rest = pause(failure, tries)
                self._learn(call, failure, rest, error)
                if not failure.again or tries == TRIES or self._clock() + rest >= until:
                    raise translated(error, max(rest, self._breaker.wait(self._clock()))) from error
            await asyncio.sleep(rest)
        raise AssertionError("the last try returns or raises")

    async def _enter(self, call: Call) -> None:
        try:
            # Not while it waits in vain, nor if that showed meanwhile.
            self._check(self._breaker.wait(self._clock()))
            await self._budget.enter(call)
        except StripeUnavailable:
            self._count(call, "not_sent")
            raise
        await self._gate.check(call)  # before the breaker: its only probe must not be one that is not sent
        if (left := self._breaker.admit(self._clock())) > 0:
            self._count(call, "not_sent")
            self._check(left)
        STRIPE_CIRCUIT.state(self._breaker.state)

    @staticmethod
    def _check(left: float) -> None:
        if left > 0:
            raise StripeUnavailable("Stripe does not answer at present; try again.", max(1, round(left)))

    async def _try(self, call: Call, options: Mapping[str, Any], until: float) -> Reply:
        limit = max(SHORTEST_TRY, min(LONGEST_TRY, until - self._clock()))
        async with asyncio.timeout(limit):
            reply = await self._ask(call.method, call.path, **call.params, **options, **_file(call))
        self._breaker.answered()
        STRIPE_CIRCUIT.state(self._breaker.state)
        self._count(call, "ok")
        return Reply(reply.data, reply.headers.get("Date", ""))

    def _learn(self, call: Call, failure: Failure, rest: float, error: Exception) -> None:
        self._count(call, failure.outcome)
        if failure.of_stripe:
            self._breaker.failed(self._clock(), call.tenant)
        else:
            self._breaker.answered()
        STRIPE_CIRCUIT.state(self._breaker.state)
        if failure.outcome == "rate_limited":
            self._budget.refused(call, failure.reason, rest)
        said = error if isinstance(error, stripe.StripeError) else None
        log.warning(
            "stripe error",
            outcome=failure.outcome,
            status=said and said.http_status,
            code=said and code_of(said),
            param=getattr(error, "param", None),
            stripe_request=said and said.request_id,
            circuit=str(self._breaker.state),
        )

    @staticmethod
    def _count(call: Call, outcome: str) -> None:
        STRIPE_CALLS.counts[kind(call), call.priority.label, outcome] += 1


def _same(call: Call) -> bytes:
    """Equal for two reads that are the same, for the same tenant and as urgent."""
    return msgspec.json.encode(call, order="deterministic")


def _file(call: Call) -> dict[str, Any]:
    """The call's file as the SDK takes it; made for each try, because a try reads it to its end."""
    if call.upload is None:
        return {"base": call.host}
    file = BytesIO(call.upload.content)
    file.name = call.upload.name
    return {"file": file, "content_type": "multipart/form-data", "base": "files"}


def _options(call: Call) -> dict[str, Any]:
    """What the SDK takes beside the parameters; the idempotency key is the same in every try."""
    options: dict[str, Any] = {}
    if call.account:
        # The V2 API names an account by its context ("API v2 overview", Stripe documentation).
        options["stripe_context" if call.path.startswith("/v2/") else "stripe_account"] = call.account
    if call.method == "post" or call.idempotency_key:
        options["idempotency_key"] = call.idempotency_key or str(uuid.uuid4())
    return options
