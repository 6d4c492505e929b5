"""What a tenant sells: features, plans that grant them to who subscribes to a price or product, and its policy."""

from colonnade_tenants.catalogue.affected import BATCH, Rest, Scope, recompute_batch
from colonnade_tenants.catalogue.features import Feature, delete_feature, get_feature, list_features, put_feature
from colonnade_tenants.catalogue.plans import (
    Grant,
    Plan,
    PlanVersion,
    delete_plan,
    get_plan,
    list_plan_versions,
    list_plans,
    put_plan,
)
from colonnade_tenants.catalogue.policy import Policy, get_policy, list_policies, put_policy

__all__ = [
    "BATCH",
    "Feature",
    "Grant",
    "Plan",
    "PlanVersion",
    "Policy",
    "Rest",
    "Scope",
    "delete_feature",
    "delete_plan",
    "get_feature",
    "get_plan",
    "get_policy",
    "list_features",
    "list_plan_versions",
    "list_plans",
    "list_policies",
    "put_feature",
    "put_plan",
    "put_policy",
    "recompute_batch",
]
