"""Flows: deep links into one step of the portal ("Deep links in the customer portal", Stripe documentation).

The fields are Stripe's, laid flat: `{"type": "subscription_cancel", "subscription": "sub_…"}`.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from colonnade.portals.settings import StripeId

Subscription = Annotated[str, Meta(pattern="^sub_[A-Za-z0-9_]{1,200}$")]


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a flow; an unknown field in one is refused."""


class HostedConfirmation(Part, tag_field="type", tag="hosted_confirmation", frozen=True, kw_only=True):
    """Stripe's page says that it is done, with *custom_message*."""

    custom_message: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class PortalHomepage(Part, tag_field="type", tag="portal_homepage", frozen=True, kw_only=True):
    """The customer goes on in the portal."""


class RedirectAfter(Part, tag_field="type", tag="redirect", frozen=True, kw_only=True):
    """The customer is sent to *return_url*, only once it is done."""

    return_url: Annotated[str, Meta(max_length=2000)]


AfterCompletion = HostedConfirmation | PortalHomepage | RedirectAfter


class Flow(Part, tag_field="type", frozen=True, kw_only=True):
    """*after_completion* left out is the portal's home page."""

    after_completion: AfterCompletion | None = None


class CustomerUpdate(Flow, tag="customer_update", frozen=True, kw_only=True):
    """Change one's own details."""


class PaymentMethodUpdate(Flow, tag="payment_method_update", frozen=True, kw_only=True):
    """Add a payment method and make it the default."""


class SubscriptionPause(Flow, tag="subscription_pause", frozen=True, kw_only=True):
    """Pause a subscription."""

    subscription: Subscription


class SubscriptionUpdate(Flow, tag="subscription_update", frozen=True, kw_only=True):
    """Choose another price or quantity."""

    subscription: Subscription


class SubscriptionCancel(Flow, tag="subscription_cancel", frozen=True, kw_only=True):
    """Cancel a subscription; *coupon* is offered to those who stay."""

    subscription: Subscription
    coupon: StripeId | None = None


class Change(Part, frozen=True, kw_only=True):
    """What becomes of one item (`si_…`)."""

    id: StripeId
    price: StripeId | None = None
    quantity: Annotated[int, Meta(ge=0)] | None = None


class Discount(Part, frozen=True, kw_only=True):
    """A coupon or a promotion code."""

    coupon: StripeId | None = None
    promotion_code: StripeId | None = None


class SubscriptionUpdateConfirm(Flow, tag="subscription_update_confirm", frozen=True, kw_only=True):
    """Confirm one change that the caller chose."""

    subscription: Subscription
    items: Annotated[list[Change], Meta(min_length=1, max_length=1)]
    discounts: Annotated[list[Discount], Meta(max_length=1)] = []


AnyFlow = (
    CustomerUpdate
    | PaymentMethodUpdate
    | SubscriptionPause
    | SubscriptionUpdate
    | SubscriptionCancel
    | SubscriptionUpdateConfirm
)


def flow_data(flow: AnyFlow) -> dict[str, Any]:
    """*flow* as Stripe takes it."""
    fields = msgspec.to_builtins(flow)
    kind, after = fields.pop("type"), fields.pop("after_completion", None)
    if coupon := fields.pop("coupon", None):
        fields["retention"] = {"type": "coupon_offer", "coupon_offer": {"coupon": coupon}}
    form: dict[str, Any] = {"type": kind, kind: fields} if fields else {"type": kind}
    if after is not None:
        name = after.pop("type")
        form["after_completion"] = {"type": name, name: after} if after else {"type": name}
    return form


def as_ours(param: str) -> str:
    """Stripe's path of a field as ours: `flow_data.subscription_cancel.subscription` is `flow.subscription`."""
    first, _, rest = param.partition(".")
    kind, _, field = rest.partition(".")
    if first != "flow_data":
        return param
    return f"flow.{field}" if kind in _KINDS and field else f"flow.{rest}"


_KINDS = frozenset(kind.__struct_config__.tag for kind in AnyFlow.__args__)
