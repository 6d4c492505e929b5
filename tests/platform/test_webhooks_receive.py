"""What Stripe signed is stored before it is acknowledged; nothing else is stored, and nothing answers 500."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.errors import Unavailable
from colonnade.observability import REQUESTS
from colonnade.settings import Settings
from colonnade.webhooks import writer
from colonnade.webhooks.writer import Received
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import (
    CONNECT,
    PLATFORM,
    Running,
    admin,
    event,
    headers_for,
    signature,
    web,
)

BODY = json.dumps(event()).encode()


def mac(body: bytes, at: str, secret: str = PLATFORM) -> str:
    return hmac.digest(secret.encode(), at.encode() + b"." + body, "sha256").hex()


async def test_an_event_is_stored_as_it_was_signed(running: Running) -> None:
    client, db = running
    sent = event(created=1_800_000_000)
    body = json.dumps(sent, indent=3).encode()
    answer = await client.post(body, headers_for(body))
    assert (answer.status_code, answer.content) == (200, b"")
    (row,) = await db.inbox()
    assert row["body"] == body
    assert {name: row[name] for name in ("event_id", "endpoint", "account", "type", "object_id", "state")} == {
        "event_id": sent["id"],
        "endpoint": "platform",
        "account": None,
        "type": "customer.subscription.updated",
        "object_id": "sub_1",
        "state": "pending",
    }
    assert (row["api_version"], row["livemode"]) == ("2026-10-28.endive", False)
    assert row["created"].timestamp() == 1_800_000_000


async def test_a_duplicate_is_acknowledged_and_stored_once(running: Running) -> None:
    client, db = running
    sent = event()
    assert [(await client.deliver(sent)).status_code for _ in range(3)] == [200, 200, 200]
    assert len(await db.inbox()) == 1


async def test_each_delivery_is_counted_as_one_request_whatever_came_of_it(running: Running) -> None:
    client, _ = running
    routes = [("POST", "/webhooks/stripe/platform", status) for status in (200, 400)]
    before = [REQUESTS.counts[each] for each in routes]
    refused = await client.post(BODY, {"Stripe-Signature": "t=1,v1=00"})
    assert (await client.deliver(event())).status_code == 200
    assert refused.status_code == 400
    assert refused.headers["request-id"].startswith("req_"), "who asks why has something to name"
    assert [REQUESTS.counts[each] for each in routes] == [number + 1 for number in before]


async def test_parallel_deliveries_are_each_stored_once(running: Running) -> None:
    client, db = running
    sent = [event() for _ in range(20)]
    answers = await asyncio.gather(*(client.deliver(each) for each in sent + sent))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(row["event_id"] for row in await db.inbox()) == sorted(each["id"] for each in sent)


def now_as_text() -> str:
    return str(int(time.time()))


def hostile(now: str) -> dict[str, Any]:
    """Headers that have to be refused, and would still be if they were of this moment."""
    return {
        "missing": [],
        "empty": [""],
        "no time": [f"v1={mac(BODY, now)}"],
        "two times": [f"t={now},t=1,v1={mac(BODY, now)}"],
        "the same time twice": [f"t={now},t={now},v1={mac(BODY, now)}"],
        "twice": [f"t={now},v1={mac(BODY, now)}"] * 2,
        "time not a number": [f"t=soon,v1={mac(BODY, 'soon')}"],
        "time with sign": [f"t=+{now},v1={mac(BODY, '+' + now)}"],
        "time with underscore": ["t=1_0,v1=" + mac(BODY, "1_0")],
        "time in Arabic digits": ["t=١٢٣,v1=00".encode()],
        "huge time": ["t=" + "9" * 5000 + ",v1=" + mac(BODY, "9" * 5000)],
        "large time": ["t=999999999999,v1=" + mac(BODY, "999999999999")],
        "negative time": ["t=-1,v1=" + mac(BODY, "-1")],
        "empty time": ["t=,v1=" + mac(BODY, "")],
        "no signature": [f"t={now}"],
        "empty signature": [f"t={now},v1="],
        "signature not ASCII": [f"t={now},v1=é".encode()],
        "signature of bytes": [b"t=" + now.encode() + b",v1=\xff\xfe"],
        "cut signature": [f"t={now},v1={mac(BODY, now)[:-1]}"],
        "wrong scheme": [f"t={now},v0={mac(BODY, now)}"],
        "wrong secret": [f"t={now},v1={mac(BODY, now, 'whsec_wrong')}"],
        "the other endpoint's secret": [f"t={now},v1={mac(BODY, now, CONNECT)}"],
        "empty secret": [f"t={now},v1={mac(BODY, now, '')}"],
        "other time than signed": [f"t={int(now) - 1},v1={mac(BODY, now)}"],
        "many signatures": [f"t={now}" + ",v1=00" * 500],
    }


@pytest.mark.parametrize("name", hostile("0"))
async def test_a_hostile_signature_is_refused(running: Running, name: str) -> None:
    client, db = running
    answer = await client.post(BODY, [("Stripe-Signature", value) for value in hostile(now_as_text())[name]])
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["param"] == "Stripe-Signature"
    assert await db.inbox() == []


@pytest.mark.parametrize(("age", "status"), [(295, 200), (305, 400), (-295, 200), (-305, 400), (10**7, 400)])
async def test_a_signature_is_good_for_five_minutes_either_way(running: Running, age: int, status: int) -> None:
    client, db = running
    answer = await client.post(BODY, {"Stripe-Signature": signature(BODY, at=time.time() - age)})
    assert answer.status_code == status
    assert len(await db.inbox()) == (status == 200)


async def test_any_accepted_secret_and_any_of_several_signatures_will_do(running: Running) -> None:
    client, _ = running
    older = signature(BODY, "whsec_older")
    assert (await client.post(BODY, {"Stripe-Signature": older})).status_code == 200
    now = now_as_text()
    rolled = f"t={now},v0=ff,v1={'0' * 64},v1={mac(BODY, now)},x"
    assert (await client.post(BODY, {"Stripe-Signature": rolled})).status_code == 200


@st.composite
def mutated_headers(draw: st.DrawFn) -> bytes:
    """A good header for another time or body, with bytes changed, removed or added."""
    header = bytearray(f"t={draw(st.integers(0, 2**70))},v1={draw(st.binary(min_size=32, max_size=32)).hex()}".encode())
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(header)))
        header[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(byte for byte in header if byte not in b"\r\n\0")


async def test_no_mutated_header_is_accepted_or_breaks_anything(running: Running) -> None:
    client, db = running
    loop = asyncio.get_running_loop()

    @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutated_headers(), st.sampled_from(["platform", "connect"]))
    def refuses(header: bytes, endpoint: str) -> None:
        sent = client.post(BODY, [(b"stripe-signature", header)], endpoint)
        assert asyncio.run_coroutine_threadsafe(sent, loop).result(20).status_code == 400

    await asyncio.to_thread(refuses)
    assert await db.inbox() == []


def without(name: str) -> dict[str, Any]:
    sent = event()
    del sent[name]
    return sent


NO_EVENTS: dict[str, Any] = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"id": "\xff"}',
    "a list": [],
    "a number": 5,
    "deeply nested": json.dumps(event(pad="here")).replace('"here"', "[" * 20_000 + "]" * 20_000).encode(),
    "no id": without("id"),
    "id with NUL": event(id="evt_\x00"),
    "id with newline": event(id="evt_1\n"),
    "type with surrogate": json.dumps(event(type="\ud800")).encode(),
    "long id": event(id="e" * 256),
    "id a number": event(id=5),
}
ODD_EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "no type": (without("type"), "`type`"),
    "no created": (without("created"), "`created`"),
    "no data": (without("data"), "`data`"),
    "no object": (event(data={}), "`object` - at `$.data`"),
    "no livemode": (without("livemode"), "`livemode`"),
    "another object": (event(object="charge"), "`$.object`"),
    "created as text": (event(created="today"), "`$.created`"),
    "created too late": (event(created=10**15), "`$.created`"),
    "created negative": (event(created=-1), "`$.created`"),
    "object id a number": (event(thing={"id": 5}), "`$.data.object.id`"),
    "account a number": (event(account=5), "`$.account`"),
    "livemode as text": (event(livemode="true"), "`$.livemode`"),
}


@pytest.mark.parametrize("name", NO_EVENTS)
async def test_what_is_signed_but_no_event_is_refused_and_not_stored(running: Running, name: str) -> None:
    client, db = running
    sent = NO_EVENTS[name]
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    now = now_as_text()
    header = f"t={now},v1={mac(body, now)}"
    answer = await client.post(body, {"Stripe-Signature": header})
    assert answer.status_code == 400
    assert answer.json()["param"] == "body"
    assert await db.inbox() == []


@pytest.mark.parametrize("name", ODD_EVENTS)
async def test_an_event_of_unknown_shape_is_a_dead_letter_that_names_the_path(running: Running, name: str) -> None:
    client, db = running
    sent, path = ODD_EVENTS[name]
    assert (await client.deliver(sent)).status_code == 200
    (row,) = await db.inbox()
    assert (row["event_id"], row["state"], row["account"]) == (sent["id"], "dead", None)
    assert path in row["reason"]
    assert json.loads(row["body"]) == sent


async def test_foreign_events_are_acknowledged_and_stored(running: Running) -> None:
    client, db = running
    sent = [
        event("something.never.heard.of", {"object": "thing"}),
        event("invoice.upcoming", {"object": "invoice", "id": None}),
        event("customer.created", {"id": "cus_1"}, api_version=None),
        event("customer.created", {"id": "cus_1"}, account="acct_foreign"),
        {
            "id": "evt_thin",
            "object": "v2.core.event",
            "type": "v1.customer.subscription.active",
            "created": "2026-11-01T10:00:00.123Z",
            "livemode": False,
            "context": "acct_platform/acct_thin",
            "related_object": {"id": "sub_9", "type": "subscription", "url": "/v1/subscriptions/sub_9"},
        },
    ]
    assert {(await client.deliver(each, "connect")).status_code for each in sent} == {200}
    rows = await db.inbox()
    assert [row["object_id"] for row in rows] == [
        *(sent[0]["id"], sent[1]["id"], "cus_1", "acct_foreign/cus_1", "acct_thin/sub_9")
    ]
    assert [row["account"] for row in rows] == [None, None, None, "acct_foreign", "acct_thin"]


async def test_events_about_an_account_queue_by_the_account(running: Running) -> None:
    client, db = running
    for event_type, own in [
        ("account.updated", "acct_1"),
        ("account.application.deauthorized", "ca_1"),
        ("capability.updated", "card_payments"),
        ("person.updated", "person_1"),
    ]:
        await client.deliver(event(event_type, {"id": own}, account="acct_1"), "connect")
    assert [row["object_id"] for row in await db.inbox()] == ["acct_1"] * 4


async def test_events_of_the_other_mode_are_kept_but_never_applied(running: Running) -> None:
    client, db = running
    sent = event(livemode=True)
    assert (await client.deliver(sent)).status_code == 200
    (row,) = await db.inbox()
    assert (row["state"], row["reason"]) == ("ignored", "livemode")
    again = await client.call("POST", f"/v1/events/{sent['id']}/replay")
    assert again.status_code == 409


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post_is_served(running: Running, method: str) -> None:
    client, _ = running
    answer = await client.client.request(method, "/webhooks/stripe/platform")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_body_beyond_the_limit_is_refused(running: Running) -> None:
    client, db = running

    def padded(size: int) -> bytes:
        empty = len(json.dumps(event(pad="")).encode())
        return json.dumps(event(pad="x" * (size - empty - 3))).encode()

    assert (await client.deliver(padded(1024 * 1024))).status_code == 200
    large = padded(1024 * 1024 + 10)
    answer = await client.deliver(large)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:colonnade:problem:too-large")

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 50_000):
            yield large[start : start + 50_000]

    unannounced = await client.client.post(
        "/webhooks/stripe/platform", content=chunks(), headers={"Stripe-Signature": signature(large)}
    )
    assert unannounced.status_code == 413
    assert len(await db.inbox()) == 1


async def test_an_endpoint_without_secrets_is_off(database: ScratchDatabase) -> None:
    off = Settings(stripe_api_key="sk_test_1", stripe_platform_webhook_secrets=(PLATFORM,))
    async with web(database, off) as client, admin(database) as db:
        unsigned = await client.post(BODY, {}, "connect")
        signed_with_nothing = await client.post(BODY, {"Stripe-Signature": signature(BODY, "")}, "connect")
        assert (unsigned.status_code, signed_with_nothing.status_code) == (404, 404)
        assert (await client.deliver(event())).status_code == 200
        assert len(await db.inbox()) == 1


@asynccontextmanager
async def locked_inbox(database: ScratchDatabase) -> AsyncIterator[None]:
    """A block in which every insert into the inbox waits."""
    async with admin(database) as other, other.connection.transaction():
        await other.connection.execute("lock table inbox in share mode")
        yield


async def test_nothing_is_acknowledged_before_the_commit(running: Running, shared_database: ScratchDatabase) -> None:
    """The table is locked, so that inserting waits; then the connections that wait are cut."""
    client, db = running
    async with locked_inbox(shared_database):
        posts = [asyncio.create_task(client.deliver(event())) for _ in range(5)]
        await asyncio.sleep(0.5)
        assert not any(post.done() for post in posts)
        cut = await db.connection.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and wait_event_type = 'Lock'"
        )
        assert 1 <= len(cut) <= 2  # as many as there are writers
    answers = await asyncio.gather(*posts)
    lost = [answer for answer in answers if answer.status_code == 503]
    assert lost
    assert all(int(answer.headers["retry-after"]) > 0 for answer in lost)
    assert len(await db.inbox()) == len(answers) - len(lost)
    assert (await client.deliver(event())).status_code == 200  # on new connections


async def test_waiting_events_share_one_commit(running: Running, shared_database: ScratchDatabase) -> None:
    client, db = running
    async with locked_inbox(shared_database):
        posts = [asyncio.create_task(client.deliver(event())) for _ in range(40)]
        await asyncio.sleep(0.5)
    assert {answer.status_code for answer in await asyncio.gather(*posts)} == {200}
    transactions = await db.connection.fetch("select count(*) from inbox group by xmin::text order by 1")
    assert sum(row["count"] for row in transactions) == 40
    assert len(transactions) <= 4
    assert transactions[-1]["count"] >= 30


async def test_a_full_queue_answers_503(
    running: Running, shared_database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, db = running
    monkeypatch.setattr(writer, "QUEUE_BYTES", 3 * len(BODY))
    async with locked_inbox(shared_database):
        posts = [asyncio.create_task(client.deliver(event())) for _ in range(8)]
        await asyncio.sleep(0.5)
        turned_away = [post.result() for post in posts if post.done()]
        assert {answer.status_code for answer in turned_away} == {503}
        assert all(answer.headers["retry-after"] for answer in turned_away)
    answers = await asyncio.gather(*posts)
    stored = [answer for answer in answers if answer.status_code == 200]
    assert 1 <= len(stored) <= 4
    assert len(await db.inbox()) == len(stored)
    assert (await client.deliver(event())).status_code == 200


async def test_what_is_queued_at_shutdown_is_still_stored(database: ScratchDatabase) -> None:
    row = Received("", None, "t", "o", datetime.now(UTC), None, False, "-", "platform", b"{}")
    async with admin(database) as db:
        pool = await create_pool(database.service_url, Duty.INGEST, size=2)
        async with AsyncExitStack() as open_writer:
            storing = await open_writer.enter_async_context(writer.InboxWriter(pool))
            async with locked_inbox(database):
                tasks = [asyncio.create_task(storing.store(row._replace(event_id=f"evt_{n}"))) for n in range(200)]
                await asyncio.sleep(0.3)
                closing = asyncio.create_task(open_writer.aclose())
                await asyncio.sleep(0.3)
                assert not closing.done()
                with pytest.raises(Unavailable):
                    await storing.store(row)
            await closing
        assert await asyncio.gather(*tasks) == [None] * 200
        await pool.close()
        assert len(await db.inbox()) == 200


async def test_a_database_that_hangs_answers_503(
    running: Running, shared_database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, db = running
    monkeypatch.setattr(writer, "TIMEOUT", 0.5)
    async with locked_inbox(shared_database):
        answer = await client.deliver(event())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:colonnade:problem:unavailable")
    assert await db.inbox() == []
    monkeypatch.undo()
    assert (await client.deliver(event())).status_code == 200


async def test_the_log_and_the_answer_show_neither_body_nor_signature_nor_secret(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    client, _ = running
    secretive = event(thing={"id": "sub_1", "email": "someone@example.com"})
    good = await client.deliver(secretive)
    body = json.dumps(secretive).encode()
    bad = await client.post(body, headers_for(body, "whsec_wrong"))
    said = "".join(capfd.readouterr()) + good.text + bad.text
    for hidden in ("someone@example.com", PLATFORM, "whsec_wrong", signature(body)[-64:]):
        assert hidden not in said


async def test_deliveries_are_counted_by_endpoint_and_answer(running: Running) -> None:
    client, _ = running

    async def counted() -> dict[str, float]:
        lines = (await client.client.get("/metrics")).text.splitlines()
        wanted = "colonnade_events_received_total"
        return {
            name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith(wanted))
        }

    before = await counted()
    await client.deliver(event())
    await client.deliver(event(livemode=True))
    await client.post(BODY, {}, "connect")
    after = await counted()
    grown = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    assert grown == {
        f'colonnade_events_received_total{{answer="{answer}",endpoint="{endpoint}"}}': 1.0
        for endpoint, answer in [("platform", "stored"), ("platform", "ignored"), ("connect", "signature")]
    }
