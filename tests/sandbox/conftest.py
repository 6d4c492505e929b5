"""A real sandbox process, the unchanged SDK against it, and a receiver for its webhooks."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe
from aiohttp import web

from tests.openapi_replies import recorded

stripe.enable_telemetry = False


@dataclass
class Process:
    """One running sandbox."""

    popen: subprocess.Popen[str]
    url: str

    def stop(self, *, kill: bool = False) -> None:
        if kill:
            self.popen.kill()
        else:
            self.popen.terminate()
        self.popen.wait(10)
        if self.popen.stdout is not None:
            self.popen.stdout.close()


# Where the sandboxes of this run keep their replies, once `replies` says so.
RECORD: list[str] = []


@pytest.fixture(scope="session", autouse=True)
def replies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every reply that this run's sandboxes gave."""
    with recorded(tmp_path_factory.mktemp("sandbox")) as file:
        RECORD[:] = ["--record-replies", str(file)]
        yield file
        RECORD.clear()


def start(*arguments: str) -> Process:
    command = [sys.executable, "-m", "colonnade_sandbox", "--port", "0", "--check-replies", *RECORD, *arguments]
    popen = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert popen.stdout is not None
    line = popen.stdout.readline()
    running = Process(popen, line.split()[-1] if line else "")
    if not line.startswith("Stripe sandbox ready at http://127.0.0.1:"):
        running.stop()
        pytest.fail(f"the sandbox did not start: {line!r}")
    return running


@pytest.fixture(scope="session")
def process() -> Iterator[Process]:
    running = start("--retry-scale", "0.0001")
    yield running
    running.stop()


@pytest.fixture
def url(process: Process) -> str:
    return process.url


@pytest.fixture
def key() -> str:
    """A key of its own, so an account of its own, for every test."""
    return f"sk_test_{uuid.uuid4().hex}"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.body["error"])


@dataclass
class Wire:
    """Requests as bytes, for what the SDK would never send."""

    session: aiohttp.ClientSession
    url: str
    key: str

    async def send(self, method: str, path: str, body: str | None = None, **headers: str) -> Reply:
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/x-www-form-urlencoded"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value}
        async with self.session.request(method, self.url + path, data=body, headers=sent) as answer:
            return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.json())

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.send("GET", path, **headers)

    async def post(self, path: str, body: str = "", **headers: str) -> Reply:
        return await self.send("POST", path, body, **headers)

    async def control(self, path: str, value: Any) -> Any:
        async with self.session.post(f"{self.url}/_sandbox/{path}", json=value) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@pytest.fixture
def wire(http: aiohttp.ClientSession, url: str, key: str) -> Wire:
    return Wire(http, url, key)


def client_for(url: str, key: str, http_client: stripe.AIOHTTPClient) -> stripe.StripeClient:
    addresses: Any = {"api": url, "files": url, "connect": url}
    return stripe.StripeClient(key, http_client=http_client, base_addresses=addresses)


@pytest.fixture
async def transport() -> AsyncIterator[stripe.AIOHTTPClient]:
    client = stripe.AIOHTTPClient(timeout=10)
    yield client
    await client.close_async()


@pytest.fixture
def sdk(url: str, key: str, transport: stripe.AIOHTTPClient) -> Any:
    """`client.v1` of the official SDK."""
    return client_for(url, key, transport).v1


@dataclass
class Delivery:
    body: bytes
    headers: dict[str, str]
    event: Any


@dataclass
class Receiver:
    """A webhook endpoint: answers what `answers` says, 200 when that is used up."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    received: list[Delivery] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self.arrived:
            self.received.append(Delivery(body, dict(request.headers), await request.json()))
            self.arrived.notify_all()
        status = self.answers.pop(0) if self.answers else 200
        headers = {"Location": self.url} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)

    def types(self) -> list[str]:
        return [delivery.event["type"] for delivery in self.received]

    async def wait_for(self, count: int, *, timeout: float = 10) -> list[Delivery]:  # noqa: ASYNC109
        async with asyncio.timeout(timeout), self.arrived:
            await self.arrived.wait_for(lambda: len(self.received) >= count)
        return self.received


@pytest.fixture
async def receivers() -> AsyncIterator[Any]:
    """Makes receivers, each on a port of its own."""
    runners: list[web.AppRunner] = []

    async def make() -> Receiver:
        receiver = Receiver()
        app = web.Application()
        app.router.add_post("/", receiver.handle)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        receiver.url = f"http://127.0.0.1:{port}/"
        return receiver

    yield make
    for runner in runners:
        await runner.cleanup()


@dataclass
class Shop:
    """A platform with a connected account, a product with two prices, and a customer with a card."""

    account: str
    product: str
    monthly: str
    yearly: str
    customer: str


async def connected_account(sdk: Any) -> str:
    account = await sdk.accounts.create_async(
        {
            "controller": {
                "fees": {"payer": "application"},
                "losses": {"payments": "application"},
                "requirement_collection": "application",
                "stripe_dashboard": {"type": "none"},
            },
            "capabilities": {"card_payments": {"requested": True}, "transfers": {"requested": True}},
            "business_profile": {"name": "Aurora"},
        }
    )
    return str(account.id)


async def catalogue(sdk: Any, options: Any = None) -> tuple[str, str, str]:
    product = await sdk.products.create_async({"name": "Gold"}, options)
    ids = []
    for interval, amount in (("month", 1000), ("year", 9000)):
        price = await sdk.prices.create_async(
            {
                "product": product.id,
                "currency": "usd",
                "unit_amount": amount,
                "recurring": {"interval": interval},
            },
            options,
        )
        ids.append(price.id)
    return product.id, ids[0], ids[1]


async def customer_with_card(sdk: Any, card: str = "pm_card_visa", options: Any = None) -> str:
    customer = await sdk.customers.create_async(
        {
            "email": "ann@example.com",
            "payment_method": card,
            "invoice_settings": {"default_payment_method": card},
        },
        options,
    )
    return str(customer.id)


@pytest.fixture
async def shop(sdk: Any) -> Shop:
    return Shop(await connected_account(sdk), *await catalogue(sdk), await customer_with_card(sdk))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "sandbox.sqlite"
