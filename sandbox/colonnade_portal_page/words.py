"""Money and things of Stripe's API in the words of a page. Numbers are written the English way."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from colonnade_portal_page.messages import Language

Object = dict[str, Any]

# Currencies without a minor unit, and with three digits of it (Stripe docs, "Supported currencies").
ZERO_DECIMAL = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
THREE_DECIMAL = "bhd jod kwd omr tnd"
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "cad": "CA$", "aud": "A$", "inr": "₹", "krw": "₩"}
CARDS = {
    "amex": "American Express",
    "diners": "Diners Club",
    "discover": "Discover",
    "jcb": "JCB",
    "mastercard": "Mastercard",
    "unionpay": "UnionPay",
    "visa": "Visa",
}


def digits(currency: str) -> int:
    """Digits of the currency's minor unit."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def money(amount: Decimal | int, currency: str) -> str:
    """An amount in the smallest unit, as `$1,250.00`; fractions of that unit are kept."""
    exact = Decimal(amount).scaleb(-digits(currency))
    shown = f"{abs(exact):,f}"
    whole, _, fraction = shown.partition(".")
    if (places := digits(currency)) or fraction.strip("0"):
        shown = f"{whole}.{fraction.rstrip('0').ljust(places, '0')}"
    else:
        shown = whole
    symbol = SYMBOLS.get(currency)
    return ("−" if exact < 0 else "") + (f"{symbol}{shown}" if symbol else f"{currency.upper()} {shown}")


def interval(recurring: dict[str, Any], t: Language) -> str:
    """`per month`, or `every 3 months`."""
    count, unit = recurring["interval_count"], recurring["interval"]
    return t(f"per {unit}") if count == 1 else t(f"every {{count}} {unit}s", count=count)


def duration(length: dict[str, Any], t: Language) -> str:
    """`1 month`, `2 weeks`."""
    count, unit = length["interval_count"], length["interval"]
    return t(f"1 {unit}") if count == 1 else t(f"{{count}} {unit}s", count=count)


def unit_price(price: Object, t: Language) -> str:
    """What one unit of a price costs for one period."""
    if price["billing_scheme"] == "tiered":
        return t("Price by quantity")
    amount = money(Decimal(price["unit_amount_decimal"]), price["currency"])
    return f"{amount} {interval(price['recurring'], t)}"


def card(method: Object) -> str:
    """`Visa •••• 4242`."""
    details = method["card"]
    return f"{CARDS.get(details['brand'], details['brand'].title())} •••• {details['last4']}"


def expiry(method: Object) -> str:
    details = method["card"]
    return f"{details['exp_month']:02d}/{details['exp_year']}"


def web_link(url: str | None) -> str | None:
    """The URL if it is one that a link may lead to: no `javascript:` and the like."""
    return url if url and urlsplit(url).scheme in ("http", "https") else None


def origin(url: str | None) -> str | None:
    """`https://example.com` of a web link."""
    if web_link(url) is None:
        return None
    parts = urlsplit(str(url))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
