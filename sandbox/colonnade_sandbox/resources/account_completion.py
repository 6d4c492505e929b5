"""What the hosted onboarding page does when its visitor is done: everything that is due gets told."""

from typing import Any

from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import account_requirements, account_writing, accounts, person_values
from colonnade_sandbox.store import Object

ADDRESS = {
    "address.city": "Seattle",
    "address.line1": "1 Test Street",
    "address.postal_code": "98101",
    "address.state": "WA",
}
PERSON: dict[str, Any] = ADDRESS | {
    "dob.day": 1,
    "dob.month": 1,
    "dob.year": 1990,
    "email": "jenny.rosen@example.com",
    "first_name": "Jenny",
    "last_name": "Rosen",
    "phone": "+12065550100",
    "relationship.title": "Chief executive",
    "ssn_last_4": "0000",
}
ACCOUNT: dict[str, Any] = {f"company.{name}": value for name, value in ADDRESS.items()} | {
    "business_profile.mcc": "5734",
    "business_profile.url": "https://example.com",
    "company.name": "Test company",
    "company.phone": "+12065550100",
    "company.tax_id": "000000000",
    "external_account": "btok_us",
    "tos_acceptance.ip": "127.0.0.1",
}


def complete(call: Call, account: str, answers: dict[str, Any]) -> Object:
    """`answers` may hold any parameters of an account; what is still due after them is filled in."""
    found = accounts.connected(call, account)
    owner = call.on(account)
    kind = answers.get("business_type") or found["business_type"] or "company"
    asked = found["capabilities"] or {"card_payments": "inactive", "transfers": "inactive"}
    found = found | {"capabilities": asked}
    params: dict[str, Any] = {"business_type": kind} | answers
    told = account_writing.changes(call, found, params)
    person = person_values.representative(owner)
    fields: dict[str, Any] = {}
    for path in account_requirements.missing(found | told, person):
        rest = path.partition(".")[2]
        if path == "tos_acceptance.date":
            _set(params, path, call.now)
        elif path in ACCOUNT:
            _set(params, path, ACCOUNT[path])
        elif rest in PERSON:
            _set(fields, rest, PERSON[rest])
    if fields or (person is None and kind != "individual"):
        params["individual"] = fields
    changes = account_writing.changes(call, found, params)
    changes |= {"capabilities": asked, "details_submitted": True, "_demands": []}
    return account_writing.write(call, accounts.connected(call, account), changes, params.get("individual"))


def _set(into: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for name in above:
        into[name] = dict(into.get(name, {}))
        into = into[name]
    into[last] = value
