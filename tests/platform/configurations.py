"""Portal configurations by chance: bodies that mean something, and the same said otherwise."""

import copy
from typing import Any

from hypothesis import strategies as st

from tests.platform.api import RETURN_URL

TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=20)
LONGEST = {"day": 1000, "week": 150, "month": 36, "year": 3}


def _some(*values: str, least: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=least, max_size=len(values) + 2)


def _switch(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A feature, on or off, with some of its fields."""
    on = st.fixed_dictionaries({"enabled": st.just(True)}, optional=fields)
    return st.one_of(st.just({"enabled": False}), on)


def _interval(draw: Any) -> dict[str, Any]:
    kind = draw(st.sampled_from([*LONGEST]))
    return {"interval": kind, "interval_count": draw(st.integers(1, LONGEST[kind]))}


@st.composite
def pauses(draw: Any) -> dict[str, Any]:
    """`subscription_pause`."""
    if not draw(st.booleans()):
        return {"enabled": False}
    if draw(st.booleans()):
        return {"enabled": True, "duration": {"type": "indefinite"}}
    options = [_interval(draw) for _ in range(draw(st.integers(1, 3)))]
    return {"enabled": True, "duration": {"type": "interval_options", "interval_options": options}}


@st.composite
def cancellations(draw: Any) -> dict[str, Any]:
    """`subscription_cancel`."""
    reasons = ["other", "unused", "too_complex", "low_quality"]
    found: dict[str, Any] = draw(_switch(mode=st.sampled_from(["at_period_end", "immediately"])))
    if found["enabled"] and found.get("mode") == "immediately" and draw(st.booleans()):
        found["proration_behavior"] = draw(st.sampled_from(["none", "create_prorations"]))
    if found["enabled"] and draw(st.booleans()):
        found["cancellation_reason"] = {"enabled": True, "options": draw(_some(*reasons))}
    return found


@st.composite
def updates(draw: Any, products: list[dict[str, Any]]) -> dict[str, Any]:
    """`subscription_update` among some of *products* and some of their prices."""
    found: dict[str, Any] = draw(
        _switch(
            proration_behavior=st.sampled_from(["none", "create_prorations", "always_invoice"]),
            billing_cycle_anchor=st.sampled_from(["now", "unchanged"]),
            trial_update_behavior=st.sampled_from(["continue_trial", "end_trial"]),
            schedule_at_period_end=st.fixed_dictionaries(
                {"conditions": st.lists(st.sampled_from(["decreasing_item_amount", "shortening_interval"]), max_size=2)}
            ).map(lambda value: {"conditions": [{"type": each} for each in value["conditions"]]}),
        )
    )
    if not found["enabled"]:
        return found
    found["default_allowed_updates"] = draw(_some("price", "promotion_code", "quantity"))
    if found.get("schedule_at_period_end", {}).get("conditions"):  # something has to be able to wait for it
        found["schedule_at_period_end"]["conditions"].append({"type": "decreasing_item_amount"})
        found["default_allowed_updates"].append("quantity")
    chosen = draw(st.lists(st.sampled_from(range(len(products))), unique=True, min_size=1))
    found["products"] = [_product(draw, products[index]) for index in chosen]
    return found


def _product(draw: Any, product: dict[str, Any]) -> dict[str, Any]:
    prices = draw(st.lists(st.sampled_from(product["prices"]), unique=True, min_size=1))
    found = {"product": product["product"], "prices": prices}
    if draw(st.booleans()):
        low = draw(st.integers(0, 50))
        found["adjustable_quantity"] = {"enabled": True, "minimum": low, "maximum": draw(st.integers(max(low, 1), 100))}
    return found


@st.composite
def bodies(draw: Any, products: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of a PUT."""
    features = {
        "customer_update": draw(
            st.one_of(
                st.just({"enabled": False}),
                _some("address", "email", "name", "tax_id").map(
                    lambda each: {"enabled": True, "allowed_updates": each}
                ),
            )
        ),
        "invoice_history": {"enabled": draw(st.booleans())},
        "payment_method_update": {"enabled": draw(st.booleans())},
        "subscription_cancel": draw(cancellations()),
        "subscription_pause": draw(pauses()),
        "subscription_update": draw(updates(products)),
    }
    body: dict[str, Any] = {"features": {name: value for name, value in features.items() if draw(st.booleans())}}
    if draw(st.booleans()):
        body["business_profile"] = {"headline": draw(TEXT)}
    if draw(st.booleans()):
        body["default_return_url"] = f"{RETURN_URL}/{draw(st.integers(0, 3))}"
    if draw(st.booleans()):
        body["metadata"] = draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), TEXT, max_size=3))
    return body


def said_otherwise(draw: Any, body: Any) -> Any:
    """The same, with lists in another order and defaults spelled out."""
    body = copy.deepcopy(body)
    for name in ("customer_update", "invoice_history", "subscription_pause", "subscription_update"):
        body["features"].setdefault(name, {"enabled": False})
    body.setdefault("metadata", {})
    body.setdefault("business_profile", {}).setdefault("headline", None)
    body.setdefault("login_page", {"enabled": False})
    cancel = body["features"].setdefault("subscription_cancel", {"enabled": False})
    cancel.setdefault("mode", "at_period_end")
    cancel.setdefault("proration_behavior", "none")
    for product in body["features"]["subscription_update"].get("products", []):
        product.setdefault("adjustable_quantity", {"enabled": False})
    return _shuffled(draw, body)


def _shuffled(draw: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shuffled(draw, value[name]) for name in draw(st.permutations([*value]))}
    if isinstance(value, list):
        return draw(st.permutations([_shuffled(draw, each) for each in value]))
    return value
