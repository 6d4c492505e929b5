"""What an account still has to tell, and what it may do meanwhile.

The list follows Stripe docs, "Required verification information", and leaves out owners, directors and
executives. Private fields of an account that count here, all set by the sandbox's own route for states:
`_demands` (more to tell: field, deadline or None, future), `_pending` (fields being verified), `_reason`
(why it is disabled), `_payouts_held`.
"""

from typing import Any

from colonnade_sandbox.contract import shapes
from colonnade_sandbox.store import Object

ANYWAY = (
    "business_profile.mcc",
    "business_profile.url",
    "business_type",
    "external_account",
    "tos_acceptance.date",
    "tos_acceptance.ip",
)
PERSON = (
    "address.city",
    "address.line1",
    "address.postal_code",
    "dob.day",
    "dob.month",
    "dob.year",
    "email",
    "first_name",
    "last_name",
    "phone",
)
PERSON_IN_US = (*PERSON, "address.state", "ssn_last_4")
ORGANISATION = (
    "company.address.city",
    "company.address.line1",
    "company.address.postal_code",
    "company.name",
    "company.phone",
    "company.tax_id",
)
# What a capability does without.
EXEMPT = {"transfers": {"business_profile.mcc", "business_profile.url"}}
# A second way to tell something.
INSTEAD = {
    "business_profile.url": ("business_profile.product_description",),
    "company.tax_id": ("company.tax_id_provided",),
    "ssn_last_4": ("ssn_last_4_provided", "id_number_provided"),
}


def demanded(account: Object, representative: Object | None) -> list[str]:
    """Everything an account of this kind must tell; people's fields begin with the person's id once there is one."""
    paths = [path for path in ANYWAY if path not in _exempt(account)]
    kind = account["business_type"]
    fields = PERSON_IN_US if account["country"] == "US" else PERSON
    if kind == "individual":
        paths += [f"individual.{field}" for field in fields]
    elif kind:
        person = representative["id"] if representative else "representative"
        paths += [*ORGANISATION, *(f"{person}.{field}" for field in (*fields, "relationship.title"))]
    return sorted(paths)


def _exempt(account: Object) -> set[str]:
    asked = account["capabilities"]
    return set.intersection(*(EXEMPT.get(name, set()) for name in asked)) if asked else set()


def missing(account: Object, representative: Object | None) -> list[str]:
    """What is still untold; an account in charge of itself answers to Stripe alone."""
    if account["controller"].get("type") == "account":
        return []
    return [path for path in demanded(account, representative) if not _told(account, representative, path)]


def _told(account: Object, representative: Object | None, path: str) -> bool:
    if path == "external_account":
        return bool(account["external_accounts"]["data"])
    head, _, rest = path.partition(".")
    if head in ("individual", "representative") or head.startswith("person_"):
        return representative is not None and any(_value(representative, at) for at in (rest, *INSTEAD.get(rest, ())))
    return any(_value(account, at) for at in (path, *INSTEAD.get(path, ())))


def _value(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def judged(account: Object, representative: Object | None, now: int) -> Object:
    """Requirements, capabilities and the `…_enabled` flags that follow from what the account has told."""
    untold = missing(account, representative)
    more = [each for each in account.get("_demands", []) if not _told(account, representative, each["field"])]
    late = untold + [each["field"] for each in more if each["deadline"] is None or each["deadline"] <= now]
    waiting = [each for each in more if each["field"] not in late]
    soon = [each for each in waiting if not each["future"]]
    future = [each for each in waiting if each["future"]]
    pending = account.get("_pending", [])
    blocked = account.get("_reason")
    reason = blocked or ("requirements.past_due" if late else "requirements.pending_verification" if pending else None)
    known = {"late": late, "soon": soon, "pending": pending}
    capabilities = {name: _status(name, known, blocked) for name in account["capabilities"]}
    return account | {
        "requirements": _requirements(late, soon, pending) | {"disabled_reason": reason},
        "future_requirements": _requirements([], future, []) | {"disabled_reason": None},
        "capabilities": capabilities,
        "charges_enabled": capabilities.get("card_payments") == "active",
        "payouts_enabled": not (late or blocked or account.get("_payouts_held")),
        "details_submitted": account["details_submitted"] or not untold,
        "_deadline": min((each["deadline"] for each in waiting), default=None),
    }


def _requirements(late: list[str], soon: list[dict[str, Any]], pending: list[str]) -> dict[str, Any]:
    due = late + [each["field"] for each in soon]
    return {
        "alternatives": [],
        "current_deadline": min((each["deadline"] for each in soon), default=None),
        "currently_due": due,
        "errors": [],
        "eventually_due": due,
        "past_due": late,
        "pending_verification": pending,
    }


def nothing_due() -> dict[str, Any]:
    """The requirements of something that has none."""
    return _requirements([], [], [])


def _status(name: str, known: dict[str, Any], blocked: str | None) -> str:
    if blocked or set(known["late"]) - EXEMPT.get(name, set()):
        return "inactive"
    return "pending" if known["pending"] else "active"


def capability(account: Object, name: str) -> Object:
    """The capability object of an account, requested or not."""
    status = account["capabilities"].get(name, "unrequested")
    asked = status != "unrequested"
    of_account = account["requirements"] if asked else nothing_due()
    unneeded = EXEMPT.get(name, set())
    told = {key: [f for f in of_account[key] if f not in unneeded] for key in ("currently_due", "past_due")}
    reason = None
    if status == "inactive":
        reason = "requirements.fields_needed" if told["past_due"] else of_account.get("disabled_reason")
    if (blocked := account.get("_reason")) and asked:
        reason = "rejected.other" if blocked.startswith("rejected.") else "other"
    if status == "pending":
        reason = "pending.review"
    future = account["future_requirements"] if asked else nothing_due() | {"disabled_reason": None}
    values = {
        "id": name,
        "object": "capability",
        "account": account["id"],
        "requested": asked,
        "requested_at": account.get("_requested", {}).get(name, account["created"]) if asked else None,
        "status": status,
        "requirements": of_account | told | {"eventually_due": told["currently_due"], "disabled_reason": reason},
        "future_requirements": future,
    }
    return shapes.complete("capability", values)
