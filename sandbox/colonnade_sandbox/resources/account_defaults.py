"""What a new account looks like before anybody has told anything about it."""

from typing import Any

from colonnade_sandbox import ids
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes

# The three historic types are shorthands for a controller (API reference, "Account controller").
CONTROLLERS: dict[str, dict[str, Any]] = {
    "standard": {
        "fees": {"payer": "account"},
        "losses": {"payments": "stripe"},
        "requirement_collection": "stripe",
        "stripe_dashboard": {"type": "full"},
    },
    "express": {
        "fees": {"payer": "application_express"},
        "losses": {"payments": "application"},
        "requirement_collection": "stripe",
        "stripe_dashboard": {"type": "express"},
    },
    "custom": {
        "fees": {"payer": "application_custom"},
        "losses": {"payments": "application"},
        "requirement_collection": "application",
        "stripe_dashboard": {"type": "none"},
    },
}


CURRENCIES = {"US": "usd", "GB": "gbp", "CA": "cad", "AU": "aud", "JP": "jpy", "CH": "chf"}


def new(call: Call, kind: str, params: dict[str, Any]) -> dict[str, Any]:
    country = params.get("country", "US").upper()
    given = params.get("controller", {})
    controller = CONTROLLERS.get(kind) or {name: given.get(name, CONTROLLERS["standard"][name]) for name in STANDARD}
    return {
        "id": ids.new("acct"),
        "object": "account",
        "type": kind,
        "country": country,
        "created": call.now,
        "email": params.get("email"),
        "default_currency": params.get("default_currency", CURRENCIES.get(country, "eur")),
        "controller": {"type": "application", "is_controller": True, **controller},
        "capabilities": {},
        "charges_enabled": False,
        "payouts_enabled": False,
        "details_submitted": False,
        "external_accounts": shapes.page([], "/v1/accounts/external_accounts"),
        "metadata": {},
        "business_profile": _business_profile(),
        "settings": _settings(),
        "tos_acceptance": {},
        "requirements": {},
        "future_requirements": {},
        "_platforms": [call.platform],
        "_linked": False,
        "_requested": {},
    }


STANDARD = tuple(CONTROLLERS["standard"])


def _business_profile() -> dict[str, Any]:
    node = shapes.fields(shapes.resource("account"))["business_profile"].of  # type: ignore[union-attr]
    return {name: None for name in shapes.fields(node) if name in PROFILE}


PROFILE = {
    "mcc",
    "minority_owned_business_designation",
    "name",
    "product_description",
    "support_address",
    "support_email",
    "support_phone",
    "support_url",
    "url",
}


def _settings() -> dict[str, Any]:
    return {
        "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
        "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
        "card_payments": {},
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "invoices": {},
        "payments": {},
        "payouts": {"debit_negative_balances": True, "schedule": {"delay_days": 2, "interval": "daily"}},
        "sepa_debit_payments": {},
    }
