"""A refused delivery is explained by name; nothing of it is accepted, stored or repeated."""

import base64
import gzip
import hmac
import json
import re
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from colonnade.access import keys
from colonnade.observability import SIGNATURE_FAILURES
from colonnade.settings import Settings
from colonnade.webhooks.forensics import Cause, Diagnosis, Keyring, Refused, diagnose
from colonnade.webhooks.recodings import LIMIT, stripe_order
from colonnade.webhooks.signature import BadSignature, WebhookSecret, verify
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import CONNECT, PLATFORM, Admin, admin, event, signature, web

NOW = 1_800_000_000
EXPIRED, OTHER_MODE, STRANGER = "whsec_expired", "whsec_othermode", "whsec_stranger"
KEYRING = Keyring(
    {
        "platform": (WebhookSecret(PLATFORM), WebhookSecret(EXPIRED, NOW - 60)),
        "connect": (WebhookSecret(CONNECT),),
    },
    (WebhookSecret(OTHER_MODE),),
)

Change = Callable[[bytes], bytes]


def rewritten(**options: Any) -> Change:
    return lambda body: json.dumps(json.loads(body), **options).encode()


BODY_CHANGES: dict[str, tuple[Cause, Change]] = {
    "compact": (Cause.JSON, rewritten(separators=(",", ":"), ensure_ascii=False)),
    "with spaces": (Cause.JSON, rewritten()),
    "indented by four": (Cause.JSON, rewritten(indent=4)),
    "sorted": (Cause.JSON, rewritten(sort_keys=True, indent=2)),
    "sorted and compact": (Cause.JSON, rewritten(sort_keys=True, separators=(",", ":"))),
    "base64": (Cause.BASE64, base64.b64encode),
    "base64 for URLs": (Cause.BASE64, base64.urlsafe_b64encode),
    "base64 in lines": (Cause.BASE64, base64.encodebytes),
    "a JSON string": (Cause.JSON_STRING, lambda body: json.dumps(body.decode()).encode()),
    "CRLF": (Cause.LINE_ENDINGS, lambda body: body.replace(b"\n", b"\r\n")),
    "CR": (Cause.LINE_ENDINGS, lambda body: body.replace(b"\n", b"\r")),
    "a line end added": (Cause.LINE_ENDINGS, lambda body: body + b"\n"),
    "a byte order mark": (Cause.CHARSET, lambda body: b"\xef\xbb\xbf" + body),
    "UTF-16": (Cause.CHARSET, lambda body: body.decode().encode("utf-16")),
    "Latin-1": (Cause.CHARSET, lambda body: body.decode().encode("latin-1")),
    "UTF-8 twice": (Cause.CHARSET, lambda body: body.decode("latin-1").encode()),
    "gzip": (Cause.COMPRESSED, gzip.compress),
    "zlib": (Cause.COMPRESSED, zlib.compress),
    "cut": (Cause.TRUNCATED, lambda body: body[: len(body) // 2]),
    "emptied": (Cause.EMPTY, lambda body: b""),
}
HEADER_CHANGES: dict[str, Change] = {
    "upper case": lambda header: header.upper().replace(b"T=", b"t=").replace(b"V1=", b"v1="),
    "spaces": lambda header: header.replace(b",", b", "),
    "quotes": lambda header: b'"' + header.replace(b"=", b'="').replace(b",", b'",') + b'""',
    "semicolons": lambda header: header.replace(b",", b";"),
    "percent signs": lambda header: header.replace(b"=", b"%3D").replace(b",", b"%2C"),
    "only the test scheme": lambda header: header.replace(b"v1=", b"v0="),
    "no time": lambda header: header.partition(b",")[2],
    "cut off": lambda header: header[:30],
    "empty": lambda header: b"",
}


def refuse(body: bytes, *, headers: list[bytes], announced: int | None = None, at: float = NOW) -> Diagnosis:
    """What is said of a delivery, which must be one that the check refuses."""
    with pytest.raises(BadSignature):
        verify(headers, body, KEYRING.endpoints["platform"], at)
    return diagnose(Refused("platform", headers, body, announced, at), KEYRING)


def signed(body: bytes, secret: str = PLATFORM, at: float = NOW) -> list[bytes]:
    return [signature(body, secret, at).encode()]


WORDS = st.text(st.characters(codec="latin-1", min_codepoint=0xA1, max_codepoint=0xFF), min_size=1, max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """An event as Stripe writes it: its keys in order, indented by two, with letters beyond ASCII."""
    thing = {"id": "sub_1", "object": "subscription", "name": draw(WORDS), "metadata": draw(VALUES)}
    sent = event(thing=thing, id=draw(st.from_regex(r"evt_[A-Za-z0-9]{8}", fullmatch=True)))
    return json.dumps(stripe_order(sent), indent=2, ensure_ascii=False).encode()


@pytest.mark.parametrize("name", BODY_CHANGES)
@hypothesis_settings(max_examples=15, deadline=None)
@given(body=bodies())
def test_a_body_that_was_changed_is_refused_and_the_change_named(name: str, body: bytes) -> None:
    cause, change = BODY_CHANGES[name]
    changed = change(body)
    found = refuse(changed, headers=signed(body), announced=len(changed))
    assert found.cause is cause, found


def test_wherever_a_body_is_cut_that_is_named() -> None:
    thing = {"id": "sub_1", "amount": -12, "rate": -1.5e-10, "on": [True, False, None], "name": "gr\u00e4fin\n"}
    body = json.dumps(stripe_order(event(thing=thing)), indent=2, ensure_ascii=False).encode()
    for end in range(1, len(body)):
        found = refuse(body[:end], headers=signed(body), announced=end)
        assert found.cause is Cause.TRUNCATED, (body[:end], found)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_body_that_was_unpacked_on_the_way_is_named(pack: Change) -> None:
    body = json.dumps(event()).encode()
    packed = gzip.compress(body, mtime=0) if pack is gzip.compress else pack(body)
    with pytest.raises(UnicodeDecodeError):
        signed(packed)  # Stripe's own signer is for text alone, so the header is made by hand
    header = f"t={NOW},v1={hmac_hex(packed)}".encode()
    assert refuse(body, headers=[header]).cause is Cause.DECOMPRESSED


def hmac_hex(body: bytes) -> str:
    return hmac.digest(PLATFORM.encode(), f"{NOW}.".encode() + body, "sha256").hex()


@pytest.mark.parametrize("name", HEADER_CHANGES)
@hypothesis_settings(max_examples=15, deadline=None)
@given(body=bodies())
def test_a_header_that_was_changed_is_refused_and_said_to_be(name: str, body: bytes) -> None:
    header = HEADER_CHANGES[name](signed(body)[0])
    assert refuse(body, headers=[header]).cause is Cause.HEADER_MANGLED


@pytest.mark.parametrize(
    ("secret", "cause"),
    [
        (EXPIRED, Cause.EXPIRED_SECRET),
        (CONNECT, Cause.OTHER_ENDPOINT),
        (OTHER_MODE, Cause.OTHER_MODE),
        (STRANGER, Cause.UNKNOWN),
    ],
)
@hypothesis_settings(max_examples=15, deadline=None)
@given(body=bodies())
def test_a_secret_that_is_not_accepted_here_is_told_from_the_others(secret: str, cause: Cause, body: bytes) -> None:
    assert refuse(body, headers=signed(body, secret)).cause is cause


@hypothesis_settings(max_examples=50, deadline=None)
@given(body=bodies(), seconds=st.integers(301, 10**8), late=st.booleans())
def test_a_clock_that_is_off_is_named_with_how_much(body: bytes, seconds: int, late: bool) -> None:
    found = refuse(body, headers=signed(body, at=NOW - seconds if late else NOW + seconds))
    assert found.cause is (Cause.TOO_OLD if late else Cause.IN_FUTURE)
    assert f"{seconds} s" in found.detail


def test_a_header_that_is_missing_or_came_twice_is_named() -> None:
    body = json.dumps(event()).encode()
    assert refuse(body, headers=[]).cause is Cause.HEADER_MISSING
    assert refuse(body, headers=signed(body) * 2).cause is Cause.HEADER_REPEATED


def test_a_body_shorter_than_announced_is_named_with_both_lengths() -> None:
    body = json.dumps(event()).encode()
    found = refuse(body[:100], headers=signed(body), announced=len(body))
    assert found.cause is Cause.TRUNCATED
    assert f"100 of the {len(body)} bytes" in found.detail


@hypothesis_settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=300), header=st.binary(max_size=120), announced=st.none() | st.integers(0, 10**20))
def test_any_bytes_are_diagnosed_and_none_are_repeated(body: bytes, header: bytes, announced: int | None) -> None:
    body, header = b"ZZZZ" + body, b"YYYY" + header
    found = refuse(body, headers=[header], announced=announced)
    assert "ZZZZ" not in found.detail
    assert "YYYY" not in found.detail
    assert not any(secret in found.detail for secret in (PLATFORM, CONNECT, EXPIRED, OTHER_MODE))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"9" * 100_000,
        gzip.compress(b"\0" * 100_000_000),
        b"x" * LIMIT,
        b"x" * 4 * LIMIT,
        json.dumps([event()] * 500).encode(),
    ],
    ids=["nested", "number", "gzip bomb", "large", "too large", "many"],
)
def test_a_hostile_body_is_given_up_soon(body: bytes) -> None:
    began = time.process_time()
    assert refuse(body, headers=signed(b"{}")).cause in (Cause.UNKNOWN, Cause.TRUNCATED)
    assert time.process_time() - began < 1.5


def soon(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).strftime("%Y-%m-%dT%H:%M:%SZ")


SETTINGS = Settings(
    stripe_api_key="sk_test_1",
    stripe_api_base="http://127.0.0.1:9",
    stripe_platform_webhook_secrets=(PLATFORM, f"whsec_rolled@{soon(hours=1)}", f"{EXPIRED}@{soon(hours=-1)}"),
    stripe_connect_webhook_secrets=(CONNECT,),
    stripe_other_mode_webhook_secrets=(OTHER_MODE,),
)


async def cause_of(db: Admin, already: int) -> Any:
    """The row of the next failure that is kept."""
    deadline = time.monotonic() + 20
    while True:
        rows = await db.connection.fetch("select * from webhook_failures order by last_at desc")
        if sum(row["count"] for row in rows) > already:
            return rows[0]
        assert time.monotonic() < deadline


async def test_through_the_front_door_each_failure_is_counted_and_shown_without_its_content(
    shared_database: ScratchDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    body = json.dumps(stripe_order(event(thing={"id": "sub_1", "email": "gräfin@example.com"})), indent=2).encode()
    header = signature(body, at=time.time()).encode()
    async with admin(shared_database) as db, web(shared_database, SETTINGS) as client:
        await db.connection.execute("delete from inbox; delete from webhook_failures")
        sent = [
            (Cause.JSON, rewritten()(body), header),
            (Cause.OTHER_ENDPOINT, body, signature(body, CONNECT).encode()),
            (Cause.OTHER_MODE, body, signature(body, OTHER_MODE).encode()),
            (Cause.EXPIRED_SECRET, body, signature(body, EXPIRED).encode()),
            (Cause.TOO_OLD, body, signature(body, at=time.time() - 1000).encode()),
            (Cause.HEADER_MANGLED, body, header.upper()),
            (Cause.TOO_OLD, body, signature(body, at=time.time() - 2000).encode()),
        ]
        for already, (cause, changed, head) in enumerate(sent):
            label = SIGNATURE_FAILURES.labels("platform", cause)
            counted = label._value.get()
            assert (await client.post(changed, {"Stripe-Signature": head})).status_code == 400
            row = await cause_of(db, already)
            assert (row["endpoint"], row["cause"]) == ("platform", cause)
            assert label._value.get() == counted + 1
        assert await db.inbox() == []
        shown = await client.call("GET", "/v1/webhooks/failures")
        assert shown.status_code == 200
        first = shown.json()["data"][0]
        assert (first["endpoint"], first["cause"], first["count"]) == ("platform", Cause.TOO_OLD, 2)
        assert re.search(r"signed 20\d\d s ago", first["detail"])
        assert len(shown.json()["data"]) == len({cause for cause, *_ in sent})
        digest = header.rpartition(b"=")[2].decode()
        for text in (shown.text, capsys.readouterr().out):
            for secret in ("example.com", "sub_1", digest, PLATFORM, CONNECT, EXPIRED, OTHER_MODE):
                assert secret not in text
        accepted = await client.post(body, {"Stripe-Signature": signature(body, "whsec_rolled")})
        assert accepted.status_code == 200


async def test_failures_are_for_the_platform_team(shared_database: ScratchDatabase) -> None:
    async with admin(shared_database) as db, web(shared_database) as client:
        await db.clear()
        tenant = await db.tenant("acct_one")
        key = (await keys.store(db.connection, keys.random_key("tenant"), "test", tenant)).secret
        assert (await client.call("GET", "/v1/webhooks/failures", key)).status_code == 403


async def test_a_flood_is_counted_and_only_some_of_it_examined(shared_database: ScratchDatabase) -> None:
    label = SIGNATURE_FAILURES.labels("platform", Cause.NOT_EXAMINED)
    counted = label._value.get()
    body = b"x" * LIMIT
    async with web(shared_database) as client:
        for _ in range(60):
            assert (await client.post(body, {"Stripe-Signature": signature(b"{}").encode()})).status_code == 400
    assert label._value.get() > counted
