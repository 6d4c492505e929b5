"""Persons: who stands behind an account. An individual's own person is its `individual` as well."""

from colonnade_sandbox import lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import account_writing, accounts, person_values
from colonnade_sandbox.store import Object

URL = "/v1/accounts/{account}/persons"
TAKEN = (
    "address dob email first_name gender id_number last_name maiden_name metadata nationality phone "
    "political_exposure registered_address relationship ssn_last_4 verification"
)


def _of(call: Call) -> tuple[Object, Call]:
    """The account in the path, and a call on its objects."""
    account = accounts.connected(call, call.id)
    return account, call.on(account["id"])


@operation("GET", URL, takes=f"{lists.PAGING} relationship")
def list_all(call: Call) -> Object:
    _, owner = _of(call)
    filters: dict[str, lists.Filter] = {"relationship": _related}
    return lists.answer(call, "person", owner.all("person"), filters, call.url)


def _related(person: Object, wanted: dict[str, bool]) -> bool:
    return all(bool(person["relationship"].get(name)) is value for name, value in wanted.items())


@operation("GET", f"{URL}/{{person}}")
def retrieve(call: Call) -> Object:
    _, owner = _of(call)
    return owner.get("person", call.path["person"])


@operation("POST", URL, takes=TAKEN)
def create(call: Call) -> Object:
    account, owner = _of(call)
    account_writing.check_control(account, {"individual"})
    person = person_values.save(owner, call.params)
    account_writing.write(call, account, {})
    return owner.get("person", person["id"])


@operation("POST", f"{URL}/{{person}}", takes=TAKEN)
def update(call: Call) -> Object:
    account, owner = _of(call)
    account_writing.check_control(account, {"individual"})
    person = person_values.save(owner, call.params, owner.get("person", call.path["person"]))
    account_writing.write(call, account, {})
    return owner.get("person", person["id"])


@operation("DELETE", f"{URL}/{{person}}")
def delete(call: Call) -> Object:
    account, owner = _of(call)
    account_writing.check_control(account, {"individual"})
    stub = owner.remove(owner.get("person", call.path["person"]))
    account_writing.write(call, account, {})
    return stub
