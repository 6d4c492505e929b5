"""Whatever is signed and sent: it is stored as it came or refused as no event, and nothing breaks."""

import asyncio
import hmac
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from colonnade.settings import Settings
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import CONNECT, PLATFORM, Running, admin, event, web


def signed(body: bytes, secret: str = PLATFORM) -> dict[str, str]:
    """The header of any bytes, also such that the SDK cannot sign."""
    at = str(int(time.time()))
    return {"Stripe-Signature": f"t={at},v1={hmac.digest(secret.encode(), at.encode() + b'.' + body, 'sha256').hex()}"}


SNAPSHOT = event(
    thing={"id": "sub_1", "on_behalf_of": "acct_1", "transfer_data": {"destination": "acct_1"}}, account="acct_1"
)
THIN = {
    "id": "evt_thin",
    "object": "v2.core.event",
    "type": "v1.customer.subscription.active",
    "created": "2026-11-01T10:00:00.123Z",
    "livemode": False,
    "context": "acct_platform/acct_thin",
    "related_object": {"id": "sub_9", "type": "subscription", "url": "/v1/subscriptions/sub_9"},
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["\x00", "a\x00b", "\ud800", "é", "", " ", "acct_", "evt_\n", "x" * 300, "0001-01-01T00:00:00+14:00"]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def mutated_events(draw: st.DrawFn) -> bytes:
    """An event with fields replaced, left out or added at any depth, and then perhaps bytes changed."""
    sent: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from([SNAPSHOT, THIN]))))
    for _ in range(draw(st.integers(1, 3))):
        place = sent
        name = draw(st.sampled_from([*sent, "user_id", "context", "account", "data"]))
        while isinstance(place.get(name), dict) and place[name] and draw(st.booleans()):
            place = place[name]
            name = draw(st.sampled_from([*place]))
        if draw(st.booleans()):
            place[name] = draw(ODD)
        else:
            place.pop(name, None)
    body = bytearray(json.dumps(sent).encode())
    for _ in range(draw(st.sampled_from([0, 0, 1, 4]))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


async def test_a_mutated_event_is_stored_as_it_came_or_refused(running: Running) -> None:
    client, db = running
    loop = asyncio.get_running_loop()

    async def deliver(body: bytes, endpoint: str) -> None:
        await db.connection.execute("delete from inbox")
        secret = {"platform": PLATFORM, "connect": CONNECT}[endpoint]
        answer = await client.post(body, signed(body, secret), endpoint)
        stored = [row["body"] for row in await db.inbox()]
        assert (answer.status_code, stored) in [(200, [body]), (400, [])]

    @hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutated_events(), st.sampled_from(["platform", "connect"]))
    def holds(body: bytes, endpoint: str) -> None:
        asyncio.run_coroutine_threadsafe(deliver(body, endpoint), loop).result(20)

    await asyncio.to_thread(holds)


async def test_a_changed_body_is_refused_under_the_signature_of_another(running: Running) -> None:
    client, db = running
    body = json.dumps(SNAPSHOT).encode()
    header = signed(body)
    loop = asyncio.get_running_loop()

    @hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(body)), st.integers(0, 3), st.binary(max_size=3))
    def refuses(at: int, removed: int, added: bytes) -> None:
        changed = body[:at] + added + body[at + removed :]
        if changed != body:
            sent = client.post(changed, header)
            assert asyncio.run_coroutine_threadsafe(sent, loop).result(20).status_code == 400

    await asyncio.to_thread(refuses)
    assert await db.inbox() == []


OLD_SHAPES: dict[str, tuple[dict[str, Any], str | None]] = {
    "before 2017 the account was the user": (event(user_id="acct_old", request="req_1"), "acct_old"),
    "both names of the account": (event(user_id="acct_old", account="acct_new"), "acct_new"),
    "a request that is an id": (event(request="req_1"), None),
    "no request, no version": (
        {name: value for name, value in event().items() if name not in {"request", "api_version"}},
        None,
    ),
    "the mode on the object alone": (
        {name: value for name, value in event(thing={"id": "sub_1", "livemode": False}).items() if name != "livemode"},
        None,
    ),
    "fields that are yet to come": (event(context="acct_1", reason={"type": "request"}, data_version=3), None),
    "thin": (THIN, "acct_thin"),
    "thin, of the account itself": ({**THIN, "id": "evt_own", "context": None}, None),
    "thin, with data of its own": ({**THIN, "id": "evt_data", "data": {"reason": "x"}, "changes": {}}, "acct_thin"),
    "thin, about nothing": ({**THIN, "id": "evt_nothing", "related_object": None}, "acct_thin"),
    "thin, of accounts v2": ({**THIN, "id": "evt_v2", "type": "v2.core.account[requirements].updated"}, "acct_thin"),
}


@pytest.mark.parametrize("name", OLD_SHAPES)
async def test_events_of_every_version_and_style_are_stored_alike(running: Running, name: str) -> None:
    client, db = running
    sent, account = OLD_SHAPES[name]
    assert (await client.deliver(sent, "connect" if account else "platform")).status_code == 200
    (row,) = await db.inbox()
    assert (row["event_id"], row["type"], row["state"]) == (sent["id"], sent["type"], "pending")
    assert (row["account"], row["livemode"]) == (account, False)
    assert json.loads(row["body"]) == sent


async def test_a_value_that_the_database_cannot_hold_spoils_no_other_event(running: Running) -> None:
    """The reason of a dead letter repeats the wrong value."""
    client, db = running
    odd, good = event(object="charge\x00"), event()
    assert [(await client.deliver(each)).status_code for each in (odd, good)] == [200, 200]
    assert [(row["event_id"], row["state"]) for row in await db.inbox()] == [
        (odd["id"], "dead"),
        (good["id"], "pending"),
    ]
    assert "`$.object`" in (await db.row(odd["id"]))["reason"]


async def test_a_secret_is_accepted_until_it_expires(database: ScratchDatabase) -> None:
    several = Settings(
        stripe_api_key="sk_test_1",
        stripe_platform_webhook_secrets=("whsec_new", "whsec_old@2099-01-01T00:00Z", "whsec_gone@2020-01-01T00:00Z"),
        stripe_connect_webhook_secrets=("whsec_gone@2099-01-01T00:00Z",),
    )
    body = json.dumps(event()).encode()
    async with web(database, several) as client, admin(database) as db:
        statuses = {}
        for secret in ("whsec_new", "whsec_old", "whsec_gone"):
            statuses[secret] = (await client.post(body, signed(body, secret))).status_code
        assert statuses == {"whsec_new": 200, "whsec_old": 200, "whsec_gone": 400}
        rolled = signed(body, "whsec_gone")["Stripe-Signature"] + signed(body, "whsec_new")["Stripe-Signature"][12:]
        assert (await client.post(body, {"Stripe-Signature": rolled})).status_code == 200
        assert len(await db.inbox()) == 1
