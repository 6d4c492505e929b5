"""The demo from start to Ctrl-C: database, local Stripe, web, worker, the tenants' sites, and their data."""

import asyncio
import contextlib
import fcntl
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import msgspec

from colonnade.access.keys import derived_key, store
from colonnade.database.connections import connect
from colonnade.database.embedded import EmbeddedPostgres
from colonnade.database.locate import DatabaseUrls
from colonnade.database.migrate import upgrade
from colonnade.database.roles import SERVICE_LOGIN, Duty
from colonnade.demo import story
from colonnade.demo.clients import Api, Shopkeeper
from colonnade.demo.errors import DemoRunning
from colonnade.demo.ports import Ports, pick_port, picking_ports
from colonnade.demo.processes import Processes
from colonnade.demo.seed import SeededTenant, seed
from colonnade.demo.site import Shop, Site
from colonnade.settings import Settings, ensure_secret_key
from colonnade.stripe_api.client import StripeGateway
from colonnade.tasks import end
from colonnade.webhooks.provision import provision

SANDBOX_KEY = "sk_test_colonnade_demo"
_KEPT = ("sandbox.sqlite3", "sandbox.sqlite3-wal", "sandbox.sqlite3-shm", "demo.json", "site.json", "logs")
"""The demo's files beside the database. The secret key stays: other things may have been signed with it."""


class Options(msgspec.Struct, frozen=True):
    """What the command line asked for; *port* None: the default, or any free one."""

    port: int | None
    data_dir: Path
    reset: bool


class WebhookEndpoint(msgspec.Struct):
    """One of the demo's webhook endpoints at the local Stripe."""

    kind: str
    id: str
    secret: str
    url: str


class Running(msgspec.Struct):
    """Where everything is, once it runs: what `--json` prints."""

    base_url: str
    sandbox_url: str
    sandbox_key: str
    site_url: str
    database_url: str
    platform_key: str
    webhook_endpoints: list[WebhookEndpoint]
    tenants: list[SeededTenant]


@contextlib.contextmanager
def _only_demo(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoRunning(data_dir) from error
        yield


def _reset(data_dir: Path) -> None:
    EmbeddedPostgres(data_dir).erase()
    for name in _KEPT:
        path = data_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def run(options: Options, note: Callable[[str], None], show: Callable[[Running], None]) -> None:
    """Run until Ctrl-C or SIGTERM; *show* is called once, when everything is ready.

    Raises `DemoRunning`, `PortTaken`, `ChildEnded`, `CallFailed`.
    """
    with _only_demo(options.data_dir):
        if options.reset:
            note("Removing the data of earlier demos")
            _reset(options.data_dir)
        with EmbeddedPostgres(options.data_dir, note) as server:
            urls = DatabaseUrls(server.url(SERVICE_LOGIN, "postgres"), server.url("postgres", "postgres"))
            asyncio.run(_run(options, urls, note, show))


async def _run(
    options: Options, urls: DatabaseUrls, note: Callable[[str], None], show: Callable[[Running], None]
) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    processes = Processes(options.data_dir / "logs")
    work = asyncio.create_task(_serve(options, urls, processes, note, show))
    stop = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.is_set():
            note("Stopping")
        else:
            work.result()
    finally:
        await end(work, stop)
        await processes.stop()


async def _serve(
    options: Options,
    urls: DatabaseUrls,
    processes: Processes,
    note: Callable[[str], None],
    show: Callable[[Running], None],
) -> None:
    note("Migrating the database")
    await upgrade(urls.admin, urls.service)
    site_file = options.data_dir / "site.json"
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        async with picking_ports():
            ports = Ports(pick_port(options.port, 8000), pick_port(None, 12111), pick_port(None, 8080))
            environ = _environment(options.data_dir, urls.service, ports)
            note("Starting the local Stripe")
            data = options.data_dir / "sandbox.sqlite3"
            arguments = ("--port", str(ports.sandbox), "--data", str(data))
            await processes.start("sandbox", "colonnade_sandbox", *arguments, environ={})
            await processes.wait_ready("sandbox", f"{ports.sandbox_url}/_sandbox/health")
            gateway = StripeGateway(Settings.load(environ))
            stack.push_async_callback(gateway.close)
            shopkeeper = Shopkeeper(http, gateway.platform)
            endpoints = await _endpoints(urls.service, gateway, options.data_dir / "demo.json", ports.web_url)
            for endpoint in endpoints:
                environ[f"COLONNADE_STRIPE_{endpoint.kind.upper()}_WEBHOOK_SECRETS"] = endpoint.secret
            note("Starting the web process, the worker and the tenants' sites")
            await processes.start("web", "colonnade", "serve", environ=environ)
            await processes.start("worker", "colonnade", "worker", environ=environ)
            await processes.start("site", "colonnade.demo.site", str(site_file), str(ports.site), environ={})
            await processes.wait_ready("web", f"{ports.web_url}/health/ready")
            await processes.wait_ready("site", f"{ports.site_url}/health")
        key = await _platform_key(urls.service, environ["COLONNADE_SECRET_KEY"])
        note("Seeding two tenants")
        tenants = await seed(Api(http, ports.web_url, key), shopkeeper, ports.site_url)
    _write_private(site_file, msgspec.json.encode(Site(ports.web_url, _shops(tenants))))
    running = (ports.web_url, ports.sandbox_url, SANDBOX_KEY, ports.site_url, urls.service, key, endpoints, tenants)
    show(Running(*running))
    await processes.watch()


def _environment(data_dir: Path, database_url: str, ports: Ports) -> dict[str, str]:
    """The settings of the demo's web process and worker, but for the webhook secrets."""
    return {
        "COLONNADE_DATABASE_URL": database_url,
        "COLONNADE_DATA_DIR": str(data_dir),
        "COLONNADE_SECRET_KEY": ensure_secret_key(Settings(data_dir=data_dir)),
        "COLONNADE_STRIPE_API_KEY": SANDBOX_KEY,
        "COLONNADE_STRIPE_API_BASE": ports.sandbox_url,
        "COLONNADE_STRIPE_BUDGET_PERCENT": "1000",  # the local Stripe has no limits
        "COLONNADE_BASE_URL": ports.web_url,
        "COLONNADE_PORT": str(ports.web),
        "COLONNADE_DRAIN_SECONDS": "0",
    }


async def _platform_key(database_url: str, secret_key: str) -> str:
    connection = await connect(database_url, Duty.PLATFORM)
    try:
        key = await derived_key(connection, "platform", secret_key, "demo")
        return (await store(connection, key, "demo", None)).secret
    finally:
        await connection.close()


async def _endpoints(database_url: str, gateway: StripeGateway, kept: Path, base_url: str) -> list[WebhookEndpoint]:
    """Both webhook endpoints. Stripe shows a secret only when it makes one, so it is kept beside the data."""
    earlier = msgspec.json.decode(kept.read_bytes(), type=list[WebhookEndpoint]) if kept.exists() else []
    secrets = {endpoint.id: endpoint.secret for endpoint in earlier}
    connection = await connect(database_url, Duty.PLATFORM)
    try:
        found = await provision(connection, gateway.platform, base_url)
    finally:
        await connection.close()
    endpoints = [WebhookEndpoint(each.kind, each.id, each.secret or secrets[each.id], each.url) for each in found]
    _write_private(kept, msgspec.json.encode(endpoints))
    return endpoints


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _shops(tenants: list[SeededTenant]) -> list[Shop]:
    return [
        Shop(
            tale.slug,
            tenant.id,
            tale.name,
            tale.tagline,
            tale.primary,
            tale.secondary,
            tenant.key,
            {key: name for key, (_kind, name) in tale.features.items()},
            {customer.reference: customer.name for customer in tale.customers},
        )
        for tale, tenant in zip(story.TENANTS, tenants, strict=True)
    ]
