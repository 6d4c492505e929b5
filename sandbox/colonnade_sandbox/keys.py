"""Keys beside an account's own: restricted ones with permissions, and the access tokens of OAuth."""

from typing import Any, Literal

import msgspec

from colonnade_sandbox import errors, ids
from colonnade_sandbox.store import NOWHERE, Object, Store

KIND = "_key"
Permission = Literal["read", "write"]


class Restricted(msgspec.Struct, forbid_unknown_fields=True):
    """`permissions` by the first word of a path (`customers`), `*` for all; `write` includes `read`."""

    permissions: dict[str, Permission]
    key: str | None = None


def keep(store: Store, account: str, key: str, permissions: dict[str, Any] | None, platform: str = "") -> None:
    """Let `key` act for `account`, without `permissions` in everything; `platform` holds it by OAuth."""
    value = {"id": key, "account": account, "permissions": permissions, "platform": platform, "revoked": False}
    store.put(NOWHERE, KIND, key, value)


def restrict(store: Store, account: str, wanted: Restricted) -> str:
    """A restricted key of `account`, a new one unless it is named.

    Raises StripeError (400) for a name that is none, or another account's key.
    """
    key = wanted.key or f"rk_test_{ids.token(24)}"
    held = store.find(NOWHERE, KIND, key)
    if not key.startswith("rk_test_") or (held is not None and held["account"] != account):
        raise errors.invalid("A restricted key begins with rk_test_ and belongs to one account.", "key")
    keep(store, account, key, dict(wanted.permissions))
    return key


def find(store: Store, key: str) -> Object | None:
    """Raises StripeError (401) for a key that has been revoked."""
    held = store.find(NOWHERE, KIND, key)
    if held is not None and held["revoked"]:
        raise errors.unauthorized(f"Invalid API Key provided: {key[:8]}***.")
    return held


def revoke(store: Store, account: str, platform: str) -> None:
    """Ends the access tokens that `platform` holds for `account`."""
    for _, held in store.everywhere(KIND):
        if held["account"] == account and held["platform"] == platform:
            store.put(NOWHERE, KIND, held["id"], held | {"revoked": True})


def check(store: Store, key: str, method: str, path: str, account: str) -> None:
    """Raises StripeError (403) where a restricted key lacks the permission for `method path`."""
    held = store.find(NOWHERE, KIND, key)
    if held is None or held["permissions"] is None:
        return
    noun = path.split("/")[2]
    needed = "read" if method == "GET" else "write"
    granted = held["permissions"].get(noun, held["permissions"].get("*"))
    if granted not in (needed, "write"):
        raise errors.permission_missing(key, account, f"rak_{noun.removesuffix('s')}_{needed}")
