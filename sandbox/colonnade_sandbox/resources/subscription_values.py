"""The parameters that creating and updating a subscription share, checked and made into its fields."""

from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.clock import DAY
from colonnade_sandbox.resources import lifecycle, payment_methods
from colonnade_sandbox.store import Object

SHARED = (
    "application_fee_percent cancel_at cancel_at_period_end collection_method days_until_due "
    "default_payment_method description discounts items[clear_usage] items[deleted] items[id] items[metadata] "
    "items[plan] items[price] items[price_data] items[quantity] metadata "
    "off_session on_behalf_of payment_behavior payment_settings proration_behavior transfer_data trial_end "
    "trial_settings"
)
COPIED = ("application_fee_percent", "days_until_due", "description", "trial_settings", "payment_settings")


def billing_mode(params: dict[str, Any]) -> dict[str, Any]:
    """Flexible unless asked otherwise (API changelog, 2025-09-30.clover)."""
    kind = params.get("billing_mode", {}).get("type", "flexible")
    return {"type": kind, "flexible": {"proration_discounts": "included"} if kind == "flexible" else None}


def trial_end(call: Call) -> int | None:
    if "trial_period_days" in call.params:
        days = call.params["trial_period_days"]
        return call.now + days * DAY if days > 0 else None
    end = call.params.get("trial_end")
    if end in (None, "now"):
        return None
    if end <= call.now:
        text = "Invalid timestamp: must be an integer Unix timestamp in the future."
        raise errors.invalid(text, "trial_end", "parameter_invalid_integer")
    return int(end)


def values(call: Call, customer: str, current: Object) -> dict[str, Any]:
    """What both create and update write, checked."""
    params = call.params
    found = {name: unset(params[name]) for name in COPIED if name in params}
    found["metadata"] = merged_metadata(current["metadata"], params.get("metadata"))
    if "collection_method" in params:
        found["collection_method"] = params["collection_method"]
    if "default_payment_method" in params:
        found["default_payment_method"] = _method(call, customer, unset(params["default_payment_method"]))
    if "on_behalf_of" in params:
        found["on_behalf_of"] = account_of(call, unset(params["on_behalf_of"]), "on_behalf_of")
    if "transfer_data" in params:
        data = unset(params["transfer_data"])
        if data is not None:
            account_of(call, data["destination"], "transfer_data[destination]")
        found["transfer_data"] = data
    if "cancel_at" in params:
        found |= _cancel_at(call, current, params["cancel_at"])
    _check_fee(call, current | found)
    return found


def _check_fee(call: Call, subscription: Object) -> None:
    direct = call.account != call.platform
    if subscription.get("application_fee_percent") and not (direct or subscription.get("transfer_data")):
        text = (
            "Can only apply an application_fee_percent when the subscription has a transfer_data[destination] or the "
            "request is made on behalf of another account (using the Stripe-Account header)."
        )
        raise errors.invalid(text, "application_fee_percent")


def _method(call: Call, customer: str, name: str | None) -> str | None:
    if name is None:
        return None
    found = payment_methods.of_customer(call, customer, name)
    if found is None:
        raise errors.no_such("payment_method", name, "default_payment_method")
    return str(found["id"])


def account_of(call: Call, account: str | None, param: str) -> str | None:
    """Raises StripeError (400) for an account that is not connected to the caller."""
    if account is not None and call.platform not in call.sandbox.platforms_of(account):
        raise errors.no_such("account", account, param)
    return account


def _cancel_at(call: Call, subscription: Object, wanted: Any) -> dict[str, Any]:
    if wanted == "":
        return dict(lifecycle.KEPT)
    ends = [item["current_period_end"] for item in subscription["items"]["data"]]
    moment = min(ends) if wanted == "min_period_end" else max(ends) if isinstance(wanted, str) else wanted
    if moment <= call.now:
        raise errors.invalid("`cancel_at` must be in the future.", "cancel_at")
    return {"cancel_at": moment, "cancel_at_period_end": False, "canceled_at": call.now}
