"""The pages behind the home page's buttons, as far as a configuration decides what is on them."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct, to_builtins

from colonnade.portals import preflight
from colonnade.portals.facts import Facts, Item, Price, Subscription
from colonnade.portals.offers import Offer
from colonnade.portals.preview import sample
from colonnade.portals.preview.page import Drawn
from colonnade.portals.settings import PortalSettings
from colonnade_portal_page import forms, words
from colonnade_portal_page.messages import Language

Step = Literal[
    "customer_update", "payment_method_update", "subscription_cancel", "subscription_pause", "subscription_update"
]
"""The feature whose page it is."""

_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_VALUES = {
    "name": "Jenny Rosen",
    "email": "jenny.rosen@example.com",
    "phone": "+1 555 0123",
    "line1": "510 Townsend Street",
    "city": "San Francisco",
    "state": "CA",
    "postal_code": "94103",
    "country": "US",
}


class Example(Struct, frozen=True):
    """What the pages are drawn from. *prices* are Stripe's by id, with their products expanded; *price* is paid now."""

    settings: PortalSettings
    offers: Sequence[Offer]
    prices: dict[str, dict[str, Any]]
    price: dict[str, Any]
    now: datetime
    t: Language


class Choice(Struct, frozen=True):
    """A price on the page of plans."""

    price: dict[str, Any]
    title: str
    detail: str | None
    description: str | None
    is_current: bool


def drawn(step: Step, example: Example) -> Drawn:
    """The page of *step*, whose feature is on."""
    template, values = _PAGES[step]
    shown = sample.summary(example.price, example.now, example.t)
    return Drawn(template, {"summary": shown, **values(example)})


def _update(example: Example) -> dict[str, Any]:
    update = example.settings.features.subscription_update
    current = example.price
    facts = Facts(example.settings, example.offers, (), {name: _fact(each) for name, each in example.prices.items()})
    item = Item("", current["id"], current["product"]["id"], 1)
    mine = Subscription(
        id="", status="active", items=[item], cancelling=False, scheduled=False, pending=False, visible=True
    )
    listed = preflight.offered(facts, mine)
    bounds = [each for each in listed if each.minimum is not None and each.maximum is not None]
    choices = [_choice(example.prices.get(each.price, current), each.current) for each in listed]
    return {
        "offers": sorted(choices, key=lambda each: (_length(each.price["recurring"]), each.price["unit_amount"] or 0)),
        "quantity": 1,
        "minimum": min((each.minimum or 1 for each in bounds), default=None),
        "maximum": max((each.maximum or 1 for each in bounds), default=None),
        "takes_codes": "promotion_code" in update.default_allowed_updates,
    }


def _fact(price: dict[str, Any]) -> Price:
    active = bool(price["active"] and price["product"].get("active"))
    return Price(price["id"], price["product"]["id"], active, frozenset({price["currency"]}))


def _choice(price: dict[str, Any], is_current: bool) -> Choice:
    title, detail = sample.titles(price)
    return Choice(price, title, detail, price["product"].get("description"), is_current)


def _length(recurring: dict[str, Any]) -> int:
    return int(_DAYS[recurring["interval"]] * recurring["interval_count"])


def _cancel(example: Example) -> dict[str, Any]:
    cancel = example.settings.features.subscription_cancel
    asked = cancel.cancellation_reason
    return {
        "offer": None,
        "immediately": cancel.mode == "immediately",
        "ends": sample.ends(example.now),
        "reasons": {name: example.t(forms.REASONS[name]) for name in asked.options} if asked.enabled else {},
    }


def _pause(example: Example) -> dict[str, Any]:
    lengths = to_builtins(example.settings.features.subscription_pause.duration.interval_options)
    found = {f"{each['interval_count']}-{each['interval']}": each for each in map(_whole, lengths)}
    until = {name: example.now + timedelta(days=_length(each)) for name, each in found.items()}
    return {
        "choices": {name: words.duration(each, example.t) for name, each in found.items()},
        "dates": {name: example.t.date(int(at.timestamp())) for name, at in until.items()},
    }


def _whole(length: dict[str, Any]) -> dict[str, Any]:
    return {"interval_count": 1} | length


def _customer(example: Example) -> dict[str, Any]:
    allowed = example.settings.features.customer_update.allowed_updates
    groups = {name: fields for name, fields in forms.FIELDS.items() if name in allowed}
    names = [name for fields in groups.values() for name in fields]
    return {
        "groups": groups,
        "headings": forms.HEADINGS,
        "values": {name: _VALUES.get(name.partition("_")[2] or name) or _VALUES.get(name, "") for name in names},
        "problems": {},
        "countries": {"US": "United States"},
    }


def _payment_method(_example: Example) -> dict[str, Any]:
    return {"alert": "", "cards": forms.CARDS, "chosen": "visa", "always_default": False}


_PAGES: dict[Step, tuple[str, Callable[[Example], dict[str, Any]]]] = {
    "customer_update": ("customer.html", _customer),
    "payment_method_update": ("payment_method.html", _payment_method),
    "subscription_cancel": ("cancel.html", _cancel),
    "subscription_pause": ("pause.html", _pause),
    "subscription_update": ("update.html", _update),
}
