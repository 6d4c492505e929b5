"""Two web processes behind real servers: a revoked key is revoked in both, and nobody chooses its own address."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from colonnade.access import keys
from colonnade.access.scopes import Role
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import Admin, admin
from tests.platform.test_webhooks_server import serving

pytestmark = pytest.mark.slow

PROMISED = 1.0
"""Seconds after which a revoked key opens nothing."""
CHECK = "/v1/tenants/ten_acct_1/customers/ada/entitlements"
READ = "/v1/tenants/ten_acct_1/features"
SERVERS = ("granian", "uvicorn")


class Two:
    """A client of each process, and the database."""

    def __init__(self, db: Admin, clients: list[httpx.AsyncClient]) -> None:
        self.db, self.clients = db, clients

    async def key(self, tenant_id: int | None, *scopes: str) -> tuple[str, dict[str, str]]:
        """A new key's id, and the header that sends it."""
        made = keys.random_key("platform" if tenant_id is None else "tenant")
        stored = await keys.store(self.db.connection, made, "test", tenant_id, scopes)
        return stored.id, {"Authorization": f"Bearer {made}"}


@pytest.fixture
async def two(database: ScratchDatabase, tmp_path: Path) -> AsyncIterator[Two]:
    async with admin(database) as db:
        with (
            serving(database, tmp_path, SERVERS[0]) as (_, first),
            serving(database, tmp_path, SERVERS[1]) as (_, second),
        ):
            urls = [f"http://127.0.0.1:{port}" for port in (first, second)]
            clients = [httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) for url in urls]
            yield Two(db, clients)
            for client in clients:
                await client.aclose()


async def test_a_key_revoked_in_one_process_opens_nothing_in_another_a_second_later(two: Two) -> None:
    tenant_id = await two.db.tenant("acct_1")
    await two.db.connection.execute(
        "insert into customers (tenant_id, public_id, reference) values ($1, 'ecu_1', 'ada')", tenant_id
    )
    _, team = await two.key(None, Role.ADMIN)
    for change in ("revoke", "rotate"):
        key_id, header = await two.key(tenant_id, "read")
        for client in two.clients:
            for path in (CHECK, READ) * 20:  # by now memory answers checks
                assert (await client.get(path, headers=header)).status_code == 200
        url = f"/v1/tenants/ten_acct_1/keys/{key_id}"
        if change == "revoke":
            reply = await two.clients[0].delete(url, headers=team)
        else:
            reply = await two.clients[0].post(f"{url}/rotate", headers=team, json={"overlap": 0})
        assert reply.is_success, reply.text
        revoked = time.monotonic()
        statuses: list[int] = []
        while time.monotonic() < revoked + PROMISED + 1:
            for client in two.clients:
                asked = time.monotonic()
                check = await client.get(CHECK, headers=header)
                statuses.append(check.status_code)
                assert check.status_code != 200 or asked < revoked + PROMISED
                # Other routes ask the database each time, until there were too many such tries.
                assert (await client.get(READ, headers=header)).status_code in (401, 429)
            await asyncio.sleep(0.02)
        assert 401 in statuses


@pytest.mark.parametrize("process", [0, 1])
async def test_whoever_claims_other_addresses_is_locked_out_all_the_same(two: Two, process: int) -> None:
    said = []
    for number in range(25):
        headers = {"Authorization": f"Bearer {keys.random_key('tenant')}", "X-Forwarded-For": f"198.51.100.{number}"}
        said.append((await two.clients[process].get("/v1/tenants", headers=headers)).status_code)
    assert said == [401] * 20 + [429] * 5, SERVERS[process]
