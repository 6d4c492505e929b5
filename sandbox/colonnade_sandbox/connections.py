"""How an account that exists joins a platform by OAuth (Stripe docs, "OAuth reference")."""

from typing import Any

from colonnade_sandbox import ids, keys
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import accounts
from colonnade_sandbox.store import NOWHERE, Object, Store

CODE, REFRESH = "_authorization_code", "_refresh_token"
# Seconds within which a code must be redeemed.
CODE_LIFETIME = 300


class Refused(Exception):
    """An OAuth error: its name, and a sentence."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


def platform_of(store: Store, client_id: str) -> str:
    """The platform whose Connect application has this id.

    Raises Refused for an unknown one.
    """
    for account, value in store.everywhere("account"):
        if account == value["id"] and ids.derived("ca", account) == client_id:
            return account
    raise Refused("invalid_client", f"No application matches the supplied client identifier: {client_id}", 401)


def approve(call: Call, account: str | None, scope: str, name: str) -> str:
    """The code that the account holder's consent makes; a new Standard account is opened where none is named."""
    chosen = account or _open(call, name)
    code = f"ac_{ids.token(32)}"
    value = {
        "id": code,
        "created": call.now,
        "account": chosen,
        "platform": call.platform,
        "scope": scope,
        "used": False,
    }
    call.sandbox.store.put(NOWHERE, CODE, code, value)
    return code


def _open(call: Call, name: str) -> str:
    """An account in charge of itself that no platform made."""
    owner = call.on(ids.new("acct"))
    opened = accounts.create_own(owner)
    profile = opened["business_profile"] | {"name": name}
    settings = opened["settings"] | {"dashboard": opened["settings"]["dashboard"] | {"display_name": name}}
    owner.put(opened | {"business_profile": profile, "settings": settings})
    return owner.account


def standard_accounts(store: Store) -> list[Object]:
    """Accounts in charge of themselves: those that may join a platform by consent."""
    rows = [value for account, value in store.everywhere("account") if account == value["id"]]
    return [value for value in rows if value["controller"].get("type") == "account"]


def redeem(call: Call, code: str) -> dict[str, Any]:
    """Exchange a code, once and within five minutes, for the connection and its tokens."""
    held = call.sandbox.store.find(NOWHERE, CODE, code)
    if held is None or held["platform"] != call.platform:
        raise Refused("invalid_grant", f"Authorization code does not exist: {code}")
    if held["used"]:
        raise Refused("invalid_grant", f"This authorization code has already been used: {code}")
    if held["created"] + CODE_LIFETIME < call.now:
        raise Refused("invalid_grant", f"Authorization code expired: {code}")
    call.sandbox.store.put(NOWHERE, CODE, code, held | {"used": True})
    _connect(call, held["account"])
    return _tokens(call, held["account"], held["scope"])


def refresh(call: Call, token: str) -> dict[str, Any]:
    held = call.sandbox.store.find(NOWHERE, REFRESH, token)
    if held is None or call.platform not in call.sandbox.platforms_of(held["account"]):
        raise Refused("invalid_grant", f"Refresh token does not exist: {token}")
    return _tokens(call, held["account"], held["scope"], token)


def _connect(call: Call, account: str) -> None:
    owner = call.on(account)
    found = owner.get("account", account)
    if call.platform not in found["_platforms"]:
        owner.put(found | {"_platforms": [*found["_platforms"], call.platform]})
        owner.emit("account.application.authorized", accounts.application(call))


def _tokens(call: Call, account: str, scope: str, again: str | None = None) -> dict[str, Any]:
    store = call.sandbox.store
    access = f"sk_test_{ids.token(32)}"
    keys.keep(store, account, access, None if scope == "read_write" else {"*": "read"}, platform=call.platform)
    renewal = again or f"rt_{ids.token(32)}"
    store.put(NOWHERE, REFRESH, renewal, {"id": renewal, "account": account, "scope": scope})
    return {
        "access_token": access,
        "livemode": False,
        "refresh_token": renewal,
        "token_type": "bearer",
        "stripe_publishable_key": f"pk_test_{ids.token(32)}",
        "stripe_user_id": account,
        "scope": scope,
    }
