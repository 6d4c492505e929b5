"""External accounts: the bank accounts and cards that an account is paid out to. They are kept in the account."""

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import account_writing, accounts, external_account_values
from colonnade_sandbox.store import Object

URL = "/v1/accounts/{account}/external_accounts"
WRITABLE = "account_holder_name account_holder_type account_type default_for_currency metadata"


@operation("GET", URL, takes=f"{lists.PAGING} object")
def list_all(call: Call) -> Object:
    account = accounts.connected(call, call.id)
    rows = account["external_accounts"]["data"]
    return lists.answer(call, "external_account", rows, {"object": lists.equal("object")}, call.url)


@operation("GET", f"{URL}/{{id}}")
def retrieve(call: Call) -> Object:
    return _found(accounts.connected(call, call.id), call.path["id"])


@operation("POST", URL, takes="default_for_currency external_account metadata")
def create(call: Call) -> Object:
    account = accounts.connected(call, call.id)
    account_writing.check_control(account, {"external_account"})
    added = external_account_values.made(account, call.params["external_account"])
    added["metadata"] = merged_metadata(added["metadata"], call.params.get("metadata"))
    rows = [*account["external_accounts"]["data"], added]
    if call.params.get("default_for_currency"):
        rows = _as_default(rows, added)
    return _kept(call, account, rows, added["id"], "created")


@operation("POST", f"{URL}/{{id}}", takes=WRITABLE)
def update(call: Call) -> Object:
    account = accounts.connected(call, call.id)
    account_writing.check_control(account, {"external_account"})
    old, params = _found(account, call.path["id"]), dict(call.params)
    changed = old | {"metadata": merged_metadata(old["metadata"], params.pop("metadata", None))}
    default = params.pop("default_for_currency", False)
    changed |= {name: unset(value) for name, value in params.items()}
    rows = [changed if row["id"] == old["id"] else row for row in account["external_accounts"]["data"]]
    return _kept(call, account, _as_default(rows, changed) if default else rows, old["id"], "updated")


@operation("DELETE", f"{URL}/{{id}}")
def delete(call: Call) -> Object:
    """The default of a currency stays while it has company (API reference, "Delete an external account")."""
    account = accounts.connected(call, call.id)
    account_writing.check_control(account, {"external_account"})
    old, rows = _found(account, call.path["id"]), account["external_accounts"]["data"]
    if old["default_for_currency"] and any(row["currency"] == old["currency"] for row in rows if row is not old):
        text = "You cannot delete the default external account for your default currency."
        raise errors.invalid(text, "id")
    left = external_account_values.page(account, [row for row in rows if row["id"] != old["id"]])
    account_writing.write(call, account, {"external_accounts": left})
    call.on(account["id"]).emit("account.external_account.deleted", old)
    return {"id": old["id"], "object": old["object"], "deleted": True}


def _as_default(rows: list[Object], chosen: Object) -> list[Object]:
    return [
        row | {"default_for_currency": row["id"] == chosen["id"]} if row["currency"] == chosen["currency"] else row
        for row in rows
    ]


def _found(account: Object, key: str) -> Object:
    for row in account["external_accounts"]["data"]:
        if row["id"] == key:
            return dict(row)
    raise errors.no_such("external_account", key)


def _kept(call: Call, account: Object, rows: list[Object], key: str, happened: str) -> Object:
    written = account_writing.write(call, account, {"external_accounts": external_account_values.page(account, rows)})
    found = _found(written, key)
    call.on(account["id"]).emit(f"account.external_account.{happened}", found)
    return found
