"""The customer of a preview: one who does not exist, with a subscription to what the configuration offers first."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from colonnade.portals.settings import Features
from colonnade_portal_page import words
from colonnade_portal_page.messages import Language

CARD = {"id": "", "card": {"brand": "visa", "last4": "4242", "exp_month": 12}}
DETAILS: dict[str, tuple[str, list[str]]] = {
    "name": ("Name", ["Jenny Rosen"]),
    "email": ("Email", ["jenny.rosen@example.com"]),
    "phone": ("Phone", ["+1 555 0123"]),
    "address": ("Billing address", ["510 Townsend Street", "San Francisco", "CA", "94103", "United States"]),
    "shipping": ("Shipping address", ["Jenny Rosen", "510 Townsend Street", "San Francisco", "United States"]),
}
"""By what a customer may update, in the order of the page."""
STATUSES = {"paid": ("Paid", "good")}
PERIOD = timedelta(days=30)


class Line(Struct, frozen=True):
    """What is subscribed to, in words."""

    title: str
    price: str
    detail: str | None = None
    quantity: str | None = None


class Summary(Struct, frozen=True):
    """A subscription in words; *id* leads nowhere."""

    lines: list[Line]
    label: str
    when: str
    method: dict[str, Any]
    id: str = ""
    tone: str = "good"
    planned: str | None = None

    @property
    def title(self) -> str:
        return self.lines[0].title


class Row(Struct, frozen=True):
    """A subscription with the buttons that the configuration gives it."""

    summary: Summary
    can_update: bool
    can_pause: bool
    can_cancel: bool
    can_keep: bool = False
    can_resume: bool = False
    can_withdraw: bool = False


def shown(features: Features, price: dict[str, Any] | None, now: datetime, t: Language) -> dict[str, Any]:
    """The values that the page's template takes; *price* is Stripe's, with its product expanded."""
    update, method = features.subscription_update, _card(now)
    summary = Summary([_line(price, t)], t("Active"), _renews(now, t), method)
    row = Row(
        summary,
        can_update=update.enabled and bool(update.default_allowed_updates),
        can_pause=features.subscription_pause.enabled,
        can_cancel=features.subscription_cancel.enabled,
    )
    allowed = features.customer_update.allowed_updates if features.customer_update.enabled else ()
    return {
        "rows": [row],
        "methods": [_Method(method)] if features.payment_method_update.enabled else None,
        "details": [DETAILS[name] for name in DETAILS if name in allowed] or None,
        "tax_ids": [] if "tax_id" in allowed else None,
        "invoices": _invoices(price, now) if features.invoice_history.enabled else [],
        "more_invoices": False,
        "statuses": STATUSES,
        "notice": "",
    }


class _Method(Struct, frozen=True):
    method: dict[str, Any]
    is_default: bool = True
    removable: bool = False


def _card(now: datetime) -> dict[str, Any]:
    return CARD | {"card": CARD["card"] | {"exp_year": now.year + 3}}  # type: ignore[operator]


def _renews(now: datetime, t: Language) -> str:
    return t("Your plan renews on {date}.", date=t.date(int((now + PERIOD).timestamp())))


def _line(price: dict[str, Any] | None, t: Language) -> Line:
    if price is None or not price.get("recurring"):
        return Line("Example plan", f"{words.money(1200, 'usd')} {t('per month')}")
    product = price["product"] if isinstance(price["product"], dict) else {}
    name = str(product.get("name") or price["nickname"] or "Subscription")
    metered = price["recurring"]["usage_type"] == "metered"
    cost = t("Usage-based price") if metered else words.unit_price(price, t)
    return Line(name, cost, price["nickname"] if price["nickname"] != name else None)


def _invoices(price: dict[str, Any] | None, now: datetime) -> list[dict[str, Any]]:
    """Two that were paid, of what the subscription costs where that is one amount."""
    amount = price["unit_amount"] if price and price.get("unit_amount") is not None else 1200
    currency = price["currency"] if price else "usd"
    return [
        {
            "id": "",
            "number": f"EXAMPLE-{number:04}",
            "created": int((now.astimezone(UTC) - (2 - number) * PERIOD).timestamp()),
            "total": amount,
            "currency": currency,
            "status": "paid",
        }
        for number in (2, 1)
    ]
