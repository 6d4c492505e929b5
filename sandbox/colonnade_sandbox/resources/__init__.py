"""Stripe's resources, a module each. Importing one registers its operations."""

import re
from importlib import import_module

from colonnade_sandbox.contract.routes import Match, Route

MODULES = (
    "account_capabilities",
    "account_links",
    "account_persons",
    "account_sessions",
    "account_standing",
    "accounts",
    "accounts_v2",
    "active_entitlements",
    "billing_portal_configurations",
    "billing_portal_sessions",
    "checkout_sessions",
    "cli_sessions",
    "coupons",
    "customers",
    "discounts",
    "entitlement_features",
    "event_destinations",
    "events",
    "external_accounts",
    "feedback_options",
    "files",
    "invoice_items",
    "invoice_operations",
    "invoice_payments",
    "invoice_previews",
    "pausing",
    "payment_methods",
    "prices",
    "products",
    "promotion_codes",
    "setup_intents",
    "sources",
    "subscription_items",
    "subscription_schedules",
    "subscription_updates",
    "subscriptions",
    "test_clocks",
    "thin_events",
    "tax_ids",
    "webhook_endpoints",
)

# Routes that Stripe answers although no SDK has them: the official CLI's `events resend` and `listen`.
EXTRA = (
    Route("POST", "/v1/events/{event}/retry", None),
    Route("POST", "/v1/stripecli/sessions", None),
)


def load() -> None:
    """Register every operation."""
    for name in MODULES:
        import_module(f"{__name__}.{name}")


def extra_route(method: str, path: str) -> Match | None:
    for route in EXTRA:
        found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route.template), path)
        if found and route.method == method:
            return Match(route, found.groupdict())
    return None
