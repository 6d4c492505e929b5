"""What a customer may use, and how much of it: computed from subscriptions and plans, stored, checked."""

from colonnade_tenants.entitlements.check import CheckedEntitlement, CheckResult, check
from colonnade_tenants.entitlements.compute import compute
from colonnade_tenants.entitlements.model import Entitlement, Facts, Policy
from colonnade_tenants.entitlements.rows import Change
from colonnade_tenants.entitlements.store import recompute, recompute_many

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
    "recompute_many",
]
