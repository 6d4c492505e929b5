"""What must hold in a portal configuration beyond the types of its fields, found before Stripe is asked."""

from collections.abc import Iterator

from colonnade.access.guard import Tenant
from colonnade.errors import Invalid
from colonnade.portals.settings import PortalProduct, PortalSettings, SubscriptionUpdate
from colonnade.stripe_api.charges import ChargeType
from colonnade.web import allowed_url, origin
from colonnade_tenants import values

RESERVED = frozenset({"colonnade_tenant", "colonnade_configuration", "colonnade_version"})
"""Metadata keys that are ours."""

LONGEST_PAUSE = {"day": 1096, "week": 156, "month": 36, "year": 3}
"""Three years in each interval (Stripe API reference, "Create a portal configuration")."""
MOST_PRODUCTS = 10

Rule = tuple[bool, str, str]
"""Whether it is broken, the field, and the sentence to say."""


def checked(settings: PortalSettings, tenant: Tenant) -> PortalSettings:
    """*settings* as they are, if nothing is wrong with them. Raises `Invalid`, naming the first field that is."""
    if settings.default_return_url is not None:
        allowed_url(settings.default_return_url, tenant.return_origins, "default_return_url")
    for name in ("privacy_policy_url", "terms_of_service_url"):
        if url := getattr(settings.business_profile, name):
            origin(url, f"business_profile.{name}")
    values.text(settings.business_profile.headline, "business_profile.headline", 60)
    values.metadata(settings.metadata)
    for broken, param, sentence in _rules(settings, tenant.charge_type):
        if broken:
            raise Invalid(sentence, param)
    return settings


def _rules(settings: PortalSettings, charge_type: ChargeType) -> Iterator[Rule]:
    # That page shows the platform's brand, and every tenant's subscriptions to whoever has the same e-mail address.
    shared = charge_type is not ChargeType.DIRECT
    yield settings.login_page.enabled and shared, "login_page.enabled", "It works only with direct charges."
    yield len(settings.metadata) > 50 - len(RESERVED), "metadata", f"At most {50 - len(RESERVED)} keys."
    for key in RESERVED & settings.metadata.keys():
        yield True, f"metadata.{key}", "This key is set by Colonnade."
    features = settings.features
    details = features.customer_update
    yield details.enabled and not details.allowed_updates, "features.customer_update.allowed_updates", "Name one."
    cancel = features.subscription_cancel
    reason, path = cancel.cancellation_reason, "features.subscription_cancel"
    yield (
        cancel.mode == "at_period_end" and cancel.proration_behavior != "none",
        f"{path}.proration_behavior",
        "Nothing is left to credit at the period's end: use `none`, or mode `immediately`.",
    )
    yield reason.enabled and not reason.options, f"{path}.cancellation_reason.options", "Name one."
    duration, path = features.subscription_pause.duration, "features.subscription_pause.duration.interval_options"
    wanted = duration.type == "interval_options"
    yield wanted != bool(duration.interval_options), path, "Give them with type `interval_options`, and only then."
    for index, option in enumerate(duration.interval_options):
        long = option.interval_count > LONGEST_PAUSE[option.interval]
        yield long, f"{path}[{index}].interval_count", "A pause lasts at most three years."
    yield from _update_rules(features.subscription_update)


def _update_rules(update: SubscriptionUpdate) -> Iterator[Rule]:
    path, allowed = "features.subscription_update", update.default_allowed_updates
    yield update.enabled and not allowed, f"{path}.default_allowed_updates", "Name one."
    needed = update.enabled and bool({"price", "quantity"} & {*allowed})
    yield needed and not update.products, f"{path}.products", "Price and quantity change only among listed products."
    named = {product.product for product in update.products} - {None}
    yield len(named) > MOST_PRODUCTS, f"{path}.products", f"At most {MOST_PRODUCTS} products; {len(named)} are named."
    seen: set[str] = set()
    for index, product in enumerate(update.products):
        yield from _product_rules(product, f"{path}.products[{index}]")
        name = product.product or product.plan or ""
        yield name in seen, f"{path}.products[{index}]", f"{name!r} is listed twice."
        seen.add(name)


def _product_rules(product: PortalProduct, path: str) -> Iterator[Rule]:
    yield (product.product is None) == (product.plan is None), f"{path}.product", "Name a product or a plan."
    yield product.product is not None and not product.prices, f"{path}.prices", "Name one."
    yield len(set(product.prices)) < len(product.prices), f"{path}.prices", "A price is listed twice."
    quantity = product.adjustable_quantity
    if quantity is not None and quantity.maximum is not None:
        small = quantity.maximum < max(quantity.minimum or 0, 1)
        yield small, f"{path}.adjustable_quantity.maximum", "It is less than the minimum."
