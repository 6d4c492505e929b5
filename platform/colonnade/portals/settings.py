"""A portal configuration as a tenant writes it: every setting of Stripe's, with its default spelled out.

What is left out is off, so that two bodies which mean the same are the same. Source of fields and limits: Stripe API
reference, "The portal configuration object", "Create a portal configuration".
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Url = Annotated[str, Meta(min_length=1, max_length=2000)]
StripeId = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,255}$")]
"""An id of Stripe's; those of products may be of the account's own choosing."""
Quantity = Annotated[int, Meta(ge=0, le=999_999)]


class Setting(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a configuration; an unknown field in one is refused."""


class BusinessProfile(Setting, frozen=True, kw_only=True):
    """The portal's headline and legal links; links left out are those of the tenant's branding."""

    headline: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    privacy_policy_url: Url | None = None
    terms_of_service_url: Url | None = None


class Switch(Setting, frozen=True, kw_only=True):
    """A feature with nothing to it but on or off."""

    enabled: bool


class CustomerUpdate(Setting, frozen=True, kw_only=True):
    """Which of their own details customers may change."""

    enabled: bool
    allowed_updates: tuple[Literal["address", "email", "name", "phone", "shipping", "tax_id"], ...] = ()


class PaymentMethodUpdate(Setting, frozen=True, kw_only=True):
    """Whether customers may add and remove payment methods, of the kinds in *payment_method_configuration*."""

    enabled: bool
    payment_method_configuration: StripeId | None = None


class CancellationReason(Setting, frozen=True, kw_only=True):
    """The reasons offered to those who cancel; *feedback_options* are the tenant's own, by Stripe's ids."""

    enabled: bool
    options: tuple[
        Literal[
            "customer_service",
            "low_quality",
            "missing_features",
            "other",
            "switched_service",
            "too_complex",
            "too_expensive",
            "unused",
        ],
        ...,
    ] = ()
    feedback_options: tuple[StripeId, ...] = ()


class SubscriptionCancel(Setting, frozen=True, kw_only=True):
    """Whether customers may cancel, when it takes effect, and whether unused time is credited."""

    enabled: bool
    mode: Literal["at_period_end", "immediately"] = "at_period_end"
    # Stripe's list has `always_invoice` as well, and refuses it here.
    proration_behavior: Literal["none", "create_prorations"] = "none"
    cancellation_reason: CancellationReason = CancellationReason(enabled=False)


class Interval(Setting, frozen=True, kw_only=True):
    """A length of time that a pause may have."""

    interval: Literal["day", "week", "month", "year"]
    interval_count: Annotated[int, Meta(ge=1, le=1100)] = 1


class PauseDuration(Setting, frozen=True, kw_only=True):
    """For how long a subscription may be paused."""

    type: Literal["indefinite", "interval_options"]
    interval_options: tuple[Interval, ...] = ()


class SubscriptionPause(Setting, frozen=True, kw_only=True):
    """Whether customers may pause a subscription, and for how long: a month, where nothing is said."""

    enabled: bool
    duration: PauseDuration = PauseDuration(type="interval_options", interval_options=(Interval(interval="month"),))


class AdjustableQuantity(Setting, frozen=True, kw_only=True):
    """Whether the quantity may be changed, and between which bounds."""

    enabled: bool
    minimum: Quantity | None = None
    maximum: Quantity | None = None


class PortalProduct(Setting, frozen=True, kw_only=True):
    """A product and its prices that customers may switch to. A *plan* of ours stands for its price or product.

    Plans of one product are one product to Stripe, which takes ten.
    """

    product: StripeId | None = None
    plan: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    prices: Annotated[tuple[StripeId, ...], Meta(max_length=100)] = ()
    adjustable_quantity: AdjustableQuantity | None = None


class Condition(Setting, frozen=True, kw_only=True):
    """A change that waits for the period's end."""

    type: Literal["decreasing_item_amount", "shortening_interval"]


class ScheduleAtPeriodEnd(Setting, frozen=True, kw_only=True):
    """Which changes wait for the period's end."""

    conditions: tuple[Condition, ...] = ()


class SubscriptionUpdate(Setting, frozen=True, kw_only=True):
    """Whether customers may switch price or quantity, or enter a promotion code, and how that is billed."""

    enabled: bool
    default_allowed_updates: tuple[Literal["price", "promotion_code", "quantity"], ...] = ()
    products: Annotated[tuple[PortalProduct, ...], Meta(max_length=100)] = ()
    proration_behavior: Literal["none", "create_prorations", "always_invoice"] = "none"
    billing_cycle_anchor: Literal["now", "unchanged"] = "unchanged"
    schedule_at_period_end: ScheduleAtPeriodEnd = ScheduleAtPeriodEnd()
    trial_update_behavior: Literal["continue_trial", "end_trial"] = "end_trial"


class Features(Setting, frozen=True, kw_only=True):
    """What customers may do; a feature left out is off."""

    customer_update: CustomerUpdate = CustomerUpdate(enabled=False)
    invoice_history: Switch = Switch(enabled=False)
    payment_method_update: PaymentMethodUpdate = PaymentMethodUpdate(enabled=False)
    subscription_cancel: SubscriptionCancel = SubscriptionCancel(enabled=False)
    subscription_pause: SubscriptionPause = SubscriptionPause(enabled=False)
    subscription_update: SubscriptionUpdate = SubscriptionUpdate(enabled=False)


class PortalSettings(Setting, frozen=True, kw_only=True):
    """The desired state of one configuration."""

    features: Features
    business_profile: BusinessProfile = BusinessProfile()
    default_return_url: Url | None = None
    login_page: Switch = Switch(enabled=False)
    metadata: dict[str, str] = {}
