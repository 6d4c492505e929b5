"""Accounts: the platform's own, and the connected accounts that it creates and that onboarding completes."""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import account_defaults, account_requirements
from colonnade_sandbox.store import NOWHERE, Object

TAKEN = (
    "business_profile business_type capabilities company default_currency email external_account metadata "
    "settings tos_acceptance"
)
# What a platform may still write once the account holder has taken over (API reference, "Update an account").
AFTER_LINK = {"full": {"metadata"}, "express": {"metadata", "settings", "capabilities", "business_profile"}}


def create_own(call: Call) -> Object:
    """The account behind a key: complete, in charge of itself."""
    values = account_defaults.new(call, "standard", {"country": "US", "email": None}) | {
        "id": call.account,
        "controller": {"type": "account"},
        "charges_enabled": True,
        "payouts_enabled": True,
        "details_submitted": True,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "_platforms": [],
    }
    values["settings"]["dashboard"]["display_name"] = "Sandbox platform"
    values["business_profile"]["name"] = "Sandbox platform"
    return call.put(shapes.complete("account", values))


@operation("POST", "/v1/accounts", takes=f"{TAKEN} controller country type")
def create(call: Call) -> Object:
    """Raises StripeError (400) where both `type` and `controller` are given."""
    params = call.params
    if "type" in params and "controller" in params:
        text = "You may only specify one of these parameters: type, controller."
        raise errors.invalid(text, "type")
    kind = params.get("type", "standard" if "controller" not in params else "none")
    values = account_defaults.new(call, kind, params)
    account = values["id"]
    values |= _written(call, shapes.complete("account", values), params)
    owner = call.on(account)
    added = owner.put(account_requirements.judged(shapes.complete("account", values)))
    owner.emit("account.application.authorized", application(call))
    return added


def _written(call: Call, account: Object, params: dict[str, Any]) -> dict[str, Any]:
    """The account's fields after `params`, metadata and nested objects merged."""
    changes: dict[str, Any] = {"metadata": merged_metadata(account["metadata"], params.get("metadata"))}
    for name in ("business_profile", "settings", "company", "tos_acceptance"):
        if name in params:
            changes[name] = _merged(account.get(name) or {}, params[name])
    for name in ("email", "business_type", "default_currency"):
        if name in params:
            changes[name] = unset(params[name])
    if name := params.get("business_profile", {}).get("name"):
        settings = changes.get("settings") or account["settings"]
        changes["settings"] = _merged(settings, {"dashboard": {"display_name": name}})
    if "external_account" in params:
        changes["_external_account"] = True
    if "capabilities" in params:
        asked = {name for name, wish in params["capabilities"].items() if wish.get("requested")}
        kept = {name: state for name, state in account["capabilities"].items() if name not in params["capabilities"]}
        changes["capabilities"] = kept | dict.fromkeys(sorted(asked), "inactive")
    _check_branding(call, account["id"], params)
    return changes


def _merged(old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in given.items():
        nested = isinstance(value, dict) and isinstance(old.get(name), dict)
        merged[name] = _merged(old[name], value) if nested else unset(value)
    return merged


def _check_branding(call: Call, account: str, params: dict[str, Any]) -> None:
    """Icon and logo must be files of the account or of the platform that writes them."""
    branding = params.get("settings", {}).get("branding", {})
    for name in ("icon", "logo"):
        file = branding.get(name)
        if file and not any(call.on(owner).find("file", file) for owner in (account, call.platform)):
            raise errors.no_such("file", file, f"settings[branding][{name}]")


def application(call: Call) -> Object:
    """The Connect application of the calling platform."""
    values = {"id": ids.derived("ca", call.platform), "object": "application", "name": "Sandbox platform"}
    return shapes.complete("application", values)


def connected(call: Call, account: str) -> Object:
    """An account that the platform controls, or its own.

    Raises StripeError (403) for any other.
    """
    found = call.sandbox.store.find(account, "account", account)
    if found is None or (account != call.platform and call.platform not in found["_platforms"]):
        raise errors.account_invalid("sk_test_", account)
    return found


@operation("GET", "/v1/account")
def retrieve_own(call: Call) -> Object:
    return connected(call, call.account)


@operation("GET", "/v1/accounts/{account}")
def retrieve(call: Call) -> Object:
    return connected(call, call.id)


@operation("GET", "/v1/accounts", takes=f"{lists.PAGING} created")
def list_connected(call: Call) -> Object:
    rows = [value for _, value in call.sandbox.store.everywhere("account") if call.platform in value["_platforms"]]
    return lists.answer(call, "account", reversed(rows), {"created": lists.within("created")}, "/v1/accounts")


@operation("POST", "/v1/accounts/{account}", takes=TAKEN)
def update(call: Call) -> Object:
    """Raises StripeError (403) for what only the account holder may write."""
    account = connected(call, call.id)
    _check_control(account, call.params)
    return write(call, account, _written(call, account, call.params))


def write(call: Call, account: Object, changes: dict[str, Any]) -> Object:
    """Store changes of an account; `account.updated` and `capability.updated` follow where they apply."""
    judged = account_requirements.judged(account | changes) if account["_platforms"] else account | changes
    owner = call.on(account["id"])
    changed = owner.change(account, shapes.complete("account", judged))
    for name, state in changed["capabilities"].items():
        if account["capabilities"].get(name) != state:
            owner.emit("capability.updated", account_requirements.capability(changed, name, state))
    return changed


def _check_control(account: Object, params: dict[str, Any]) -> None:
    controller = account["controller"]
    if not account["_linked"] or controller.get("requirement_collection") != "stripe":
        return
    allowed = AFTER_LINK.get(controller["stripe_dashboard"]["type"], {"metadata", "settings"})
    if set(params) - allowed:
        text = (
            f"This application does not have the required permissions for this endpoint on account '{account['id']}'."
        )
        raise errors.StripeError(403, text, code="oauth_not_supported")


def complete_onboarding(call: Call, account: str, answers: dict[str, Any]) -> Object:
    """What the hosted onboarding page does when its visitor is done.

    `answers` may hold `business_type`, `business_profile` and `email`; the rest is filled in.
    """
    found = connected(call, account)
    profile = {"url": "https://example.com", "mcc": "5734"} | answers.get("business_profile", {})
    taken = {"business_type": "company", "tos_acceptance": {"date": call.now, "ip": "127.0.0.1"}} | answers
    changes = _written(call, found, taken | {"business_profile": _merged(found["business_profile"], profile)})
    capabilities = found["capabilities"] or {"card_payments": "inactive", "transfers": "inactive"}
    return write(call, found, changes | {"_external_account": True, "capabilities": capabilities})


@operation("DELETE", "/v1/accounts/{account}")
def delete(call: Call) -> Object:
    account = connected(call, call.id)
    if account["id"] == call.platform:
        raise errors.invalid("You cannot delete your own account via the API.", "account")
    disconnect(call, account)
    owner = call.on(account["id"])
    owner.sandbox.store.delete(account["id"], "account", account["id"])
    return {"id": account["id"], "object": "account", "deleted": True}


def disconnect(call: Call, account: Object) -> None:
    """The account leaves the platform, which hears of it once and can never use it again."""
    owner = call.on(account["id"])
    owner.emit("account.application.deauthorized", application(call))
    left = [platform for platform in account["_platforms"] if platform != call.platform]
    owner.put(account | {"_platforms": left})


def remember(call: Call, kind: str, token: str, value: Object) -> None:
    """Keep what a secret URL of a hosted page stands for."""
    call.sandbox.store.put(NOWHERE, kind, token, value)
