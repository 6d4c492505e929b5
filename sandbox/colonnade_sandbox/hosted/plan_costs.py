"""What a change of plan costs, found by making it and undoing it."""

from dataclasses import dataclass
from typing import Any

from colonnade_sandbox.errors import StripeError
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.resources import invoice_previews, subscriptions
from colonnade_sandbox.store import Object

PREVIEWED = ("items", "proration_behavior", "trial_end")


@dataclass(frozen=True, slots=True)
class Cost:
    """An invoice that follows from a change; `moment` is None for one that is due now."""

    invoice: Object
    moment: int | None

    @property
    def lines(self) -> list[Object]:
        found: list[Object] = self.invoice["lines"]["data"]
        return found


def of(visit: Visit, subscription: Object, params: dict[str, Any]) -> Cost | None:
    """Raises StripeError for a change that is refused; None where nothing will be billed."""
    due_now = _now(visit, subscription, params)
    if due_now is not None:
        return Cost(due_now, None)
    call = visit.call(
        subscription=subscription["id"],
        subscription_details={name: params[name] for name in PREVIEWED if name in params},
        **{name: params[name] for name in ("discounts",) if name in params},
    )
    try:
        invoice = invoice_previews.create_preview(call)
    except StripeError as error:
        if error.error.get("code") == "invoice_upcoming_none":
            return None
        raise
    return Cost(invoice, subscription["items"]["data"][0]["current_period_end"])


def _now(visit: Visit, subscription: Object, params: dict[str, Any]) -> Object | None:
    """The invoice that the change makes at once."""
    call, found = visit.call(**params).at(subscription["id"]), None
    with visit.sandbox.store.rehearsal():
        changed = subscriptions.update(call)
        if changed["latest_invoice"] != subscription["latest_invoice"]:
            found = call.find("invoice", changed["latest_invoice"])
    return found
