"""Stripe's published limits, which of them a call counts against, and what part of them is one process's.

Source: Stripe's "Rate limits". They are calls a second; raised ones are told by `stripe_budget_percent`.
"""

from typing import Literal, NamedTuple

from colonnade.settings import Settings
from colonnade.stripe_api.calls import Call

Kind = Literal["read", "write", "search", "file", "account_creation"]
Process = Literal["web", "worker", "command"]
Key = tuple[str, ...]
"""What is limited: an account, an endpoint, or a class of endpoints that share a limit."""

ACCOUNT_LIVE, ACCOUNT_TEST = 100.0, 25.0
ENDPOINT = 25.0
SEARCH = 20.0
FILES = 20.0
"""Of reads, and the same of writes."""
CREATED_ACCOUNTS_LIVE, CREATED_ACCOUNTS_TEST = 30.0, 5.0

# fmt: off
NAMESPACES = {
    "apps", "billing", "billing_portal", "checkout", "climate", "core", "entitlements", "financial_connections",
    "forwarding", "identity", "issuing", "radar", "reporting", "sigma", "tax", "terminal", "test_helpers", "treasury",
}
# fmt: on
"""First parts of a path that a collection follows; any other is the collection itself."""


class Share(NamedTuple):
    """Parts of the limits: of each account's, of each endpoint's for reads, and of each endpoint's for writes."""

    account: float
    read: float
    write: float


SHARES: dict[Process, Share] = {
    # Writes are the web's: handlers and sweeps only read.
    "web": Share(0.6, 0.3, 1.0),
    "worker": Share(0.4, 0.7, 0.1),
    # Beyond the whole: commands are rare, and a 429 slows everyone who gets it.
    "command": Share(0.2, 0.2, 0.2),
}


def kind(call: Call) -> Kind:
    """The class of endpoints that a call belongs to."""
    path = call.path.partition("?")[0]
    if path.endswith("/search"):
        return "search"
    if path.startswith("/v1/files"):
        return "file"
    if call.method != "get":
        return "account_creation" if path in {"/v1/accounts", "/v2/core/accounts"} else "write"
    return "read"


def endpoint(path: str) -> str:
    """*path* with its ids replaced: `/v1/customers/{id}/tax_ids`."""
    version, *parts = path.partition("?")[0].strip("/").split("/")
    first = 1 if parts and parts[0] in NAMESPACES else 0
    named = (part if at < first or (at - first) % 2 == 0 else "{id}" for at, part in enumerate(parts))
    return "/".join(("", version, *named))


class Limits:
    """What one process may do. Raises `KeyError` for an unknown *process*."""

    def __init__(self, settings: Settings, process: Process) -> None:
        self._live = settings.livemode
        whole = settings.stripe_budget_percent / 100
        split = whole / settings.web_workers if process == "web" else whole
        self._share = Share(*(part * split for part in SHARES[process]))

    def of(self, call: Call) -> dict[Key, float]:
        """All that the call counts against, each with this process's calls a second.

        The account comes first. An endpoint's limit is taken to hold for the whole platform, whichever account a call
        names: Stripe does not say that a connected account has one of its own.
        """
        account = ACCOUNT_LIVE if self._live else ACCOUNT_TEST
        found = kind(call)
        reads = found == "search" or call.method == "get"
        part = self._share.read if reads else self._share.write
        return {("account", call.account or ""): account * self._share.account} | {
            self._endpoint(call, found): part * self._per_second(found)
        }

    def _endpoint(self, call: Call, found: Kind) -> Key:
        if found in {"read", "write"}:
            return found, endpoint(call.path)
        return (found, "read" if call.method == "get" else "write")

    def _per_second(self, found: Kind) -> float:
        created = CREATED_ACCOUNTS_LIVE if self._live else CREATED_ACCOUNTS_TEST
        return {"search": SEARCH, "file": FILES, "account_creation": created}.get(found, ENDPOINT)
