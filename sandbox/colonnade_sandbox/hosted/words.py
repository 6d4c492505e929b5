"""The page's words, and those that take the catalogue or a discount to say."""

from colonnade_portal_page.messages import Language
from colonnade_portal_page.words import card, digits, expiry, interval, money, origin, unit_price, web_link
from colonnade_sandbox.resources import price_amounts
from colonnade_sandbox.store import Object

__all__ = ["card", "coupon", "digits", "expiry", "interval", "money", "origin", "total_price", "unit_price", "web_link"]


def total_price(price: Object, quantity: int, t: Language) -> str:
    """What `quantity` units cost for one period."""
    if price["recurring"]["usage_type"] == "metered":
        return t("Usage-based price")
    amount = price_amounts.exact(price, quantity)
    return f"{money(amount, price['currency'])} {interval(price['recurring'], t)}"


def coupon(given: Object, t: Language) -> str:
    """`20% off for 3 months`."""
    if given["percent_off"] is not None:
        amount = t("{amount} off", amount=f"{given['percent_off']:g}%")
    else:
        amount = t("{amount} off", amount=money(given["amount_off"], given["currency"]))
    if given["duration"] == "repeating":
        return amount + " " + t("for {count} months", count=given["duration_in_months"])
    return amount + " " + t("forever" if given["duration"] == "forever" else "on your next invoice")
