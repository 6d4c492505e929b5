"""Return URLs go to a tenant's own origins, and portal tokens say only what was signed, whatever an attacker writes."""

import time
from urllib.parse import urlsplit

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.access.portal_tokens import LIFETIME, PortalToken, issue, verify
from colonnade.errors import Invalid, Unauthenticated
from colonnade.web import allowed_url, origin

ORIGINS = ["http://localhost:3000", "https://shop.example", "https://xn--bcher-kva.example:8443"]
KEY = "k" * 40
TOKEN = PortalToken("ten_1", "ada", {"locale": "de"})


def allowed(url: str) -> bool:
    try:
        return allowed_url(url, ORIGINS, "return_url") == url
    except Invalid:
        return False


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "https://shop.example/",
        "https://shop.example/a/b?c=d&e=%20#f",
        "https://shop.example:443/a",
        "HTTPS://Shop.Example/a",
        "https://shop.example?x=https://evil.example/",
        "https://shop.example/@evil.example",
        "https://xn--bcher-kva.example:8443/",
        "http://localhost:3000/done",
    ],
)
def test_the_tenants_own_pages_are_allowed(url: str) -> None:
    assert allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/a",
        "//shop.example/a",
        "shop.example",
        "https:shop.example",
        "https:/shop.example",
        "https:///shop.example",
        "https://",
        "http://shop.example/",
        "ftp://shop.example/",
        "javascript:alert(1)//https://shop.example",
        "https://*.shop.example/",
        "https://shop%2eexample/",
        "https://shop.example.evil.example/",
        "https://evilshop.example/",
        "https://evil.example/https://shop.example",
        "https://shop.example@evil.example/",
        "https://shop.example:443@evil.example/",
        "https://user@shop.example/",
        "https://user:pw@shop.example/",
        "https://@shop.example/",
        "https://:@shop.example/",
        "https://evil.example\\@shop.example/",
        "https://shop.example\\.evil.example/",
        "https:\\\\shop.example/",
        "https://evil.example#@shop.example/",
        "https://evil.example?@shop.example/",
        "https://shop.example:8443/",
        "https://shop.example:99999/",
        "https://shop.example:x/",
        "https://shop.example:-443/",
        "https://shop.example:４４３/",
        "https://shop.example./",
        "https://shop.example%2f@evil.example/",
        "https://shop.example%00.evil.example/",
        "https://shop.example\t/",
        " https://shop.example/",
        "https://shop.example/\n",
        "https://shop.example/\x7f",
        "https://shop。example/",
        "https://ｓhop.example/",
        "https://shоp.example/",
        "https://bücher.example:8443/",
        "https://shop.example/\u202ea",
        "https://[shop.example]/",
        "https://[::1/",
        "http://localhost/done",
        "http://localhost:3001/done",
        "http://localhost:3000.evil.example/",
        "http://127.0.0.1:3000/",
    ],
)
def test_nothing_else_is(url: str) -> None:
    assert not allowed(url)


SCHEMES = ("https:", "http:", "HTTPS:", "//", "/", "\\")
HOSTS = ("shop.example", "SHOP.EXAMPLE", "evil.example", "localhost", "user", "@", ".", "。", "é", "[", "]")
PORTS = (":", ":443", ":0443", ":80", ":3000", ":٣", "?", "#", "%2e", "%40", "\t", " ")
PIECES = st.lists(st.sampled_from(SCHEMES + HOSTS + PORTS), max_size=9).map("".join)
AUTHORITIES = {
    "localhost:3000",
    "shop.example",
    "shop.example:",
    "shop.example:0443",
    "shop.example:443",
    "xn--bcher-kva.example:8443",
}


@given(PIECES | st.text(max_size=40).map("https://shop.example{}".format) | st.text(max_size=60))
def test_what_is_allowed_begins_with_an_origin_that_any_parser_reads_the_same(url: str) -> None:
    if not allowed(url):
        return
    assert url.isascii()
    assert url.isprintable()
    assert not {"\\", " "} & {*url}
    authority = url.split("//", 1)[1]
    for end in "/?#":
        authority = authority.split(end, 1)[0]
    assert authority.lower() in AUTHORITIES
    assert urlsplit(url).username is None


@given(PIECES | st.text(max_size=40))
def test_an_origin_is_its_own_origin(url: str) -> None:
    try:
        found = origin(url, "url")
    except Invalid:
        return
    assert origin(found, "url") == found
    assert origin(f"{found}/a?b#c", "url") == found


@given(st.integers(0, 400), st.characters(codec="utf-8"))
def test_no_altered_token_is_accepted(position: int, character: str) -> None:
    text, _ = issue(TOKEN, KEY)
    position %= len(text)
    altered = text[:position] + character + text[position + 1 :]
    # The last letter of a part has spare bits: another letter may stand for the same bytes.
    if position + 1 == len(text) or text[position + 1] == ".":
        return
    if altered != text:
        with pytest.raises(Unauthenticated):
            verify(altered, KEY)


@given(st.integers(0, 400))
def test_no_shortened_token_is_accepted(length: int) -> None:
    text, _ = issue(TOKEN, KEY)
    with pytest.raises(Unauthenticated):
        verify(text[: length % len(text)], KEY)


@given(st.text(max_size=200))
def test_no_invented_token_is_accepted(text: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(text, KEY)


@given(st.floats(0, LIFETIME - 5), st.floats(1, 10**7))
def test_a_token_lives_its_minutes_and_no_longer(age: float, late: float) -> None:
    now = time.time()
    fresh, expires = issue(TOKEN, KEY, now - age)
    assert verify(fresh, KEY) == TOKEN
    assert expires == int(now - age) + LIFETIME
    old, _ = issue(TOKEN, KEY, now - LIFETIME - late)
    with pytest.raises(Unauthenticated):
        verify(old, KEY)


@given(
    st.text(max_size=20), st.text(max_size=20), st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3)
)
def test_a_token_says_what_was_put_in(tenant: str, customer: str, session: dict[str, str]) -> None:
    token = PortalToken(tenant, customer, session)
    assert verify(issue(token, KEY)[0], KEY) == token


def test_a_token_of_another_kind_opens_no_portal() -> None:
    claims = {"aud": "colonnade:onboarding", "exp": time.time() + 60, "portal": {"tenant": "ten_1", "customer": "ada"}}
    for text in (
        jwt.encode(claims, KEY, "HS256"),
        jwt.encode(claims | {"aud": "colonnade:portal"}, None, "none"),
        jwt.encode({name: value for name, value in claims.items() if name != "aud"}, KEY, "HS256"),
        jwt.encode({"aud": "colonnade:portal", "portal": claims["portal"]}, KEY, "HS256"),
        jwt.encode(claims | {"aud": "colonnade:portal", "portal": "ada"}, KEY, "HS256"),
    ):
        with pytest.raises(Unauthenticated):
            verify(text, KEY)
