"""The one way to Stripe under load and under faults: turns, retries, one question for many, and the circuit breaker."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from colonnade.errors import NotFound, StripeRefused, StripeUnavailable
from colonnade.settings import Settings
from colonnade.stripe_api import breaker, budget, failures, sender
from colonnade.stripe_api.calls import Call, Priority
from colonnade.stripe_api.client import StripeClient, StripeGateway
from colonnade.stripe_api.limits import Limits
from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, PLENTY, Api, Sandbox, problem, running_api

pytestmark = pytest.mark.alone


@asynccontextmanager
async def connected(sandbox: Sandbox, percent: int = PLENTY, url: str | None = None) -> AsyncIterator[StripeGateway]:
    settings = Settings(
        stripe_api_key=sandbox.key,
        stripe_api_base=url or sandbox.url,
        stripe_budget_percent=percent,
        base_url="http://h",
    )
    gateway = StripeGateway(settings, "web")
    try:
        yield gateway
    finally:
        await gateway.close()


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[StripeClient]:
    async with connected(sandbox) as gateway:
        yield gateway.platform


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of hundredths of a second."""
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.02)


def gateway_of(api: Api) -> StripeGateway:
    """The application's own."""
    app: Any = api.client._transport.app  # type: ignore[attr-defined]
    found: StripeGateway = app.state.services.stripe
    return found


def counted(outcome: str) -> float:
    """Tries with that outcome so far, in this process."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "colonnade_stripe_calls"
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["outcome"] == outcome
    )


def circuit() -> str:
    """The state that the metric shows."""
    (state,) = (
        sample.labels["colonnade_stripe_circuit"]
        for metric in REGISTRY.collect()
        if metric.name == "colonnade_stripe_circuit"
        for sample in metric.samples
        if sample.value
    )
    return state


FAULTS: list[dict[str, Any]] = [
    {"status": 429, "code": "rate_limit"},
    {"status": 429, "code": "lock_timeout"},
    {"status": 500, "after": True},
    {"status": 503},
    {"status": 0, "cut_off": True},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_write_is_repeated_under_one_idempotency_key_and_done_once(
    sandbox: Sandbox, client: StripeClient, fault: dict[str, Any]
) -> None:
    await sandbox.fail(next=1, **fault)
    assert (await client.post("/v1/customers", {"name": "Ada"}))["name"] == "Ada"
    rows = await sandbox.requests("POST", "/v1/customers")
    assert len(rows) > 1
    assert len({row["idempotency_key"] for row in rows}) == 1
    assert all(row["idempotency_key"] for row in rows)
    assert len((await sandbox.call("GET", "/v1/customers"))["data"]) == 1


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_what_goes_on_failing_is_unavailable_and_says_when_to_come_back(
    sandbox: Sandbox, client: StripeClient, fault: dict[str, Any]
) -> None:
    await sandbox.fail(next=100, **fault)
    with pytest.raises(StripeUnavailable) as raised:
        await client.get("/v1/customers")
    assert raised.value.retry_after >= 1
    assert len(await sandbox.requests("GET", "/v1/customers")) == 3, "three tries"


@pytest.mark.parametrize(
    ("status", "headers", "outcome", "again"),
    [
        (429, {"Stripe-Rate-Limited-Reason": "endpoint-rate", "Retry-After": "2"}, "rate_limited", True),
        (429, {"Stripe-Should-Retry": "true"}, "locked", True),
        (500, {}, "failed", True),
        (500, {"Stripe-Should-Retry": "false"}, "failed", False),
        (500, {"Idempotent-Replayed": "true"}, "failed", False),
        (200, {}, "failed", True),
        (409, {}, "conflict", True),
        (400, {}, "refused", False),
        (400, {"Stripe-Should-Retry": "true"}, "refused", True),
        (401, {}, "refused", False),
    ],
)
def test_stripes_answer_says_what_a_failure_means(
    status: int, headers: dict[str, str], outcome: str, again: bool
) -> None:
    found = failures.understand(stripe.APIError("no", http_status=status, headers=headers))
    assert (found.outcome, found.again) == (outcome, again)


@given(st.text(max_size=12) | st.integers(-(10**9), 10**9).map(str), st.integers(1, 5))
def test_no_advice_to_wait_is_believed_beyond_a_minute(advice: str, tries: int) -> None:
    error = stripe.RateLimitError("no", http_status=429, headers={"Retry-After": advice})
    found = failures.understand(error)
    assert found.retry_after is None or 0 <= found.retry_after <= failures.LONGEST_ADVICE
    assert 0 < failures.pause(found, tries) <= failures.LONGEST_ADVICE + failures.LONGEST_PAUSE


async def test_a_timeout_is_tried_again(
    sandbox: Sandbox, client: StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "LONGEST_TRY", 0.3)
    monkeypatch.setattr(sender, "SHORTEST_TRY", 0.1)
    await sandbox.fail(next=1, status=0, delay=2)
    before = counted("unanswered")
    assert (await client.get("/v1/customers"))["data"] == []
    assert counted("unanswered") == before + 1


async def test_what_stripe_finds_wrong_is_not_tried_again(sandbox: Sandbox, client: StripeClient) -> None:
    with pytest.raises(NotFound):
        await client.get("/v1/customers/cus_none")
    with pytest.raises(StripeRefused) as raised:
        await client.post("/v1/subscriptions", {"customer": "cus_none", "items": [{"price": "x"}]})
    assert raised.value.param
    rows = [*await sandbox.requests("GET"), *await sandbox.requests("POST")]
    assert len([row for row in rows if row["status"] >= 400]) == 2


async def test_a_refusal_for_the_rate_slows_down_and_a_lock_does_not(sandbox: Sandbox) -> None:
    took = {}
    for code in ("lock_timeout", "rate_limit"):
        async with connected(sandbox, percent=1000) as gateway:
            await sandbox.fail(next=1, status=429, code=code)
            await gateway.platform.get("/v1/customers")
            bucket = gateway._sender._budget._lane(Call(method="get", path="/v1/customers"))
            now = asyncio.get_running_loop().time()
            took[code] = [each.rate(now) / each.full for each in bucket]
    assert took["lock_timeout"] == [1, 1]
    assert min(took["rate_limit"]) == pytest.approx(0.5, abs=0.1)


async def test_one_tenants_thousand_waiting_calls_do_not_hold_up_another(sandbox: Sandbox) -> None:
    """At 80 calls a second the thousand would take twelve seconds."""
    async with connected(sandbox, percent=400) as gateway:
        greedy, modest = gateway.platform.bound(tenant=1), gateway.platform.bound(tenant=2)
        crowd = [asyncio.create_task(greedy.post("/v1/customers", {"name": "x"})) for _ in range(1000)]
        await asyncio.sleep(0.2)
        done = sum(task.done() for task in crowd)
        await modest.post("/v1/customers", {"name": "Ada"})
        meanwhile = sum(task.done() for task in crowd) - done
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        assert meanwhile < 100, "the other went long before most of them"
        assert len(gateway._sender._budget._turns) == 0
        await greedy.post("/v1/customers", {"name": "x"})
        with pytest.raises(StripeUnavailable):  # and memory is bounded
            await asyncio.gather(*(greedy.post("/v1/customers") for _ in range(budget.LINE + 200)))


async def test_a_portal_session_is_opened_while_a_sweep_uses_all_there_is(
    shared_database: ScratchDatabase, sandbox: Sandbox
) -> None:
    async with running_api(shared_database, sandbox) as api:
        shop = await api.tenant()
        await shop.customer()
        await shop.configuration()
        gateway = gateway_of(api)
        sweeping = gateway.platform.bound(priority=Priority.SWEEP)
        # So slow that only turns can help.
        gateway._sender._budget._limits = Limits(Settings(stripe_api_key=sandbox.key), "web")
        gateway._sender._budget._buckets.clear()
        lists = ("/v1/events", "/v1/customers", "/v1/subscriptions", "/v1/invoices")
        crowd = [
            asyncio.create_task(sweeping.get(path, {"limit": number})) for path in lists for number in range(1, 31)
        ]
        await asyncio.sleep(0.3)
        waiting = sum(not task.done() for task in crowd)
        reply = await shop.call("POST", "/customers/ada/portal-sessions", {})
        left = sum(not task.done() for task in crowd)
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
    assert reply.status_code == 201, reply.text
    assert waiting > 100
    assert waiting - left <= 10, "it did not wait for the sweep"


async def test_a_call_waits_a_limited_time_and_then_says_when_to_come_back(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "WAIT", dict.fromkeys(Priority, 0.1))
    async with connected(sandbox, percent=4) as gateway:
        found = await asyncio.gather(
            *(gateway.platform.post("/v1/customers") for _ in range(20)), return_exceptions=True
        )
        late = [each for each in found if isinstance(each, StripeUnavailable)]
        assert len(late) >= 18
        assert all(1 <= each.retry_after <= 60 for each in late)
        assert max(each.retry_after for each in late) > 5, "twenty calls at one a second"
        assert len(await sandbox.requests("POST", "/v1/customers")) == 20 - len(late), "these were never sent"


async def test_the_same_read_of_many_is_asked_once_and_each_gets_its_own_copy(sandbox: Sandbox) -> None:
    customer = await sandbox.call("POST", "/v1/customers", {"name": "Ada"})
    path = f"/v1/customers/{customer['id']}"
    await sandbox.forget_requests()
    async with connected(sandbox, percent=100) as gateway:
        mine = gateway.platform.bound(tenant=1, priority=Priority.EVENT)
        other = gateway.platform.bound(tenant=2, priority=Priority.EVENT)
        await mine.get(path)  # takes the token that is there
        found = await asyncio.gather(*(mine.get(path) for _ in range(50)), other.get(path))
        assert len(await sandbox.requests("GET", path)) == 3, "one at first, one for fifty, one for the other tenant"
        found[0]["name"] = "changed"
        assert {each["name"] for each in found[1:]} == {"Ada"}
        assert {each["id"] for each in found} == {customer["id"]}


async def test_a_read_that_was_sent_already_is_not_joined(sandbox: Sandbox, client: StripeClient) -> None:
    """Its answer may be older than what made the next one ask."""
    await sandbox.fail(next=1, status=0, delay=0.5, path="/v1/customers")
    early = asyncio.create_task(client.get("/v1/customers"))
    await asyncio.sleep(0.2)
    await sandbox.call("POST", "/v1/customers", {"name": "Ada"})
    assert len((await client.get("/v1/customers"))["data"]) == 1
    await early
    assert len(await sandbox.requests("GET", "/v1/customers")) == 2


async def test_who_joined_a_read_gets_the_answer_though_the_first_asker_left(sandbox: Sandbox) -> None:
    async with connected(sandbox, percent=100) as gateway:
        await gateway.platform.get("/v1/customers")
        first, second = (asyncio.create_task(gateway.platform.get("/v1/customers")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)["data"] == []
        third = asyncio.create_task(gateway.platform.get("/v1/customers"))
        await asyncio.sleep(0)
        third.cancel()  # the last one: it is not asked at all
        with contextlib.suppress(asyncio.CancelledError):
            await third
        assert (await gateway.platform.get("/v1/customers"))["data"] == []
        assert len(await sandbox.requests("GET", "/v1/customers")) == 3
        assert len(gateway._sender._budget._turns) == 0


async def test_with_stripe_down_the_circuit_opens_and_closes_again_by_one_probe(
    sandbox: Sandbox, client: StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "SHORTEST", 0.4)
    client._sender._breaker._pause = 0.4
    await sandbox.fail(next=1000, status=500)
    for _ in range(5):
        with pytest.raises(StripeUnavailable):
            await client.get("/v1/customers")
    sent = len(await sandbox.requests("GET", "/v1/customers"))
    assert (sent, circuit()) == (breaker.FAILURES, "open"), "after that nothing is sent"
    await sandbox.fail()
    await asyncio.sleep(0.5)
    found = await asyncio.gather(
        *(client.get("/v1/customers", {"limit": at}) for at in range(1, 6)), return_exceptions=True
    )
    assert sum(isinstance(each, dict) for each in found) == 1, "one probe"
    assert circuit() == "closed"
    assert (await client.get("/v1/customers"))["data"] == []


async def test_a_route_answers_503_with_retry_after_while_the_circuit_is_open(
    shared_database: ScratchDatabase, sandbox: Sandbox
) -> None:
    async with running_api(shared_database, sandbox) as api:
        shop = await api.tenant()
        await shop.customer()
        await shop.configuration()
        await sandbox.fail(next=1000, status=503)
        gateway = gateway_of(api)
        for tenant in (1, 2, 3):
            with pytest.raises(StripeUnavailable):
                await gateway.platform.bound(tenant=tenant).get("/v1/customers")
        await sandbox.forget_requests()
        reply = await shop.call("POST", "/customers/ada/portal-sessions", {})
        assert problem(reply, 503)["type"] == "urn:colonnade:problem:stripe-unavailable"
        assert 1 <= int(reply.headers["Retry-After"]) <= 60
        assert await sandbox.requests("POST") == [], "Stripe was not asked"
        assert (await shop.call("GET", "/customers/ada")).status_code == 200, "what needs no Stripe goes on"


async def test_where_nothing_listens_calls_fail_at_once_when_that_is_known(sandbox: Sandbox) -> None:
    async with connected(sandbox, url=NOWHERE) as gateway:
        for _ in range(3):
            with pytest.raises(StripeUnavailable):
                await gateway.platform.get("/v1/customers")
        before = counted("unanswered")
        with pytest.raises(StripeUnavailable):
            await gateway.platform.get("/v1/customers")
        assert counted("unanswered") == before, "not tried"


async def test_buckets_of_accounts_that_are_idle_are_forgotten(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "KEPT", 50)
    gate = budget.Budget(Limits(Settings(stripe_api_key=sandbox.key, stripe_budget_percent=PLENTY), "web"))
    for number in range(500):
        await gate.enter(Call(method="get", path="/v1/events", account=f"acct_{number}"))
        await asyncio.sleep(0)
    assert len(gate._buckets) < 300


async def test_nobody_overtakes_who_waits_though_a_token_is_there_first(sandbox: Sandbox) -> None:
    gate = budget.Budget(Limits(Settings(stripe_api_key=sandbox.key, base_url="http://h"), "web"))
    call = Call(method="post", path="/v1/customers")
    first = asyncio.create_task(gate.enter(call))
    await asyncio.sleep(0)
    while first.done():
        first = asyncio.create_task(gate.enter(call))
        await asyncio.sleep(0)
    time.sleep(0.1)  # noqa: ASYNC251 - before the budget's own timer can run
    await gate.enter(call)
    await asyncio.sleep(0)
    assert first.done()
