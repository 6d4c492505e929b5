"""An account's standing: rejected by its platform, or put into a state that tests want to see."""

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import account_completion, account_writing, accounts
from colonnade_sandbox.store import Object

if TYPE_CHECKING:
    from colonnade_sandbox.sandbox import Sandbox

REASONS = {
    "credit": "rejected.platform_other",
    "other": "rejected.platform_other",
    "terms_of_service": "rejected.platform_terms_of_service",
}
FINE: dict[str, Any] = {"_demands": [], "_pending": [], "_reason": None, "_payouts_held": False}
FORTNIGHT = 14 * 24 * 3600


@operation("POST", "/v1/accounts/{account}/reject", takes="payouts_action reason")
def reject(call: Call) -> Object:
    """Only a platform that carries the losses may reject (API reference, "Reject an account")."""
    account = accounts.connected(call, call.id)
    if account["controller"].get("losses", {}).get("payments") != "application":
        text = "You cannot reject an account whose losses Stripe is liable for."
        raise errors.invalid(text, "account")
    if _rejected(account):
        raise errors.invalid("This account has already been rejected.", "account")
    reason = REASONS.get(call.params["reason"], "rejected.platform_fraud")
    held = call.params.get("payouts_action", "pause") == "pause"
    return account_writing.write(call, account, {"_reason": reason, "_payouts_held": held})


@operation("POST", "/v1/accounts/{account}/unreject")
def unreject(call: Call) -> Object:
    account = accounts.connected(call, call.id)
    if not _rejected(account):
        raise errors.invalid("This account is not rejected.", "account")
    return account_writing.write(call, account, {"_reason": None, "_payouts_held": False})


def _rejected(account: Object) -> bool:
    return str(account.get("_reason")).startswith("rejected.")


def due_at(account: Object) -> int | None:
    """When a demand falls past due."""
    moment: int | None = account.get("_deadline")
    return moment


def work(call: Call, account: Object) -> None:
    account_writing.write(call, account, {})


class State(msgspec.Struct, forbid_unknown_fields=True):
    """A state for `account`. `fields` are what it must tell, `deadline` seconds from now, `reason` why it is disabled.

    `enabled` tells all that is due; the others keep what was told. Onboarding ends `restricted`,
    `restricted_soon` and `future`; only `enabled` ends the rest.
    """

    account: str
    state: Literal[
        "enabled", "restricted", "restricted_soon", "future", "pending", "payouts_disabled", "rejected", "disabled"
    ]
    fields: list[str] = []
    deadline: int = FORTNIGHT
    reason: str | None = None


def put(call: Call, wanted: State) -> Object:
    """Put the account into the state; the events are those of the real change."""
    account = accounts.connected(call, wanted.account)
    if wanted.state == "enabled":
        account = account_writing.write(call, account, FINE)
        return account_completion.complete(call, account["id"], {})
    return account_writing.write(call, account, FINE | _changes(call, account, wanted))


def _changes(call: Call, account: Object, wanted: State) -> dict[str, Any]:
    document = "individual" if account["business_type"] == "individual" else "company"
    fields = wanted.fields or [f"{document}.verification.document"]
    deadline = None if wanted.state == "restricted" else call.now + wanted.deadline
    demands = [{"field": field, "deadline": deadline, "future": wanted.state == "future"} for field in fields]
    changes: dict[str, dict[str, Any]] = {
        "restricted": {"_demands": demands},
        "restricted_soon": {"_demands": demands},
        "future": {"_demands": demands},
        "pending": {"_pending": fields},
        "payouts_disabled": {"_payouts_held": True},
        "rejected": {"_reason": wanted.reason or "rejected.fraud"},
        "disabled": {"_reason": wanted.reason or "under_review"},
    }
    return changes[wanted.state]


def set_state(sandbox: "Sandbox", wanted: State) -> Object:
    """The sandbox's own route for states.

    Raises StripeError (404) for an unknown account.
    """
    platforms = sandbox.platforms_of(wanted.account)
    if not platforms:
        raise errors.no_such("account", wanted.account)
    call = Call(sandbox, platforms[0], platforms[0])
    return sandbox.run(lambda call: put(call, wanted), call)
