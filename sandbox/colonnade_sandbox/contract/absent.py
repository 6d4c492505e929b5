"""Fields that Stripe leaves out, rather than sending null, when they have no value.

The Python SDK spells both `Optional`; this table is the difference, as the API reference tells it. A key is
an object name followed by the path inside it; `ALL` means every optional field there.
"""

ALL = frozenset({"*"})

ABSENT: dict[str, frozenset[str]] = {
    "account": frozenset({"company", "groups", "individual"}),
    "account.business_profile": frozenset({"annual_revenue", "estimated_worker_count", "monthly_estimated_revenue"}),
    "account.capabilities": ALL,
    "account.company": ALL,
    "account.controller": ALL,
    "account.individual": ALL,
    "account.settings": frozenset({"bacs_debit_payments", "paypay_payments", "treasury"}),
    "account.settings.card_issuing": ALL,
    "account.settings.card_issuing.tos_acceptance": frozenset({"user_agent"}),
    "account.settings.card_payments": frozenset({"decline_on"}),
    "account.settings.payouts.schedule": ALL,
    "account.settings.sepa_debit_payments": ALL,
    "account.tos_acceptance": ALL,
    "billing_portal.configuration.features.subscription_update": frozenset({"products"}),
    "billing_portal.session": frozenset({"after_expiration"}),
    "billing_portal.session.flow.subscription_update_confirm.items": frozenset({"quantity"}),
    "checkout.session": frozenset(
        {
            "branding_settings",
            "excluded_payment_method_types",
            "line_items",
            "name_collection",
            "phone_number_collection",
        }
        | {"presentment_details", "redirect_on_completion", "return_url", "tax_id_collection"}
    ),
    "checkout.session.payment_method_options": ALL,
    "checkout.session.total_details": frozenset({"breakdown"}),
    "coupon": frozenset({"applies_to", "currency_options"}),
    "customer": frozenset(
        {"business_name", "cash_balance", "individual_name", "invoice_credit_balance", "sources", "subscriptions"}
        | {"tax", "tax_ids"}
    ),
    "customer.shipping": ALL,
    "card": frozenset({"description", "iin", "issuer", "networks"}),
    "event": frozenset({"account", "context"}),
    "event.data": frozenset({"previous_attributes"}),
    "invoice": frozenset({"amount_paid_off_stripe", "confirmation_secret", "payments", "status_details"})
    | {"threshold_reason"},
    "invoice.automatic_tax.liability": frozenset({"account"}),
    "invoice.customer_shipping": ALL,
    "invoice.issuer": frozenset({"account"}),
    "invoice.parent.subscription_details": frozenset({"subscription_proration_date"}),
    "invoice_payment.payment": frozenset({"charge", "payment_record"}),
    "invoiceitem": frozenset({"frozen_fields", "invoicing_rules", "net_amount", "proration_details"}),
    "item": frozenset({"discounts", "taxes"}),
    "line_item.pricing": frozenset({"price_details"}),
    "payment_method": ALL,
    "payment_method.card": frozenset({"description", "iin", "issuer"}),
    "person": frozenset(
        {"additional_tos_acceptances", "address_kana", "address_kanji", "first_name_kana", "first_name_kanji"}
        | {"full_name_aliases", "gender", "id_number_secondary_provided", "last_name_kana", "last_name_kanji"}
        | {"maiden_name", "nationality", "political_exposure", "registered_address", "us_cfpb_data"}
    ),
    "plan": frozenset({"tiers"}),
    "price": frozenset({"currency_options", "tiers"}),
    "price.currency_options": frozenset({"tiers"}),
    "product.marketing_features": ALL,
    "promotion_code.restrictions": frozenset({"currency_options"}),
    "setup_intent": frozenset({"attach_to_self"}),
    "setup_intent.last_setup_error": ALL,
    "subscription": frozenset({"presentment_details", "status_details"}),
    "subscription.automatic_tax.liability": frozenset({"account"}),
    "subscription.billing_mode": frozenset({"updated_at"}),
    "subscription.billing_mode.flexible": ALL,
    "subscription.invoice_settings.issuer": frozenset({"account"}),
    "subscription_item": frozenset({"billed_until", "quantity"}),
    "subscription_schedule.billing_mode": frozenset({"updated_at"}),
    "subscription_schedule.default_settings": frozenset({"automatic_tax"}),
    "subscription_schedule.default_settings.invoice_settings.issuer": frozenset({"account"}),
    "subscription_schedule.phases": frozenset({"automatic_tax", "trial"}),
    "tax_id.owner": frozenset({"account", "application", "customer"}),
    "test_helpers.test_clock.status_details": frozenset({"advancing"}),
    "webhook_endpoint": frozenset({"secret"}),
    "v2.core.account.requirements.entries": frozenset({"reference"}),
}

# Null, all the same, where everything else optional is left out.
PRESENT: dict[str, frozenset[str]] = {"payment_method": frozenset({"customer", "customer_account", "metadata"})}

# Left out of every reply unless `expand` names them, although the sandbox keeps their value.
INCLUDABLE: dict[str, tuple[str, ...]] = {
    "billing_portal.configuration": ("features.subscription_update.products",),
    "coupon": ("applies_to", "currency_options"),
    "item": ("price.currency_options", "price.tiers"),
    "price": ("currency_options", "tiers"),
    "promotion_code": ("restrictions.currency_options",),
    "subscription": ("items.data.price.currency_options", "items.data.price.tiers"),
    "subscription_item": ("price.currency_options", "price.tiers"),
}


def left_out(path: str, field: str) -> bool:
    names = ABSENT.get(path, frozenset())
    if field == "deleted" or field in names:
        return True
    return names == ALL and field not in PRESENT.get(path, frozenset())
