"""The customer of a preview: one who does not exist, with a subscription to what the configuration offers first."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from colonnade.portals.preview.page import Drawn
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
EXAMPLE: dict[str, Any] = {
    "id": "",
    "active": True,
    "billing_scheme": "per_unit",
    "currency": "usd",
    "nickname": None,
    "product": {"id": "", "name": "Example plan", "active": True, "description": None},
    "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    "unit_amount": 1200,
    "unit_amount_decimal": "1200",
}
"""A price, where nothing is offered or Stripe does not say what."""
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


def home(features: Features, price: dict[str, Any], now: datetime, t: Language) -> Drawn:
    """The home page; *price* is Stripe's, with its product expanded."""
    update = features.subscription_update
    row = Row(
        summary(price, now, t),
        can_update=update.enabled and bool(update.default_allowed_updates),
        can_pause=features.subscription_pause.enabled,
        can_cancel=features.subscription_cancel.enabled,
    )
    allowed = features.customer_update.allowed_updates if features.customer_update.enabled else ()
    values = {
        "rows": [row],
        "methods": [_Method(_card(now))] if features.payment_method_update.enabled else None,
        "details": [DETAILS[name] for name in DETAILS if name in allowed] or None,
        "tax_ids": [] if "tax_id" in allowed else None,
        "invoices": _invoices(price, now) if features.invoice_history.enabled else [],
        "more_invoices": False,
        "statuses": STATUSES,
        "notice": "",
    }
    return Drawn("home.html", values)


def summary(price: dict[str, Any], now: datetime, t: Language) -> Summary:
    """A subscription to *price*."""
    renews = t("Your plan renews on {date}.", date=t.date(ends(now)))
    return Summary([_line(price, t)], t("Active"), renews, _card(now))


def ends(now: datetime) -> int:
    """When its period does: Unix seconds."""
    return int((now + PERIOD).timestamp())


def titles(price: dict[str, Any]) -> tuple[str, str | None]:
    """What the page calls a price: its product's name, and its own where that is another."""
    product = price["product"] if isinstance(price["product"], dict) else {}
    name = str(product.get("name") or price["nickname"] or "Subscription")
    return name, price["nickname"] if price["nickname"] != name else None


class _Method(Struct, frozen=True):
    method: dict[str, Any]
    is_default: bool = True
    removable: bool = False


def _card(now: datetime) -> dict[str, Any]:
    return CARD | {"card": CARD["card"] | {"exp_year": now.year + 3}}  # type: ignore[operator]


def _line(price: dict[str, Any], t: Language) -> Line:
    name, detail = titles(price)
    metered = price["recurring"]["usage_type"] == "metered"
    return Line(name, t("Usage-based price") if metered else words.unit_price(price, t), detail)


def _invoices(price: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
    """Two that were paid, of what the subscription costs where that is one amount."""
    amount = EXAMPLE["unit_amount"] if price["unit_amount"] is None else price["unit_amount"]
    return [
        {
            "id": "",
            "number": f"EXAMPLE-{number:04}",
            "created": int((now.astimezone(UTC) - (2 - number) * PERIOD).timestamp()),
            "total": amount,
            "currency": price["currency"],
            "status": "paid",
        }
        for number in (2, 1)
    ]
