"""Payloads are shown without what opens something; everything else is as Stripe signed it."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.webhooks.payload import CUT, shown
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import admin, event, web
from tests.platform.test_webhooks_events import settle, tenant_key

OPENS = "https://billing.example/enter/7f3a9c"
TOKEN = "b19e7cc02f"


def about(thing: dict[str, Any], previous: dict[str, Any] | None = None) -> bytes:
    return json.dumps(event("test.shown", thing, previous)).encode()


SECRETS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "portal session": ({"id": "bps_1", "object": "billing_portal.session", "url": OPENS}, None),
    "Checkout session": ({"id": "cs_1", "object": "checkout.session", "url": OPENS}, None),
    "previous URL of a session": ({"id": "cs_1", "object": "checkout.session", "url": None}, {"url": OPENS}),
    "session inside": (
        {"id": "x", "object": "x", "latest": [{"object": "billing_portal.session", "url": OPENS}]},
        None,
    ),
    "account link": ({"object": "account_link", "url": OPENS}, None),
    "login link": ({"object": "login_link", "url": OPENS}, None),
    "verification": ({"object": "identity.verification_session", "url": OPENS, "client_secret": TOKEN}, None),
    "payment intent": ({"id": "pi_1", "object": "payment_intent", "client_secret": f"pi_1_secret_{TOKEN}"}, None),
    "setup intent inside": ({"id": "seti_1", "pending": {"client_secret": f"seti_1_secret_{TOKEN}"}}, None),
    "webhook endpoint": ({"id": "we_1", "object": "webhook_endpoint", "secret": f"whsec_{TOKEN}"}, None),
    "key in free text": ({"id": "x", "description": f"use sk_live_{TOKEN}"}, None),
    "key as a name": ({"id": "x", "metadata": {f"whsec_{TOKEN}": "1"}}, None),
    "portal URL elsewhere": ({"id": "x", "note": f"https://billing.stripe.com/p/session/{TOKEN}"}, None),
    "the way back from the portal": (
        {"id": "x", "return_url": f"https://colonnade.example/portal/return/ten_1.pvi_1.{TOKEN}"},
        None,
    ),
    "fingerprint": ({"id": "pm_1", "card": {"last4": "4242", "exp_month": 1, "fingerprint": TOKEN}}, None),
    "card number": ({"id": "pm_1", "card": {"number": f"4242{TOKEN}", "exp_month": 1, "cvc": TOKEN}}, None),
}


@pytest.mark.parametrize("name", SECRETS)
def test_what_opens_something_is_cut_out(name: str) -> None:
    text = bytes(shown(about(*SECRETS[name]))).decode()
    assert OPENS not in text
    assert TOKEN not in text
    assert CUT in json.dumps(json.loads(text), ensure_ascii=False)


KEPT = {
    "id": "in_1",
    "object": "invoice",
    "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/x",
    "number": "A-0001",
    "business_profile": {"url": "https://shop.example"},
    "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030},
    "on_behalf_of": "acct_1",
    "client_secret": None,
    "amounts": [1, -2.5, 12345678901234567890, True, None, ""],
}


def test_everything_else_is_as_it_was_signed() -> None:
    body = about(KEPT, {"number": "A-0000"})
    assert json.loads(bytes(shown(body))) == json.loads(body)


def test_a_sessions_other_fields_stay() -> None:
    session = {"id": "bps_1", "object": "billing_portal.session", "return_url": "https://shop.example", "url": OPENS}
    assert json.loads(bytes(shown(about(session))))["data"]["object"] == session | {"url": CUT}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"id": "evt_1", "name": "\xff"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ],
    ids=["empty", "cut off", "no text", "no UTF-8 inside", "deep lists", "deep objects"],
)
def test_what_is_no_json_is_shown_as_nothing(body: bytes) -> None:
    assert bytes(shown(body)) == b"null"


WORDS = st.text(string.ascii_lowercase + "_", max_size=12)
NAMES = WORDS | st.sampled_from(["url", "secret", "client_secret", "object", "data", "fingerprint"])
KINDS = st.sampled_from(["billing_portal.session", "checkout.session", "account_link", "ephemeral_key"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)


@given(
    around=VALUES,
    path=st.lists(NAMES, max_size=4),
    kind=KINDS,
    name=st.sampled_from(["url", "secret", "client_secret"]),
)
def test_wherever_a_secret_is_it_does_not_show(around: Any, path: list[str], kind: str, name: str) -> None:
    thing: Any = {"object": kind, name: OPENS + TOKEN, "around": around}
    for step in path:
        thing = [{step: thing, "beside": around}]
    body = json.dumps(event("test.shown", {"id": "x", "inside": thing})).encode()
    text = bytes(shown(body)).decode()
    assert TOKEN not in text
    assert json.loads(text).keys() == json.loads(body).keys()


async def test_no_route_shows_them_to_anyone(shared_database: ScratchDatabase) -> None:
    async with admin(shared_database) as db, web(shared_database) as client:
        await db.clear()
        tenant = await db.tenant("acct_anna")
        key = await tenant_key(db, tenant)
        for thing, previous in SECRETS.values():
            sent = event("test.shown", thing, previous)
            await client.deliver(sent)
            await settle(db, sent["id"], "done", tenant)
            for path, who in (
                (f"/v1/events/{sent['id']}", None),
                (f"/v1/tenants/ten_acct_anna/events/{sent['id']}", key),
            ):
                answer = await client.call("GET", path, who)
                assert answer.status_code == 200
                assert OPENS not in answer.text
                assert TOKEN not in answer.text
            assert OPENS.encode() in (body := (await db.row(sent["id"]))["body"]) or TOKEN.encode() in body


async def test_an_event_whose_bytes_are_no_json_can_be_looked_at(shared_database: ScratchDatabase) -> None:
    async with admin(shared_database) as db, web(shared_database) as client:
        await db.clear()
        sent = event()
        await client.deliver(sent)
        await db.connection.execute("update inbox set body = $1", b'{"id": "evt_1", "name": "\xff"}')
        answer = await client.call("GET", f"/v1/events/{sent['id']}")
        assert (answer.status_code, answer.json()["payload"]) == (200, None)
