"""What a portal configuration must fulfil before it is stored (API reference, "Create a portal configuration")."""

from collections.abc import Sequence
from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call

MOST_PRODUCTS = 10
LONGEST_HEADLINE = 60
# A pause lasts three years at most; a month counts 31 days, a year 366.
LONGEST_PAUSE = 3 * 366
DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}
UPDATE, CANCEL, PAUSE = "subscription_update", "subscription_cancel", "subscription_pause"


def check(call: Call, configuration: dict[str, Any], given: dict[str, Any]) -> None:
    """Raises StripeError (400) for what the portal could not carry out; `given` are the features of this call."""
    features = configuration["features"]
    _check_texts(configuration)
    _check_cancel(call, features[CANCEL], given.get(CANCEL, {}))
    _check_pause(features[PAUSE])
    _check_update(call, features[UPDATE], given.get(UPDATE, {}))


def check_url(url: str | None, param: str) -> None:
    """Raises StripeError (400) for a URL without scheme."""
    if url and not url.startswith(("http://", "https://")):
        raise errors.invalid("Invalid URL: An explicit scheme (such as https) must be provided.", param, "url_invalid")


def _check_texts(configuration: dict[str, Any]) -> None:
    profile = configuration["business_profile"]
    headline = profile.get("headline")
    if headline and len(headline) > LONGEST_HEADLINE:
        text = f"Invalid string: {headline[:20]}...; must be at most {LONGEST_HEADLINE} characters"
        raise errors.invalid(text, "business_profile[headline]")
    for name in ("privacy_policy_url", "terms_of_service_url"):
        check_url(profile.get(name), f"business_profile[{name}]")
    check_url(configuration["default_return_url"], "default_return_url")


def _check_cancel(call: Call, cancel: dict[str, Any], given: dict[str, Any]) -> None:
    param = f"features[{CANCEL}][proration_behavior]"
    if cancel["proration_behavior"] == "always_invoice":
        raise errors.invalid("Invalid proration_behavior: must be one of none, or create_prorations", param)
    if cancel["proration_behavior"] == "create_prorations" and cancel["mode"] != "immediately":
        text = "Prorations can only be created when subscriptions are canceled immediately."
        raise errors.invalid(text, param)
    base = f"features[{CANCEL}][cancellation_reason]"
    asked = given.get("cancellation_reason", {})
    _check_once(asked.get("options") or [], f"{base}[options]")
    for index, name in enumerate(asked.get("feedback_options") or []):
        option = call.get("billing.feedback_option", name, f"{base}[feedback_options][{index}]")
        if option["status"] != "active":
            text = f"The feedback option {name} is not active."
            raise errors.invalid(text, f"{base}[feedback_options][{index}]")


def _check_pause(pause: dict[str, Any]) -> None:
    duration = pause["duration"]
    param = f"features[{PAUSE}][duration][interval_options]"
    if duration["type"] == "interval_options" and not duration["interval_options"]:
        raise errors.missing_parameter(param)
    for index, option in enumerate(duration["interval_options"] or []):
        count = option["interval_count"]
        if count < 1 or count * DAYS[option["interval"]] > LONGEST_PAUSE:
            text = "A pause must last at least one interval and at most three years."
            raise errors.invalid(text, f"{param}[{index}][interval_count]")


def _check_update(call: Call, update: dict[str, Any], given: dict[str, Any]) -> None:
    base = f"features[{UPDATE}]"
    products = update["products"]
    if update["enabled"] and {"price", "quantity"} & set(update["default_allowed_updates"]) and not products:
        raise errors.missing_parameter(f"{base}[products]")
    if len(products) > MOST_PRODUCTS:
        text = f"Array products exceeded maximum {MOST_PRODUCTS} allowed elements."
        raise errors.invalid(text, f"{base}[products]", "array_max_size_exceeded")
    if "products" not in given:
        return
    _check_once([product["product"] for product in products], f"{base}[products]")
    for index, product in enumerate(products):
        _check_product(call, product, f"{base}[products][{index}]")


def _check_once(names: Sequence[str], param: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise errors.invalid(f"{name} was given more than once.", param)


def _check_product(call: Call, product: dict[str, Any], base: str) -> None:
    call.get("product", product["product"], f"{base}[product]")
    if not product["prices"]:
        raise errors.missing_parameter(f"{base}[prices]")
    _check_once(product["prices"], f"{base}[prices]")
    for index, name in enumerate(product["prices"]):
        param = f"{base}[prices][{index}]"
        price = call.get("price", name, param)
        if price["product"] != product["product"]:
            text = f"The price {name} does not belong to the product {product['product']}."
            raise errors.invalid(text, param)
        if not price["active"] or price["recurring"] is None:
            raise errors.invalid(f"The price {name} must be active and recurring.", param)
    _check_quantity(product["adjustable_quantity"], f"{base}[adjustable_quantity]")


def _check_quantity(quantity: dict[str, Any], base: str) -> None:
    if quantity["minimum"] < 0:
        raise errors.invalid("The minimum quantity must not be negative.", f"{base}[minimum]")
    if quantity["maximum"] is not None and quantity["maximum"] < max(quantity["minimum"], 1):
        text = "The maximum quantity must not be less than the minimum."
        raise errors.invalid(text, f"{base}[maximum]")
