"""Where a request comes from. What a proxy says of it counts only if the proxy is one of ours."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN = "unknown"


class Addresses:
    """The caller's address, behind the proxies in *trusted* (networks as text)."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted: list[Network] = [ipaddress.ip_network(each) for each in trusted]

    def of(self, scope: Mapping[str, Any]) -> str:
        """The nearest address that is not a trusted proxy's; of IPv6 the /64, which is one household."""
        client = scope.get("client")
        nearest = _parsed(client[0]) if client else None
        if nearest is None:
            return UNKNOWN
        for said in reversed(_forwarded(scope)):
            if not self._trusts(nearest):
                break
            further = _parsed(said.strip())
            if further is None:
                break
            nearest = further
        return _counted(nearest)

    def _trusts(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _forwarded(scope: Mapping[str, Any]) -> list[str]:
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return ",".join(values).split(",") if values else []


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _counted(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
