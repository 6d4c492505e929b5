"""No notification reaches what only we can reach, however its URL or its name servers put it."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade.errors import Invalid
from colonnade.notifications import addresses
from colonnade.notifications.addresses import is_allowed, is_public
from colonnade.notifications.endpoints import check_url
from colonnade.notifications.secrets import new_secret
from colonnade.notifications.sender import Sender
from colonnade_tenants.notifications.queue import Attempt, Claimed
from tests.platform.consumer import consuming

DELIVERY = Claimed(1, "ntf_1", "ping", "{}", 0, 1)
REFUSED = "The host's address is not a public one."
NEVER_ASKED = (
    REFUSED,
    "The URL's host is not a name, nor an address as usually written.",
    "The host's name cannot be looked up.",
)
METADATA = ("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "169.254.170.2")
NOT_PUBLIC = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.0.1"),
    *("0.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1"),  # noqa: S104
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "fec0::1", "2001:db8::1", "3fff::1"),
    *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1"),
    *METADATA,
)


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_what_has_a_special_purpose_is_refused(host: str) -> None:
    assert not is_allowed(host, loopback=False)


@pytest.mark.parametrize("host", ["8.8.8.8", "172.32.0.1", "100.63.255.255", "2606:4700::1111", "2a00:1450::1"])
def test_what_anybody_can_reach_is_accepted(host: str) -> None:
    assert is_allowed(host, loopback=False)


@given(st.ip_addresses())
def test_what_is_public_is_nothing_else(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_public(address):
        special = ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_reserved", "is_unspecified")
        assert [name for name in special if getattr(address, name)] == []
        assert not (isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.sixtofour))


@given(
    st.sampled_from([*addresses._NOT_PUBLIC_4, *addresses._NOT_PUBLIC_6]).flatmap(lambda n: st.ip_addresses(network=n))
)
def test_all_of_each_refused_network_is_refused(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert not is_public(address)
    if isinstance(address, ipaddress.IPv4Address):
        for within in (f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}"):
            assert not is_allowed(within, loopback=False)
        assert not is_public(ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80)))


def _spelled(number: int, spelling: str) -> str:
    """An IPv4 address as C's `inet_aton` reads it."""
    first, rest = number >> 24, number & 0xFFFFFF
    return {
        "dotted": str(ipaddress.IPv4Address(number)),
        "decimal": str(number),
        "hexadecimal": hex(number),
        "octal": f"0{number:o}",
        "two parts": f"{first}.{rest}",
        "hexadecimal parts": f"{first:#x}.{rest:#x}",
        "padded": ".".join(f"0{part:o}" for part in number.to_bytes(4)),
        "mapped": f"[::ffff:{ipaddress.IPv4Address(number)}]",
        "mapped in hexadecimal": f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
    }[spelling]


SPELLINGS = (
    *("dotted", "decimal", "hexadecimal", "octal", "two parts", "hexadecimal parts", "padded"),
    *("mapped", "mapped in hexadecimal"),
)


async def _try(url: str, *, loopback: bool = False) -> Attempt:
    async with Sender(loopback=loopback, connections=2) as sender:
        return await sender.attempt(url, [new_secret()], DELIVERY)


@settings(max_examples=60, deadline=None)
@given(st.ip_addresses(v=4, network="127.0.0.0/8"), st.sampled_from(SPELLINGS))
def test_no_spelling_of_this_machine_reaches_it(address: ipaddress.IPv4Address, spelling: str) -> None:
    async def run() -> None:
        async with consuming() as server:
            port = server.url.split(":")[2]
            attempt = await _try(f"http://{_spelled(int(address), spelling)}:{port}")
            assert attempt.status is None
            assert attempt.error in NEVER_ASKED
            assert server.requests == []

    asyncio.run(run())


@pytest.mark.parametrize("host", ["localhost", "127.1", "[::1]", "0", "[::]", "2130706433", "127.0.0.1."])
async def test_no_name_of_this_machine_reaches_it(host: str) -> None:
    async with consuming() as server:
        attempt = await _try(server.url.replace("127.0.0.1", host))
        assert attempt.status is None
        assert attempt.error in NEVER_ASKED
        assert server.requests == []


class NameServer:
    """Answers of the tenant's name server, one for each time that it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers: Iterator[list[str]] = iter(answers)
        self.asked = 0

    def __call__(self, host: str, port: int, family: int = 0, kind: int = 0, *_: Any) -> list[Any]:
        self.asked += 1
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in next(self.answers)
        ]


@pytest.mark.parametrize("host", [*METADATA[:3], "10.0.0.1", "::ffff:127.0.0.1"])
async def test_a_name_for_an_inner_address_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", NameServer([host]))
    assert (await _try("https://rebind.example")).error == REFUSED


async def test_one_inner_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", NameServer(["93.184.216.34", "127.0.0.1"]))
    assert (await _try("https://rebind.example")).error == REFUSED


async def test_not_even_the_allowed_ones_of_a_names_addresses_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with consuming() as server:
        monkeypatch.setattr(socket, "getaddrinfo", NameServer(["127.0.0.1", "10.0.0.1"]))
        attempt = await _try(server.url.replace("127.0.0.1", "rebind.example"), loopback=True)
        assert attempt.error == REFUSED
        assert server.requests == []


async def test_a_name_is_asked_once_and_what_was_checked_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the second answer would be another address, and is never asked for."""
    async with consuming() as server:
        names = NameServer(["127.0.0.1"], ["10.0.0.1"])
        monkeypatch.setattr(socket, "getaddrinfo", names)
        url = server.url.replace("127.0.0.1", "rebind.example")
        attempt = await _try(url, loopback=True)
        assert attempt.status == 401  # reached: the consumer knows no secret
        assert server.requests[0].headers["host"] == url.split("/")[2]
        assert names.asked == 1


async def test_a_name_that_has_turned_inner_by_the_next_connection_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with consuming() as server, Sender(loopback=True, connections=1) as sender:
        monkeypatch.setattr(socket, "getaddrinfo", NameServer(["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]))
        url = server.url.replace("127.0.0.1", "rebind.example")
        assert (await sender.attempt(url, [new_secret()], DELIVERY)).status == 401
        await sender._session.connector.close()  # type: ignore[union-attr]
    async with Sender(loopback=True, connections=1) as sender:
        assert (await sender.attempt(url, [new_secret()], DELIVERY)).error == REFUSED


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://shop.example/hook", False),
        ("http://shop.example/hook", True),
        ("http://127.0.0.1/hook", False),
        ("https://127.0.0.1/hook", False),
        ("https://localhost/hook", False),
        ("https://10.0.0.1/hook", True),
        ("https://[::1]:8000/hook", False),
        ("https://[::ffff:10.0.0.1]/hook", False),
        ("https://user:password@shop.example/hook", False),
        ("https://shop.example/hook#part", False),
        ("ftp://shop.example/hook", False),
        ("https://shop.example\\@10.0.0.1/", False),
        ("https://", False),
        ("shop.example", False),
        ("https://shop.example/" + "x" * 2000, False),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_when_it_is_given(url: str, loopback: bool) -> None:
    with pytest.raises(Invalid) as refused:
        check_url(url, loopback=loopback)
    assert refused.value.param == "url"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("https://shop.example/hook?a=b", False),
        ("https://shop.example:8443", False),
        ("https://[2606:4700::1111]/hook", False),
        ("http://127.0.0.1:8000/hook", True),
        ("http://localhost:8000", True),
        ("https://[::1]:8000/hook", True),
    ],
)
def test_other_urls_are_accepted(url: str, loopback: bool) -> None:
    check_url(url, loopback=loopback)
