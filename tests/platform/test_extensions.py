"""Operators' own handlers: found in an installed package, run after the core, undone and tried again alone."""

import importlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from colonnade.database.roles import Duty
from colonnade.settings import SettingsError
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks import extensions
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.extensions import ExtensionBroken, Extensions, installed
from colonnade_tenants.handlers import HANDLERS
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import SETTINGS, Admin, admin, event
from tests.tenants import billing

PACKAGE = '''
"""Notes big invoices as a feature of the tenant: an effect that a test can see."""

from colonnade_tenants.partition import TENANT, Statement
from colonnade_tenants.tables import features
from sqlalchemy.dialects.postgresql import insert

mood = {"broken": False, "calls": []}
_ADD = Statement(insert(features).values(tenant_id=TENANT, key="acme-invoice", kind="flag", name="Acme"))


async def on_invoice_paid(event, tenant, stripe):
    mood["calls"].append(event.id)
    await tenant.execute(_ADD)
    if mood["broken"]:
        raise RuntimeError("Acme is down")


async def on_upcoming(event, tenant, stripe):
    mood["calls"].append(event.type)


def not_async(event, tenant, stripe):
    pass
'''
NAMES = {"invoice.paid": "colonnade_acme:on_invoice_paid", "invoice.upcoming": "colonnade_acme:on_upcoming"}


def install(folder: Path, names: dict[str, str]) -> None:
    """What `pip install colonnade-acme` leaves in site-packages."""
    (folder / "colonnade_acme.py").write_text(PACKAGE)
    info = folder / "colonnade_acme-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: colonnade-acme\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in names.items())
    (info / "entry_points.txt").write_text(f"[colonnade.handlers]\n{lines}")


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    install(tmp_path, NAMES)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("colonnade_acme").mood
    del sys.modules["colonnade_acme"]


@pytest.fixture
async def db(shared_database: ScratchDatabase) -> AsyncIterator[Admin]:
    async with admin(shared_database) as db:
        await db.clear()
        await db.connection.execute("delete from invoices; delete from customers; delete from features")
        yield db


class Desk:
    """Stores events, and works them off with what is installed."""

    def __init__(self, db: Admin, pool: asyncpg.Pool) -> None:
        self.db = db
        self._pool = pool
        gateway = StripeGateway(SETTINGS)
        self._extensions = Extensions(gateway, installed())
        self._dispatcher = Dispatcher(gateway, HANDLERS, self._extensions)

    async def put(self, sent: dict[str, Any]) -> None:
        await self.db.connection.execute(
            "insert into inbox (event_id, endpoint, type, object_id, created, livemode, body)"
            " values ($1, 'platform', $2, $3, now(), false, $4)",
            sent["id"],
            sent["type"],
            sent["data"]["object"].get("id", sent["id"]),
            json.dumps(sent).encode(),
        )

    async def work(self) -> None:
        while await self._dispatcher.batch(self._pool):
            pass

    async def retry(self) -> int:
        await self.db.connection.execute("update extension_calls set not_before = now() where state = 'pending'")
        return await self._extensions.retry(self._pool)

    async def calls(self) -> list[tuple[str, int, str | None]]:
        rows = await self.db.connection.fetch("select state, attempts, reason from extension_calls order by id")
        return [tuple(row) for row in rows]

    async def effects(self) -> tuple[int, int]:
        """The core's, and the extension's."""
        rows = [await self.db.connection.fetchval(f"select count(*) from {name}") for name in ("invoices", "features")]
        return rows[0], rows[1]


@pytest.fixture
async def desk(db: Admin, shared_database: ScratchDatabase, acme: dict[str, Any]) -> AsyncIterator[Desk]:
    async with asyncpg.create_pool(
        shared_database.service_url, min_size=1, max_size=1, server_settings={"role": str(Duty.WORKER)}
    ) as pool:
        yield Desk(db, pool)


def paid() -> dict[str, Any]:
    return event("invoice.paid", billing.invoice("paid"))


def test_the_handlers_of_installed_packages_are_found(acme: dict[str, Any]) -> None:
    assert [(each.event_type, each.name) for each in installed()] == sorted(NAMES.items())


@pytest.mark.parametrize("value", ["colonnade_acme:not_async", "colonnade_acme:nothing", "no_such_package:handler"])
def test_one_that_cannot_be_used_keeps_the_worker_from_starting(
    acme: dict[str, Any], tmp_path: Path, value: str
) -> None:
    install(tmp_path, {"invoice.paid": value})
    with pytest.raises(ExtensionBroken, match=value) as caught:
        installed()
    assert isinstance(caught.value, SettingsError), "the command line prints it as a sentence"


async def test_it_runs_after_the_core_in_the_events_tenant(desk: Desk, acme: dict[str, Any]) -> None:
    tenant = await desk.db.tenant("acct_1")
    await desk.db.tenant("acct_2")
    sent = paid()
    await desk.put(sent)
    await desk.work()
    assert (await desk.db.row(sent["id"]))["state"] == "done"
    assert (acme["calls"], await desk.effects(), await desk.calls()) == ([sent["id"]], (1, 1), [])
    assert await desk.db.connection.fetchval("select tenant_id from features") == tenant


async def test_what_fails_is_undone_alone_and_tried_again_without_the_core(desk: Desk, acme: dict[str, Any]) -> None:
    await desk.db.tenant("acct_1")
    acme["broken"] = True
    sent = paid()
    await desk.put(sent)
    await desk.work()
    row = await desk.db.row(sent["id"])
    assert (row["state"], row["attempts"], await desk.effects()) == ("done", 0, (1, 0))
    assert await desk.calls() == [("pending", 1, "RuntimeError: Acme is down")]
    await desk.db.connection.execute("delete from invoices")
    assert await desk.retry() == 1
    assert (await desk.calls(), await desk.effects()) == ([("pending", 2, "RuntimeError: Acme is down")], (0, 0))
    acme["broken"] = False
    assert await desk.retry() == 1
    assert (await desk.calls(), await desk.effects()) == ([("done", 3, None)], (0, 1))
    assert (await desk.retry(), acme["calls"]) == (0, [sent["id"]] * 3)


async def test_a_failing_one_does_not_hold_up_later_events_of_the_object(desk: Desk, acme: dict[str, Any]) -> None:
    await desk.db.tenant("acct_1")
    acme["broken"] = True
    sent = [paid(), paid()]
    for each in sent:
        await desk.put(each)
    await desk.work()
    assert [(await desk.db.row(each["id"]))["state"] for each in sent] == ["done", "done"]


async def test_one_that_keeps_failing_is_given_up(
    desk: Desk, acme: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extensions, "ATTEMPTS", 2)
    await desk.db.tenant("acct_1")
    acme["broken"] = True
    await desk.put(paid())
    await desk.work()
    await desk.retry()
    assert await desk.calls() == [("dead", 2, "RuntimeError: Acme is down")]


async def test_a_type_that_only_an_extension_handles_is_done_once_its_tenant_is_known(
    desk: Desk, acme: dict[str, Any]
) -> None:
    await desk.db.tenant("acct_1")
    ours, nobodys = (
        event("invoice.upcoming", {"object": "invoice", "on_behalf_of": account}) for account in ("acct_1", None)
    )
    for each in (ours, nobodys):
        await desk.put(each)
    await desk.work()
    rows = [await desk.db.row(each["id"]) for each in (ours, nobodys)]
    assert [(row["state"], row["rung"]) for row in rows] == [("done", "on_behalf_of"), ("pending", None)]
    assert acme["calls"] == ["invoice.upcoming"]


async def test_one_that_was_removed_is_given_up(desk: Desk, acme: dict[str, Any]) -> None:
    await desk.db.tenant("acct_1")
    acme["broken"] = True
    await desk.put(paid())
    await desk.work()
    await desk.db.connection.execute("update extension_calls set extension = 'gone:handler'")
    await desk.retry()
    assert await desk.calls() == [("dead", 2, "It is not installed any more.")]
