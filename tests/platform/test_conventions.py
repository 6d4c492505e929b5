"""The headers of every answer, deprecation, and what a body's null means, without a server."""

from datetime import UTC, date, datetime, timedelta, timezone

import httpx
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from litestar import Litestar, get

from colonnade.accounts.service import TenantChange
from colonnade.conventions.deprecation import deprecated
from colonnade.conventions.headers import Shield, given_id
from colonnade.errors import Invalid
from colonnade.middleware import RequestObserver
from colonnade.problems import EXCEPTION_HANDLERS
from colonnade.web import parse_time

PLAIN = Shield("http://127.0.0.1:8000")


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from(["name", "application_fee_percent", "return_origins", "event_weight"]), st.none())
)
def test_null_and_absent_are_told_apart(body: dict[str, None]) -> None:
    def decoded() -> TenantChange:
        return msgspec.json.decode(msgspec.json.encode(body), type=TenantChange)

    if body.keys() <= {"application_fee_percent"}:
        assert (decoded().application_fee_percent is None) == bool(body)
    else:
        with pytest.raises(msgspec.ValidationError):
            decoded()


@settings(max_examples=200)
@given(st.binary(max_size=120))
def test_a_given_id_never_carries_more_than_an_id(value: bytes) -> None:
    found = given_id([(b"request-id", value)])
    assert found is None or (found.isascii() and found.isprintable() and not set(found) & set(' "\\<>{}') and found)


def test_a_service_on_https_says_so() -> None:
    told = dict(Shield("https://api.example").around([], None))
    assert told[b"strict-transport-security"] == b"max-age=31536000"


def test_an_answers_own_policy_stands_alone() -> None:
    own = (b"content-security-policy", b"default-src 'self'")
    told = PLAIN.around([own], None)
    assert [value for name, value in told if name == b"content-security-policy"] == [own[1]]


async def test_a_deprecated_route_says_until_when() -> None:
    opt = deprecated(since=date(2027, 1, 4), sunset=date(2027, 7, 5), guide="https://colonnade.example/versioning")

    @get("/old", opt=opt)
    async def old() -> dict[str, str]:
        return {}

    @get("/new")
    async def new() -> dict[str, str]:
        return {}

    app = Litestar([old, new], exception_handlers=EXCEPTION_HANDLERS, openapi_config=None)
    app.asgi_handler = RequestObserver(app.asgi_handler, PLAIN)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        told = (await client.get("/old")).headers
        assert told["deprecation"] == "@1799020800"
        assert told["sunset"] == "Mon, 05 Jul 2027 00:00:00 GMT"
        assert told["link"] == '<https://colonnade.example/versioning>; rel="deprecation"; type="text/html"'
        assert not {"deprecation", "sunset"} & set((await client.get("/new")).headers)


def test_a_route_stays_for_half_a_year_after_it_was_deprecated() -> None:
    with pytest.raises(ValueError, match="six months"):
        deprecated(since=date(2027, 1, 4), sunset=date(2027, 3, 1), guide="https://colonnade.example/versioning")


OFFSETS = st.timedeltas(timedelta(hours=-24), timedelta(hours=24)).filter(lambda found: abs(found) < timedelta(days=1))


@settings(max_examples=300)
@given(st.datetimes(timezones=OFFSETS.map(timezone)).map(datetime.isoformat) | st.text(max_size=40))
@example("0001-01-01T00:00:00+14:00")
@example("9999-12-31T23:59:59-14:00")
@example("2026-01-01T00:00:00")
def test_any_text_is_a_time_in_utc_or_refused_by_name(text: str) -> None:
    try:
        found = parse_time(text, "from")
    except Invalid as refused:
        assert refused.param == "from"  # noqa: PT017
    else:
        assert found is not None
        assert found.tzinfo is UTC
        assert found == datetime.fromisoformat(text.replace(" ", "+"))
