"""Scopes, lock-outs, limits and addresses, each by itself: no database, and times are numbers."""

import ipaddress
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.access import lockouts
from colonnade.access.addresses import UNKNOWN, Addresses
from colonnade.access.guard import bearer
from colonnade.access.keys import digest, prefix_of, random_key
from colonnade.access.lockouts import Lockouts
from colonnade.access.people import is_token
from colonnade.access.request_limits import RequestLimits
from colonnade.access.scopes import Role, Scope, allow, grants_of_key, grants_of_role, may
from colonnade.errors import TooMany, Unauthenticated

SCOPES = st.sets(st.sampled_from(Scope))
ENOUGH = st.sets(st.sampled_from([*Scope, Role.SUPPORT]))


def enough(wanted: set[Any]) -> frozenset[str]:
    found: frozenset[str] = allow(*wanted)["allowed"]
    return found


@given(SCOPES, ENOUGH)
def test_a_key_may_what_one_of_its_scopes_is_enough_for_and_nothing_else(has: set[Scope], wanted: set[Scope]) -> None:
    allowed = may(grants_of_key(map(str, has), platform=False), enough(wanted))
    assert allowed == (Scope.ADMIN in has or bool(has & wanted))


@given(SCOPES, SCOPES, ENOUGH)
def test_more_scopes_never_allow_less(has: set[Scope], more: set[Scope], wanted: set[Scope]) -> None:
    if may(grants_of_key(has, platform=False), enough(wanted)):
        assert may(grants_of_key(has | more, platform=False), enough(wanted))


@given(st.sets(st.sampled_from([each for each in Scope if each is not Scope.ADMIN])))
def test_a_route_that_names_nothing_is_for_admins(has: set[Scope]) -> None:
    assert not may(grants_of_key(has, platform=False), enough({Scope.ADMIN}))
    assert not may(grants_of_key(has, platform=False), enough(set()))


def test_roles_are_a_ladder_and_none_but_admin_reaches_keys() -> None:
    for wanted in Scope:
        may_do = [may(grants_of_role(role), enough({wanted})) for role in (Role.READ, Role.SUPPORT, Role.ADMIN)]
        assert may_do == sorted(may_do)
    assert not may(grants_of_role(Role.SUPPORT), enough({Scope.ADMIN}))
    assert not may(grants_of_role(Role.SUPPORT), enough({Scope.CATALOGUE}))
    assert grants_of_key(["support"], platform=True) == grants_of_role(Role.SUPPORT)


@given(st.text(st.characters(max_codepoint=255)))
def test_any_header_is_a_key_or_unauthenticated(header: str) -> None:
    try:
        secret = bearer(header)
    except Unauthenticated:
        return
    assert secret == secret.strip() != ""
    assert len(digest(secret)) == 32
    assert prefix_of(secret) == "" or secret.startswith(prefix_of(secret))
    assert is_token(secret) in (True, False)


@given(st.sampled_from(["platform", "tenant"]))
def test_a_keys_prefix_shows_four_letters_and_is_no_token(kind: str) -> None:
    key = random_key(kind)
    assert prefix_of(key) == key[: len(f"col_{kind}_") + 4]
    assert not is_token(key)


def wrong(number: int) -> bytes:
    return digest(str(number))


def test_an_address_with_many_different_wrong_keys_is_locked_out_for_the_rest_of_the_minute() -> None:
    gate = Lockouts(3)
    for number in range(3):
        gate.check("a", f"p{number}", 10.0)
        gate.failed("a", f"p{number}", wrong(number), 10.0)
    with pytest.raises(TooMany) as refused:
        gate.check("a", "other", 30.0)
    assert refused.value.retry_after == 40
    gate.check("b", "other", 30.0)
    gate.check("a", "other", 70.0)


def test_one_wrong_key_in_a_loop_locks_itself_out_and_no_other() -> None:
    gate = Lockouts(3)
    for _ in range(50):
        gate.failed("a", "p", wrong(1), 0.0)
    with pytest.raises(TooMany):
        gate.check("a", "p", 1.0)
    gate.check("a", "good", 1.0)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9), st.floats(0, 300)), max_size=300))
def test_lock_outs_need_bounded_memory_and_end(tries: list[tuple[int, int, float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lockouts, "MOST", 20)
        gate = Lockouts(2)
        for address, prefix, at in tries:
            gate.failed(str(address), str(prefix), wrong(prefix), at)
            assert len(gate) <= 20
    for address, prefix, _ in tries:
        gate.check(str(address), str(prefix), 300.0 + lockouts.MINUTE)


@given(st.integers(1, 20), st.lists(st.floats(0, 600), max_size=200))
def test_a_minute_never_has_more_requests_than_its_limit(limit: int, times: list[float]) -> None:
    limits = RequestLimits("requests", limit)
    granted: list[float] = []
    windows: list[tuple[float, int]] = []
    for at in sorted(times):
        spent = limits.spend(1, at)
        if not windows or at >= windows[-1][0] + 60:
            windows.append((at, 0))
        if spent.ok:
            windows[-1] = (windows[-1][0], windows[-1][1] + 1)
            granted.append(at)
        assert 1 <= spent.retry_after <= 60
        assert limits.spend(2, at).headers[0] == (b"ratelimit-policy", f'"requests";q={limit};w=60'.encode())
    assert all(count <= limit for _, count in windows)


def test_the_headers_say_what_is_left_and_until_when() -> None:
    limits = RequestLimits("requests", 2)
    said = [limits.spend(1, at) for at in (0.0, 10.0, 20.0, 60.0)]
    assert [spent.ok for spent in said] == [True, True, False, True]
    assert [dict(spent.headers)[b"ratelimit"] for spent in said] == [
        b'"requests";r=1;t=60',
        b'"requests";r=0;t=50',
        b'"requests";r=0;t=40',
        b'"requests";r=1;t=60',
    ]
    assert said[2].retry_after == 40


def scope(client: str | None, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", each.encode("latin-1")) for each in forwarded]
    return {"client": (client, 1) if client else None, "headers": headers}


@pytest.mark.parametrize(
    ("client", "forwarded", "found"),
    [
        ("198.51.100.7", ("1.2.3.4",), "198.51.100.7"),
        ("10.0.0.1", ("1.2.3.4",), "1.2.3.4"),
        ("10.0.0.1", ("6.6.6.6, 1.2.3.4, 10.9.9.9",), "1.2.3.4"),
        ("10.0.0.1", ("6.6.6.6", "1.2.3.4"), "1.2.3.4"),
        ("10.0.0.1", ("nonsense",), "10.0.0.1"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("::ffff:10.0.0.1", ("1.2.3.4",), "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", (), "2001:db8:1:2::/64"),
        (None, ("1.2.3.4",), UNKNOWN),
        ("unix", (), UNKNOWN),
    ],
)
def test_only_what_a_proxy_of_ours_says_of_an_address_counts(
    client: str | None, forwarded: tuple[str, ...], found: str
) -> None:
    assert Addresses(["10.0.0.0/8"]).of(scope(client, *forwarded)) == found


@given(st.ip_addresses(v=4), st.text(string.printable))
def test_without_proxies_of_ours_nobody_chooses_the_address_that_is_counted(
    client: ipaddress.IPv4Address, said: str
) -> None:
    assert Addresses([]).of(scope(str(client), said)) == str(client)
