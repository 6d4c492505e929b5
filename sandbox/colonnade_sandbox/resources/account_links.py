"""Account links: single-use, short-lived URLs of the hosted onboarding page."""

from colonnade_sandbox import errors, ids
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import accounts
from colonnade_sandbox.store import NOWHERE, Object

LIFETIME = 300
KIND = "_account_link"


@operation("POST", "/v1/account_links", takes="account collection_options refresh_url return_url type")
def create(call: Call) -> Object:
    account = accounts.connected(call, call.params["account"])
    if account["id"] == call.platform:
        raise errors.invalid("Account links are for connected accounts.", "account")
    for name in ("return_url", "refresh_url"):
        if name not in call.params:
            raise errors.missing_parameter(name)
    _check_type(account, call.params["type"])
    token = ids.token(32)
    values = {
        "id": token,
        "created": call.now,
        "account": account["id"],
        "platform": call.platform,
        "type": call.params["type"],
        "return_url": call.params["return_url"],
        "refresh_url": call.params["refresh_url"],
        "collects": {"fields": "currently_due", "future_requirements": "omit"}
        | call.params.get("collection_options", {}),
        "expires_at": call.now + LIFETIME,
        "used": False,
    }
    accounts.remember(call, KIND, token, values)
    call.on(account["id"]).put(account | {"_linked": True})
    url = f"{call.sandbox.base_url}/onboarding/{token}"
    link = {"object": "account_link", "created": call.now, "expires_at": values["expires_at"], "url": url}
    return shapes.complete("account_link", link)


def _check_type(account: Object, kind: str) -> None:
    if kind == "account_update" and account["controller"].get("requirement_collection") != "application":
        text = "You cannot create `account_update` type Account Links for this account."
        raise errors.invalid(text, "type")


def open_link(call: Call, token: str) -> Object | None:
    """The link behind a token, spent from now on; None where it is unknown, expired or spent."""
    link = call.sandbox.store.find(NOWHERE, KIND, token)
    if link is None or link["used"] or link["expires_at"] < call.now:
        return None
    call.sandbox.store.put(NOWHERE, KIND, token, link | {"used": True})
    return link
