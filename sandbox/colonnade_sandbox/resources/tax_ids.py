"""Tax ids of customers and of accounts themselves; a check of the number follows a moment later."""

from typing import Any

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.expansion import COMPUTED
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import accounts, tax_id_rules
from colonnade_sandbox.store import Object, Store

OF_CUSTOMER = "/v1/customers/{customer}/tax_ids"
ANY = "/v1/tax_ids"
MOST = 5
# Seconds until the check is done.
CHECK_TAKES = 2


def add(call: Call, customer: str | None, given: dict[str, Any], owner: dict[str, Any], param: str = "value") -> Object:
    """Raises StripeError (400) for a number of the wrong form, or the sixth of a customer."""
    kind, value = given["type"], given["value"]
    if not tax_id_rules.well_formed(kind, value):
        raise errors.invalid(f"Invalid value for {kind}.", param, "tax_id_invalid")
    if customer is not None and len(of_customer(call, customer)) >= MOST:
        raise errors.invalid(f"A customer can have at most {MOST} tax IDs.", param)
    checked = kind in tax_id_rules.CHECKED
    status = "pending" if checked else "unavailable"
    values = {
        "country": tax_id_rules.country(kind, value),
        "customer": customer,
        "owner": owner,
        "type": kind,
        "value": value,
        "verification": {"status": status, "verified_address": None, "verified_name": None},
        "_due": call.now + CHECK_TAKES if checked else None,
    }
    return call.add("tax_id", "txi", values, event="customer.tax_id.created" if customer else None)


def of_customer(call: Call, customer: str) -> list[Object]:
    return [row for row in call.all("tax_id") if row["customer"] == customer]


def due_at(tax_id: Object) -> int | None:
    moment: int | None = tax_id["_due"]
    return moment


def check(call: Call, tax_id: Object) -> None:
    """The answer of the authority arrives."""
    status = tax_id_rules.finding(tax_id["value"])
    found = {"verified_name": "Verified Name", "verified_address": "1 Verified Street"} if status == "verified" else {}
    changes = {"verification": tax_id["verification"] | {"status": status} | found, "_due": None}
    call.change(tax_id, changes, event="customer.tax_id.updated" if tax_id["customer"] else None)


@operation("POST", OF_CUSTOMER, takes="type value")
def create_of_customer(call: Call) -> Object:
    customer = call.get("customer", call.id)["id"]
    return add(call, customer, call.params, {"type": "customer", "customer": customer})


@operation("GET", OF_CUSTOMER, takes=lists.PAGING)
def list_of_customer(call: Call) -> Object:
    customer = call.get("customer", call.id)["id"]
    return lists.answer(call, "tax_id", of_customer(call, customer), {}, call.url)


@operation("GET", f"{OF_CUSTOMER}/{{id}}")
def retrieve_of_customer(call: Call) -> Object:
    found = call.get("tax_id", call.path["id"])
    if found["customer"] != call.id:
        raise errors.no_such("tax_id", found["id"])
    return found


@operation("DELETE", f"{OF_CUSTOMER}/{{id}}")
def delete_of_customer(call: Call) -> Object:
    return call.remove(retrieve_of_customer(call), event="customer.tax_id.deleted")


@operation("POST", ANY, takes="owner[account] owner[customer] owner[type] type value")
def create(call: Call) -> Object:
    """Of the calling account itself, unless `owner` names a customer or a connected account."""
    owner = call.params.get("owner", {"type": "self"})
    kind = owner["type"]
    if kind in ("customer", "account") and kind not in owner:
        raise errors.missing_parameter(f"owner[{kind}]")
    customer = call.get("customer", owner["customer"], "owner[customer]")["id"] if kind == "customer" else None
    if kind == "account":
        accounts.connected(call, owner["account"])
    return add(call, customer, call.params, owner)


@operation("GET", ANY, takes=f"{lists.PAGING} owner[account] owner[customer] owner[type]")
def list_all(call: Call) -> Object:
    wanted = call.params.get("owner", {"type": "self"})
    rows = [row for row in call.all("tax_id") if wanted.items() <= (row["owner"] or {}).items()]
    return lists.answer(call, "tax_id", rows, {}, ANY)


@operation("GET", f"{ANY}/{{id}}")
def retrieve(call: Call) -> Object:
    return call.get("tax_id", call.id)


@operation("DELETE", f"{ANY}/{{id}}")
def delete(call: Call) -> Object:
    found = call.get("tax_id", call.id)
    return call.remove(found, event="customer.tax_id.deleted" if found["customer"] else None)


def _page(store: Store, account: str, customer: Object) -> Object:
    rows = [row for row in store.all(account, "tax_id") if row["customer"] == customer["id"]]
    return shapes.page(rows, f"/v1/customers/{customer['id']}/tax_ids")


COMPUTED["customer", "tax_ids"] = _page
