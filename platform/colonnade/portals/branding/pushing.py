"""Sending a branding to the connected account, by the request that changed it or, while Stripe is away, by a worker.

One process at a time sends a tenant's, so that the last one asked for is the last one sent; it holds no database
connection meanwhile.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from colonnade.accounts.states import FROZEN, literal
from colonnade.database.connections import LOST, create_engine
from colonnade.database.roles import Duty
from colonnade.errors import DomainError, NotFound, StripeRefused, StripeUnavailable
from colonnade.portals.branding import store
from colonnade.portals.branding.images import Kind
from colonnade.portals.branding.settings import form
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.client import StripeClient, StripeGateway
from colonnade_tenants.partition import TenantSession, tenant_session

log = structlog.get_logger()

Sessions = Callable[[int], AbstractAsyncContextManager[TenantSession]]

CLAIM = 240.0
"""Seconds that a process may take: two uploads, two writes and a read, each with all its tries."""
POLL = 5.0
"""Seconds between a worker's looks for branding that waits."""
LONGEST_PAUSE = 300
"""Seconds between two tries while Stripe does not answer, at most."""

_DUE = f"""
select b.tenant_id, t.stripe_account from branding b join tenants t on t.id = b.tenant_id
where b.try_at <= now() and (b.claimed_until is null or b.claimed_until < now()) and t.stripe_account is not null
    and t.state not in {literal(FROZEN)}
order by b.try_at limit 20
"""  # noqa: S608 - only our own names are put in


class _Files(NamedTuple):
    """Pictures that were sent, with their digests and Stripe's names for them."""

    known: dict[Kind, tuple[bytes, str]]

    @property
    def form(self) -> dict[str, str]:
        return {kind: file for kind, (_, file) in self.known.items()}


async def push(
    sessions: Sessions, gateway: StripeGateway, tenant: int, account: str, priority: Priority = Priority.REQUEST
) -> None:
    """Send what *tenant* asked for, and what it asks for meanwhile. Returns at once where another process is at it."""
    while True:
        async with sessions(tenant) as session:
            work = await store.claim(session, CLAIM)
            if work is None:
                return
            images = await store.found_images(session)
            missing = await store.contents(session, missing=True)
        digests = {kind: images[kind].digest for kind in missing}
        ask = _Asking(gateway, tenant, account, priority)
        outcome, files = await ask.all(work, missing, digests)
        async with sessions(tenant) as session:
            await store.note_files(session, files.known)
            if await store.settle(session, work, **outcome):
                return


class _Asking:
    """The calls of one push."""

    def __init__(self, gateway: StripeGateway, tenant: int, account: str, priority: Priority) -> None:
        self._platform = gateway.platform.bound(tenant=tenant, priority=priority)
        # A file belongs to the account that shall use it.
        self._account: StripeClient = gateway.account(account).bound(tenant=tenant, priority=priority)
        self._path = f"/v1/accounts/{account}"

    async def all(
        self, work: store.Row, missing: dict[Kind, bytes], digests: dict[Kind, bytes]
    ) -> tuple[dict[str, Any], _Files]:
        """The row's fields after Stripe was asked, and the pictures that it took."""
        sent = _Files({})
        try:
            refused = await self._parts(work, missing, digests, sent)
            dashboard = await self._dashboard() if refused else None
        except StripeUnavailable:
            pause = timedelta(seconds=min(POLL * 2.0**work.failures, LONGEST_PAUSE))
            waiting = {
                "problem": "Stripe cannot be asked right now; it is tried again.",
                "failures": work.failures + 1,
                "try_at": datetime.now(UTC) + pause,
            }
            return waiting, _Files({})
        if not refused:
            kept = {name: value for name, value in work.settings.items() if value is not None}
            return {"state": "applied", "problem": None, "settings": kept, "try_at": None}, sent
        problem = " ".join(f"{part.capitalize()}: {reason}" for part, reason in refused.items())
        told = {"state": "refused", "problem": problem, "refused": list(refused), "dashboard": dashboard}
        return told | {"try_at": None}, _Files({}) if "look" in refused else sent

    async def _parts(
        self, work: store.Row, missing: dict[Kind, bytes], digests: dict[Kind, bytes], sent: _Files
    ) -> dict[str, str]:
        """Why Stripe refused what, by part."""
        refused = {}
        try:
            for kind, content in missing.items():
                file = await self._account.upload(f"business_{kind}", f"{kind}.png", content)
                sent.known[kind] = digests[kind], file
        except (StripeRefused, NotFound) as error:
            refused["look"] = error.message
        for part, params in form(work.settings, sent.form).items():
            if part in refused:
                continue
            try:
                await self._platform.post(self._path, params)
            except (StripeRefused, NotFound) as error:
                refused[part] = error.message
        return refused

    async def _dashboard(self) -> str | None:
        """Where the account's owner would set it: `full`, `express`, `none`; None for an account that is gone."""
        try:
            found = await self._platform.get(self._path)
        except (StripeRefused, NotFound):
            return None
        controller = (found.get("controller") or {}).get("stripe_dashboard") or {}
        dashboard: str | None = controller.get("type") or {"standard": "full"}.get(found["type"], found["type"])
        return dashboard


async def push_due(engine: AsyncEngine, gateway: StripeGateway) -> int:
    """Send what waits; how many tenants' that was."""
    async with engine.connect() as connection:
        due = (await connection.exec_driver_sql(_DUE)).all()
    for row in due:
        try:
            await push(partial(tenant_session, engine), gateway, row.tenant_id, row.stripe_account, Priority.SWEEP)
        except DomainError as error:
            log.warning("branding waits", account=row.stripe_account, reason=error.message)
    return len(due)


async def push_periodically(database_url: str, gateway: StripeGateway) -> None:
    """Send what waits, for as long as the worker runs; the database and Stripe may come and go."""
    engine = create_engine(database_url, Duty.WORKER, size=1)
    try:
        while True:
            try:
                await push_due(engine, gateway)
            except LOST as error:
                log.warning("branding waits", error=type(error).__name__)
            except Exception as error:
                log.error("branding failed", exc_info=error)
            await asyncio.sleep(POLL)
    finally:
        await engine.dispose()
