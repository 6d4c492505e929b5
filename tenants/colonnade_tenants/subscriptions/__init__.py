"""The mirror of Stripe's subscriptions: what Stripe said last, whatever order it was heard in."""

from colonnade_tenants.subscriptions.apply import apply
from colonnade_tenants.subscriptions.mirror import OF_CUSTOMER, Mirrored
from colonnade_tenants.subscriptions.snapshot import Subscription, decode

__all__ = ["OF_CUSTOMER", "Mirrored", "Subscription", "apply", "decode"]
