"""What a customer may use, and how much of it: computed from subscriptions and plans, stored, checked."""

from colonnade_tenants.entitlements.check import CheckedEntitlement, CheckResult, check
from colonnade_tenants.entitlements.compute import Entitlement, Policy, compute
from colonnade_tenants.entitlements.rows import Change
from colonnade_tenants.entitlements.store import recompute

__all__ = ["Change", "CheckResult", "CheckedEntitlement", "Entitlement", "Policy", "check", "compute", "recompute"]
