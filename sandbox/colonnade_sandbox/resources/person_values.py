"""Persons as they are kept: secrets only as provided or not, nested objects merged."""

from typing import Any

from colonnade_sandbox import ids
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.store import Object

# Told, and never shown again: only that it was provided.
SECRET = {"id_number": "id_number_provided", "ssn_last_4": "ssn_last_4_provided"}
NESTED = ("address", "dob", "registered_address", "relationship", "verification")


def representative(call: Call) -> Object | None:
    """The person who acts for the call's account."""
    return next((row for row in call.all("person") if row["relationship"]["representative"]), None)


def _nothing_due() -> dict[str, Any]:
    """A person's requirements have no deadline and disable nothing by themselves."""
    names = ("alternatives", "currently_due", "errors", "eventually_due", "past_due", "pending_verification")
    return {name: [] for name in names}


def new(call: Call) -> Object:
    values = {
        "id": ids.new("person"),
        "account": call.account,
        "address": {},
        "dob": {},
        "id_number_provided": False,
        "relationship": {"representative": False, "owner": False, "director": False, "executive": False},
        "ssn_last_4_provided": False,
        "metadata": {},
        "requirements": _nothing_due(),
        "future_requirements": _nothing_due(),
        "verification": {"status": "unverified", "document": {}},
    }
    return call.new("person", "person", values)


def written(person: Object, params: dict[str, Any]) -> Object:
    """The person after `params`, nested objects merged."""
    changes: dict[str, Any] = {"metadata": merged_metadata(person["metadata"], params.get("metadata"))}
    for name, value in params.items():
        if name in SECRET:
            changes[SECRET[name]] = bool(value)
        elif name in NESTED and isinstance(value, dict):
            merged = (person.get(name) or {}) | {key: unset(inner) for key, inner in value.items()}
            changes[name] = merged
        elif name != "metadata":
            changes[name] = unset(value)
    return shapes.complete("person", person | changes)


def save(call: Call, params: dict[str, Any], person: Object | None = None) -> Object:
    """Store a person of the call's account, a new one without `person`; what is due of it `account_writing` knows."""
    if person is None:
        added = call.put(written(new(call), params))
        call.emit("person.created", added)
        return added
    return call.change(person, written(person, params))
