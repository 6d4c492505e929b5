"""Accounts: the platform's own, and the connected accounts that it creates and that onboarding completes."""

from colonnade_sandbox import errors, ids, keys, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import account_defaults, account_writing, person_values
from colonnade_sandbox.store import NOWHERE, Object

TAKEN = (
    "business_profile business_type capabilities company default_currency email external_account individual metadata "
    "settings tos_acceptance"
)


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
        "_linked": True,
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
    values = shapes.complete("account", values)
    values |= account_writing.changes(call, values, params)
    owner = call.on(account)
    individual = params.get("individual")
    person = None
    if individual is not None:
        person = person_values.save(owner, individual | {"relationship": {"representative": True}})
    added = owner.put(account_writing.judged(owner, values, person))
    owner.emit("account.application.authorized", application(call))
    return added


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
    account_writing.check_control(account, set(call.params))
    changes = account_writing.changes(call, account, call.params)
    return account_writing.write(call, account, changes, call.params.get("individual"))


@operation("DELETE", "/v1/accounts/{account}")
def delete(call: Call) -> Object:
    account = connected(call, call.id)
    if account["id"] == call.platform:
        raise errors.invalid("You cannot delete your own account via the API.", "account")
    disconnect(call, account)
    store = call.sandbox.store
    for kind in store.kinds(account["id"]):
        if kind != "event":  # what is still to be delivered
            for row in store.all(account["id"], kind):
                store.delete(account["id"], kind, row["id"])
    return {"id": account["id"], "object": "account", "deleted": True}


def disconnect(call: Call, account: Object) -> None:
    """The account leaves the platform, which hears of it once and can never use it again."""
    owner = call.on(account["id"])
    owner.emit("account.application.deauthorized", application(call))
    left = [platform for platform in account["_platforms"] if platform != call.platform]
    owner.put(account | {"_platforms": left})
    keys.revoke(call.sandbox.store, account["id"], call.platform)


def remember(call: Call, kind: str, token: str, value: Object) -> None:
    """Keep what a secret URL of a hosted page stands for."""
    call.sandbox.store.put(NOWHERE, kind, token, value)
