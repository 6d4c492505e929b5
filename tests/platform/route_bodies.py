"""A smallest body for every route below /v1 that takes one as JSON, by its handler's name."""

from typing import Any

SESSION: dict[str, Any] = {"return_url": "https://shop.example/account"}
REASON: dict[str, Any] = {"reason": "Chargebacks"}
SETTINGS: dict[str, Any] = {"features": {"subscription_cancel": {"enabled": True}}}

BODIES: dict[str, Any] = {
    "create_key": {"name": "backend"},
    "rotate_key": {"overlap": 60},
    "create_platform_key": {"name": "team", "role": "read"},
    "rotate_platform_key": {"overlap": 60},
    "create_tenant": {"name": "Fern"},
    "change_tenant": {"name": "Fern"},
    "create_onboarding_link": {"return_url": "https://shop.example/account"},
    "create_account_session": {"components": ["account_onboarding"]},
    "create_account_connection": {"return_url": "https://shop.example/account"},
    "suspend_tenant": REASON,
    "resume_tenant": REASON,
    "archive_tenant": REASON,
    "restore_tenant": REASON,
    "reconnect_tenant": {"reason": "It is back"},
    "put_closed_checks": {"closed_checks": "keep"},
    "put_branding": {"name": "Fern"},
    "post_portal_preview": {"configuration": SETTINGS},
    "put_portal_configuration": SETTINGS,
    "plan_portal_configuration": SETTINGS,
    "roll_back_portal_configuration": {"version": 1},
    "put_portal_policy": {"drift": "report"},
    "create_portal_session": SESSION,
    "preview_portal_session": SESSION,
    "create_portal_token": SESSION,
    "put_portal_rules": {"rules": []},
    "put_feature": {"kind": "flag", "name": "Export"},
    "put_plan": {"name": "Pro", "price": "price_1"},
    "put_policy": {},
    "put_customer": {"email": "ada@example.com"},
    "create_subscription": {"price": "price_1"},
    "create_checkout_session": {"items": [{"price": "price_1"}], "success_url": "https://shop.example/account"},
    "create_override": {"feature": "export", "effect": "grant", "reason": "Trial", "author": "Grace"},
    "check_entitlements": {"customers": ["ada"]},
    "create_entitlement_token": {},
    "rotate_signing_key": {"compromised": False},
    "take_over_features": {"dry_run": True},
    "replay_events": {"type": "customer.updated"},
    "replay_calls": {"extension": "mail"},
    "create_import": {"reference_key": "id"},
    "create_endpoint": {"url": "https://hooks.example/colonnade"},
    "change_endpoint": {"url": "https://hooks.example/colonnade"},
    "roll_secret": {},
    "replay_notifications": {},
}
