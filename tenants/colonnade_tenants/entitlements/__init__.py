"""What a customer may use, and how much of it: computed from subscriptions and plans, stored, checked."""

from colonnade_tenants.entitlements.check import CheckedEntitlement, CheckResult, check
from colonnade_tenants.entitlements.compute import compute
from colonnade_tenants.entitlements.model import Entitlement, Facts, Policy
from colonnade_tenants.entitlements.store import Change, recompute

__all__ = [
    "Change",
    "CheckResult",
    "CheckedEntitlement",
    "Entitlement",
    "Facts",
    "Policy",
    "check",
    "compute",
    "recompute",
]
