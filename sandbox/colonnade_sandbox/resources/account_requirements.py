"""What an account still has to tell, and what it may do meanwhile."""

from typing import Any

from colonnade_sandbox.contract import shapes
from colonnade_sandbox.store import Object

# What an account must tell before it may charge; each is due until it has a value.
REQUIREMENTS = ("business_profile.url", "business_type", "external_account", "tos_acceptance.date")


def judged(account: Object) -> Object:
    """Requirements, capabilities and the `…_enabled` flags that follow from what the account has told."""
    due = [path for path in REQUIREMENTS if not _value_at(account, path)]
    reason = "requirements.past_due" if due else None
    state = "inactive" if due else "active"
    requirements = {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": due,
        "disabled_reason": reason,
        "errors": [],
        "eventually_due": due,
        "past_due": due,
        "pending_verification": [],
    }
    capabilities = dict.fromkeys(account["capabilities"], state)
    return account | {
        "requirements": requirements,
        "capabilities": capabilities,
        "charges_enabled": not due and capabilities.get("card_payments") == "active",
        "payouts_enabled": not due,
        "details_submitted": account["details_submitted"] or not due,
    }


def _value_at(account: Object, path: str) -> Any:
    if path == "external_account":
        return account["_external_account"]
    value: Any = account
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def capability(account: Object, name: str, state: str) -> Object:
    values = {
        "id": name,
        "object": "capability",
        "account": account["id"],
        "requested": True,
        "requested_at": account["created"],
        "status": state,
        "requirements": {"disabled_reason": None if state == "active" else "requirements.fields_needed"},
        "future_requirements": {},
    }
    return shapes.complete("capability", values)
