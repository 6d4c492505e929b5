"""What a tenant sells: features, and plans that grant them to whoever subscribes to a price or product."""

from colonnade_tenants.catalogue.features import Feature, delete_feature, get_feature, list_features, put_feature
from colonnade_tenants.catalogue.plans import Grant, Plan, delete_plan, get_plan, list_plans, put_plan

__all__ = [
    "Feature",
    "Grant",
    "Plan",
    "delete_feature",
    "delete_plan",
    "get_feature",
    "get_plan",
    "list_features",
    "list_plans",
    "put_feature",
    "put_plan",
]
