"""The values that examples are made of. One story: the tenant Fern sells weather alerts to its customer Ada."""

from typing import Any

TENANT = "ten_01m82vy7hs509sen7z2kqesan0"
CUSTOMER = "ecu_01m82w0c5t2f7b9k4x8j3q6r1v"
SHOP = "https://shop.example"
NOW, SOON, LATER = "2026-11-22T10:00:00Z", "2026-12-22T10:00:00Z", "2027-01-22T10:00:00Z"
DIGEST = "5f4dcc3b5aa765d61d8327deb882cf992b95990a9151374abd8ff8c5a7a0fe08"

PARAMETERS: dict[str, Any] = {
    "tenant": TENANT,
    "reference": "ada",
    "name": "main",
    "kind": "icon",
    "limit": 20,
    "locale": "en",
    "prefix": "fern_",
    "Idempotency-Key": "order-1729",
    "If-Match": '"8f434346648f6b96df89dda9"',
    "If-None-Match": '"8f434346648f6b96df89dda9"',
}
"""Of parameters, by name; those of a path have one in any case."""

_TIMES = {
    NOW: (
        "at as_of created_at received_at recorded_at updated_at started_at first_at last_at found_at read_at "
        "signs_from since starts_at valid_from effective_from period_start current_period_start timestamp done_at "
        "settled_at complete_until events_complete_until swept_until from changed_at last_used_at"
    ),
    SOON: (
        "until to ends_at expires_at valid_until period_end current_period_end cancel_at trial_end grace_until ends_by "
        "older_until published_until next_attempt_at next_payment_attempt due_by deadline login_until"
    ),
}
_TEXTS: dict[str, Any] = {
    "account": "acct_1SWfKZ2eZvKYlo2C",
    "action": "tenant.changed",
    "target": f"tenants/{TENANT}",
    "confirmation": "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "client_secret": "_SWfKZ2eZvKYlo2C_secret",
    "rows": {"customers": 900},
    "steps": ["archive"],
    "coming_back": False,
    "held_events": 0,
    "api_version": "2026-10-28.endive",
    "attributed_by": "account",
    "audience": "https://api.shop.example",
    "author": "grace@fern.example",
    "author_key": "key_01m82w3d9y7n5p1s8c2h6k4m0b",
    "basis": "now",
    "billing_reason": "subscription_cycle",
    "brand": "visa",
    "by": "key_01m82w3d9y7n5p1s8c2h6k4m0b",
    "cancel_url": f"{SHOP}/pricing",
    "cause": "evt_1SWfKZ2eZvKYlo2CmQ0X8n7a",
    "charge_type": "destination",
    "code": "resource_missing",
    "configuration": "main",
    "content_hash": DIGEST,
    "country": "DE",
    "currency": "eur",
    "customer": "ada",
    "default_payment_method": "pm_1SWfKZ2eZvKYlo2C",
    "default_return_url": f"{SHOP}/account",
    "description": "Alerts on frost, up to 48 hours ahead",
    "detail": "What is missing, or what became of it.",
    "disabled_reason": "requirements.past_due",
    "email": "ada@example.com",
    "endpoint": "nep_01m82w5f1q3r7t9v2x4z6b8d0g",
    "event": "evt_1SWfKZ2eZvKYlo2CmQ0X8n7a",
    "extension": "fern_handlers:on_invoice",
    "feature": "frost-alerts",
    "field": "features.subscription_cancel.mode",
    "headline": "Your weather, your plan",
    "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1SWfKZ2eZvKYlo2C/test_x",
    "invoice_pdf": "https://pay.stripe.com/invoice/acct_1SWfKZ2eZvKYlo2C/test_x/pdf",
    "key": "frost-alerts",
    "kind": "flag",
    "last4": "4242",
    "locale": "en",
    "lookup_key": "fern_frost_alerts",
    "meaning": "The card was declined; another one is needed.",
    "message": "It changed at Stripe.",
    "name": "Fern",
    "next": "dGVuXzAxbTgydnk3aHM1MDlzZW43ejJrcWVzYW4w",
    "notification": "ntf_01m82w7h3s5t9v1x4z6b8d0g2j",
    "number": "F-0007",
    "object": "sub_1SWfKZ2eZvKYlo2C",
    "opened_by": "browser",
    "origin": SHOP,
    "param": "event_weight",
    "path": "features",
    "payment_method": "pm_card_visa",
    "payment_method_configuration": "pmc_1SWfKZ2eZvKYlo2C",
    "phone": "+49 30 901820",
    "plan": "pro",
    "prefix": "col_tenant_4Kq",
    "price": "price_1SWfKZ2eZvKYlo2C",
    "primary_color": "#2f6f4e",
    "privacy_policy_url": "https://fern.example/privacy",
    "product": "prod_TTbZ1a2b3c4d5e",
    "promotion_code": "promo_1SWfKZ2eZvKYlo2C",
    "coupon": "xmas25",
    "reason": "Asked for by the sales team",
    "reference": "ada",
    "reference_key": "shop_user",
    "request_id": "req_01m82vy7hs509sen7z2kqesan0",
    "requirement": "individual.verification.document",
    "result": "delivered",
    "return_origins": [SHOP],
    "return_url": f"{SHOP}/account",
    "schedule": "sub_sched_1SWfKZ2eZvKYlo2C",
    "secondary_color": "#f4f1ea",
    "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "session": "bps_1SWfKZ2eZvKYlo2C",
    "sha256": DIGEST,
    "source": "stripe",
    "stripe_configuration": "bpc_1SWfKZ2eZvKYlo2C",
    "stripe_customer": "cus_TTbZ1a2b3c4d5e",
    "stripe_file": "file_1SWfKZ2eZvKYlo2C",
    "subscription": "sub_1SWfKZ2eZvKYlo2C",
    "item": "si_TTbZ1a2b3c4d5e",
    "success_url": f"{SHOP}/welcome",
    "support_email": "help@fern.example",
    "support_phone": "+49 30 901820",
    "support_url": "https://fern.example/help",
    "tenant": TENANT,
    "terms_of_service_url": "https://fern.example/terms",
    "title": "Cancel the plan",
    "token": "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl",
    "unit": "seats",
    "url": "https://billing.stripe.com/p/session/test_x",
    "words": "Somebody at the business has to show an identity document.",
    "status": "active",
    "sources": ["sub_1SWfKZ2eZvKYlo2C"],
    "type": "customer.subscription.updated",
    "types": ["entitlements.changed"],
    "unknown": [],
    "value": True,
    "quantity": 1,
    "limit": 20,
    "version": 3,
    "event_weight": 1,
    "application_fee_percent": 2.5,
    "amount_due": 900,
    "amount_paid": 900,
    "amount_remaining": 0,
    "total": 900,
    "attempts": 1,
    "attempt_count": 1,
    "exp_month": 12,
    "exp_year": 2030,
    "grace": 7,
    "width": 512,
    "height": 512,
    "bytes": 8192,
    "milliseconds": 120,
    "overlap_hours": 24,
    "lifetime_seconds": 300,
    "livemode": False,
    "failed": False,
    "refused": 0,
    "unclaimed": 0,
    "others": 0,
    "scope": "admin",
    "scopes": ["admin"],
    "country_code": "DE",
    "metadata": {"seat": "12a"},
    "address": {"country": "DE", "city": "Berlin", "line1": "Invalidenstraße 43", "postal_code": "10115"},
    "by_state": {"pending": 2},
    "by_type": {"customer.subscription.updated": 2},
    "checks": {"database": "ok", "migrations": "ok"},
}
FIELDS: dict[str, Any] = _TEXTS | {name: at for at, names in _TIMES.items() for name in names.split()}
"""Of fields, by name, where the value has the field's type."""

_ABSENT = """
revoked_at revoked_by disabled_reason failing_since error problem excerpt left_out next_attempt_at grace_until ended_at
canceled_at cancel_at pending resolved_at resolved_by suspended_at deleted_at next_payment_attempt archived_at
"""
ABSENT = frozenset(_ABSENT.split())
"""Fields that are null when all is well, where they may be."""
WELL = ("ready", "live", "done", "enabled", "delivered", "applied", "active", "grant", "now", "same", "keep")
"""Of the words that a field may have, the first of these is shown, else the first."""
WHOLE: dict[str, Any] = {
    "KeySet": {
        "keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "sk_1", "x": "11qYAYKxCrfVS_7T"}]
    },
}
"""Whole schemas that no rule makes."""
IDS = {
    "TenantView": TENANT,
    "CreatedTenant": TENANT,
    "CustomerView": CUSTOMER,
    "KeyView": "key_01m82w3d9y7n5p1s8c2h6k4m0b",
    "CreatedKey": "key_01m82w3d9y7n5p1s8c2h6k4m0b",
    "PlatformKeyView": "key_01m82w3d9y7n5p1s8c2h6k4m0b",
    "CreatedPlatformKey": "key_01m82w3d9y7n5p1s8c2h6k4m0b",
    "AuditEntry": "aud_01m82wk1d4g6j8m0p2r5t7v9x1",
    "EventView": "evt_1SWfKZ2eZvKYlo2CmQ0X8n7a",
    "EventDetail": "evt_1SWfKZ2eZvKYlo2CmQ0X8n7a",
    "InvoiceView": "in_1SWfKZ2eZvKYlo2C",
    "PaymentMethodView": "pm_1SWfKZ2eZvKYlo2C",
    "SubscriptionsSubscriptionView": "sub_1SWfKZ2eZvKYlo2C",
    "JudgingSubscriptionView": "sub_1SWfKZ2eZvKYlo2C",
    "SubscriptionState": "sub_1SWfKZ2eZvKYlo2C",
    "ItemView": "si_TTbZ1a2b3c4d5e",
    "Endpoint": "nep_01m82w5f1q3r7t9v2x4z6b8d0g",
    "CreatedEndpoint": "nep_01m82w5f1q3r7t9v2x4z6b8d0g",
    "Override": "ovr_01m82w9k5v7x1z3b6d8g0j2m4p",
    "Recomputation": "rec_01m82wb1n3q5s7t9v2x4z6b8d0",
    "Import": "imp_01m82wd7r9t2v4x6z8b0d3g5j7",
    "CallView": "ext_01m82wf3x5z7b9d1g4j6m8p0r2",
    "VisitView": "pvi_01m82wh9z2b4d6g8j0m3p5r7t9",
    "CustomerRef": CUSTOMER,
}
"""What `id` is in each schema; elsewhere it is a notification's."""
KEYS = {
    "CreatedTenant": "col_tenant_4KqVw9ZrT2x8LmNp3sYd",
    "CreatedKey": "col_tenant_4KqVw9ZrT2x8LmNp3sYd",
    "CreatedPlatformKey": "col_platform_7BnXc2HqW5v9KtRm4eZa",
}
"""What `key` is where it is an API key."""

_CANCEL = {"enabled": True, "mode": "at_period_end"}
_CONFIGURATION = {
    "features": {"subscription_cancel": _CANCEL, "invoice_history": {"enabled": True}},
    "default_return_url": f"{SHOP}/account",
}
_PRICE = "price_1SWfKZ2eZvKYlo2C"
BODIES: dict[str, Any] = {
    "createTenant": {"name": "Fern", "country": "DE", "email": "owner@fern.example", "return_origins": [SHOP]},
    "changeTenant": {"application_fee_percent": None, "return_origins": [SHOP, "https://fern.example"]},
    "suspendTenant": {"reason": "Invoices are unpaid"},
    "createPlatformKey": {"name": "support desk", "role": "support"},
    "rotateKey": {"overlap": 86400},
    "rotatePlatformKey": {"overlap": 86400},
    "createAccountConnection": {"return_url": f"{SHOP}/connected"},
    "createKey": {"name": "checkout backend", "scopes": ["check"]},
    "createOnboardingLink": {"return_url": f"{SHOP}/onboarded"},
    "putBranding": {"name": "Fern", "primary_color": "#2f6f4e", "support_email": "help@fern.example"},
    "putPortalConfiguration": _CONFIGURATION,
    "planPortalConfiguration": _CONFIGURATION,
    "postPortalPreview": {"configuration": _CONFIGURATION, "branding": {"primary_color": "#2f6f4e"}},
    "createPortalSession": {"configuration": "main", "return_url": f"{SHOP}/account"},
    "previewPortalSession": {"configuration": "main"},
    "createPortalToken": {"return_url": f"{SHOP}/account"},
    "putPortalRules": {"rules": [{"configuration": "main", "countries": ["DE", "AT"]}]},
    "putFeature": {"kind": "limit", "name": "Places to watch", "unit": "places", "fallback": 1},
    "putPlan": {"name": "Pro", "price": _PRICE, "grants": [{"feature": "frost-alerts", "value": True}]},
    "putPolicy": {"grace": 7, "trials": True},
    "putCustomer": {"name": "Ada", "email": "ada@example.com", "metadata": {"seat": "12a"}},
    "createSubscription": {"price": _PRICE, "payment_method": "pm_card_visa"},
    "createCheckoutSession": {"items": [{"price": _PRICE}], "success_url": f"{SHOP}/welcome"},
    "createOverride": {
        "feature": "frost-alerts",
        "effect": "grant",
        "reason": "Makes up for the outage of 3 November",
        "author": "grace@fern.example",
        "ends_at": LATER,
    },
    "checkEntitlements": {"customers": ["ada", "bo"], "features": ["frost-alerts"]},
    "createEntitlementToken": {"audience": "https://api.shop.example", "lifetime_seconds": 300},
    "rotateSigningKey": {"compromised": False},
    "takeOverFeatures": {"dry_run": True, "prefix": "fern_"},
    "replayEvents": {"state": "dead", "from": NOW, "dry_run": True},
    "replayCalls": {"state": "dead"},
    "createImport": {"reference_key": "shop_user"},
    "createEndpoint": {"url": f"{SHOP}/hooks/colonnade", "types": ["entitlements.changed"]},
    "changeEndpoint": {"description": None, "state": "disabled"},
    "rollSecret": {"overlap_hours": 24},
    "replayNotifications": {"since": NOW, "failed": True},
}
"""Of request bodies, by operation; of one that is not here the required fields are shown."""
