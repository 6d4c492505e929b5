"""A visit is kept while Stripe makes its session, whose id is noted later."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from colonnade.accounts.service import tenant_by_id
from colonnade.database import later
from colonnade.database.later import Later
from colonnade.portals import links, sessions
from colonnade.portals.links import Place
from colonnade.portals.requests import SessionRequest
from colonnade.portals.visiting import Opener
from colonnade_tenants.portal import visits
from colonnade_tenants.portal.visits import Made
from tests.platform.api import ORIGIN, SECRET_KEY, TenantApi, problem
from tests.platform.portals import services_of

SESSIONS = "/customers/ada/portal-sessions"
NEVER = 3600.0


@pytest.fixture
async def shop(fern: TenantApi) -> TenantApi:
    await fern.configuration()
    await fern.customer("ada")
    return fern


async def row_of(tenant: TenantApi, visit: str) -> asyncpg.Record:
    (row,) = await tenant.api.sql("select * from portal_visits where id = $1", visit)
    return row


async def test_a_process_that_is_killed_after_its_answer_leaves_a_visit_that_was_asked_for(
    shop: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "GATHERING", NEVER)  # what is in the database then is what a killed process leaves
    made = (await shop.call("POST", SESSIONS, {}, idempotency_key="k")).json()
    row = await row_of(shop, made["id"])
    assert (row["session"], row["left_out"], row["outcome"]) == (None, None, None)
    assert json.loads(row["before"])["subscriptions"] == []
    assert (await shop.call("POST", SESSIONS, {}, idempotency_key="k")).json() == made
    path = links.link("", Place(shop.id, made["id"]), SECRET_KEY)
    assert (await shop.api.client.get(path)).status_code == 200
    assert (await row_of(shop, made["id"]))["returned_at"] is not None
    assert (await shop.get(SESSIONS))["data"][0]["session"].startswith("bps_")  # who lists them waits for that


async def test_who_is_told_to_stop_notes_what_it_answered(shop: TenantApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "GATHERING", NEVER)
    async with services_of(shop) as services:
        tenant = await tenant_by_id(services, shop.id)
        made = await sessions.open_session(services, tenant, "ada", SessionRequest(), Opener("key_1"))
        assert (await row_of(shop, made.id))["session"] is None
    assert (await row_of(shop, made.id))["session"].startswith("bps_")


async def test_a_note_of_another_tenant_changes_nothing(shop: TenantApi, kiln: TenantApi) -> None:
    async with services_of(shop) as services:
        mine, theirs = [await tenant_by_id(services, each.id) for each in (shop, kiln)]
        made = await sessions.open_session(services, mine, "ada", SessionRequest(), Opener("key_1"))
        await services.database.later.written()
        before = await row_of(shop, made.id)
        forged = Made(made.id, before["customer_id"], "bps_forged", "forged")
        await visits.note(services.database.app_pool, theirs.id, [forged])
    assert await row_of(shop, made.id) == before


async def test_a_return_url_of_the_configuration_that_only_begins_like_an_origin_keeps_no_visit(
    shop: TenantApi,
) -> None:
    evil = f"{ORIGIN}.evil.example"
    await shop.call("PATCH", "", {"return_origins": [evil]})
    await shop.configuration(default_return_url=f"{evil}/")
    await shop.call("PATCH", "", {"return_origins": [ORIGIN]})
    problem(await shop.call("POST", SESSIONS, {}), 400, "return_url")
    of_tenant = "select from portal_visits where tenant_id = (select id from tenants where public_id = $1)"
    assert await shop.api.sql(of_tenant, shop.id) == []


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"locale": "de", "return_directly": True},
        {"configuration": "main", "return_url": f'{ORIGIN}/?a="b"&c=\'%22{{}}[]'},
        {"after_expiration": {}},
    ],
)
async def test_a_visit_is_what_was_asked_for(shop: TenantApi, wanted: dict[str, Any]) -> None:
    made = (await shop.call("POST", SESSIONS, wanted, idempotency_key="k")).json()
    assert (await shop.call("POST", SESSIONS, wanted, idempotency_key="k")).json() == made
    problem(await shop.call("POST", SESSIONS, wanted | {"locale": "fr"}, idempotency_key="k"), 409, "Idempotency-Key")
    row = await row_of(shop, made["id"])
    by = "name" if "configuration" in wanted else "default"
    assert (row["configuration"], row["chosen_by"], row["locale"]) == ("main", by, wanted.get("locale"))
    assert row["return_url"] == wanted.get("return_url", f"{ORIGIN}/account")
    (customer,) = await shop.api.sql("select public_id from customers where id = $1", row["customer_id"])
    assert customer["public_id"] == (await shop.get("/customers/ada"))["id"]


class Keeping:
    """Keeps visits once it is let."""

    def __init__(self) -> None:
        self.begun, self.let = asyncio.Event(), asyncio.Event()
        self._add = visits.add

    async def add(self, *args: Any, **named: Any) -> bool:
        self.begun.set()
        await self.let.wait()
        return await self._add(*args, **named)


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> Keeping:
    found = Keeping()
    monkeypatch.setattr(visits, "add", found.add)
    return found


async def asked(tenant: TenantApi) -> int:
    """How many sessions Stripe was asked for."""
    return len(await tenant.api.sandbox.requests(path="/v1/billing_portal/sessions"))


async def test_stripe_is_asked_meanwhile_and_nobody_has_the_url_before_the_visit_is_kept(
    shop: TenantApi, keeping: Keeping
) -> None:
    before = await asked(shop)
    answer = asyncio.create_task(shop.call("POST", SESSIONS, {}))
    async with asyncio.timeout(10):
        while await asked(shop) == before:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not answer.done()
    keeping.let.set()
    made = (await answer).json()
    assert (await row_of(shop, made["id"]))["customer_id"]


async def test_what_may_be_a_repetition_is_kept_before_stripe_is_asked(shop: TenantApi, keeping: Keeping) -> None:
    before = await asked(shop)
    answer = asyncio.create_task(shop.call("POST", SESSIONS, {}, idempotency_key="k"))
    await keeping.begun.wait()
    await asyncio.sleep(0.2)
    assert await asked(shop) == before
    keeping.let.set()
    assert (await answer).status_code == 201


async def test_a_url_is_not_handed_out_whose_visit_cannot_be_kept(
    shop: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def add(*args: Any, **named: Any) -> bool:
        raise asyncpg.ConnectionDoesNotExistError

    await shop.call("POST", SESSIONS, {})  # the key is known
    monkeypatch.setattr(visits, "add", add)
    reply = await shop.call("POST", SESSIONS, {})
    problem(reply, 503)
    assert "url" not in reply.json()
    assert len((await shop.get(SESSIONS))["data"]) == 1


class Writes:
    """Keeps what is written, after so many failures."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.made: list[tuple[int, list[str]]] = []

    async def write(self, _: asyncpg.Pool, tenant_id: int, things: Sequence[str]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        self.made.append((tenant_id, list(things)))


async def test_what_is_put_is_written_once_for_each_tenant_in_a_moment(shop: TenantApi) -> None:
    async with services_of(shop) as services:
        writes, each = Writes(failures=0), services.database.later
        for tenant_id, thing in ((1, "a"), (2, "b"), (1, "c")):
            each.put(writes.write, tenant_id, thing)
        async with asyncio.timeout(20):
            while len(writes.made) < 2:
                await asyncio.sleep(0.01)
    assert writes.made == [(1, ["a", "c"]), (2, ["b"])]


@pytest.mark.parametrize(("failures", "made"), [(3, [(1, ["a"])]), (4, [])])
async def test_a_database_that_comes_back_is_waited_for_and_one_that_does_not_is_given_up(
    monkeypatch: pytest.MonkeyPatch, failures: int, made: list[Any]
) -> None:
    monkeypatch.setattr(later, "PAUSES", (0.0, 0.0, 0.0))
    writes, waiting = Writes(failures), Later(None)
    waiting.put(writes.write, 1, "a")
    await waiting.written()
    assert writes.made == made
    waiting.put(writes.write, 1, "b")
    await waiting.close()
    assert writes.made == [*made, (1, ["b"])]
