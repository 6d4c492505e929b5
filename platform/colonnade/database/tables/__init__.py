"""The platform tables: one each, unpartitioned; row-level security on every one that tells tenants apart.

Each noun's are in a module; whoever imports one of them has `metadata` whole.
"""

from colonnade.database.tables.access import api_keys, audit_log, signing_keys
from colonnade.database.tables.accounts import (
    account_connections,
    former_accounts,
    readiness_changes,
    removed_objects,
    tenant_readiness,
    tenant_states,
    tenants,
)
from colonnade.database.tables.catalogue import entitlement_clocks, plan_objects, recomputations
from colonnade.database.tables.columns import metadata
from colonnade.database.tables.imports import imports
from colonnade.database.tables.notifications import notification_endpoints, notification_wakes
from colonnade.database.tables.portals import (
    branding,
    branding_images,
    portal_configuration_versions,
    portal_configurations,
    portal_policies,
    portal_rules,
    portal_work,
)
from colonnade.database.tables.webhooks import (
    extension_calls,
    inbox,
    platform_account,
    stripe_objects,
    sweeps,
    webhook_endpoints,
    webhook_failures,
)

__all__ = [
    "account_connections",
    "api_keys",
    "audit_log",
    "branding",
    "branding_images",
    "entitlement_clocks",
    "extension_calls",
    "former_accounts",
    "imports",
    "inbox",
    "metadata",
    "notification_endpoints",
    "notification_wakes",
    "plan_objects",
    "platform_account",
    "portal_configuration_versions",
    "portal_configurations",
    "portal_policies",
    "portal_rules",
    "portal_work",
    "readiness_changes",
    "recomputations",
    "removed_objects",
    "signing_keys",
    "stripe_objects",
    "sweeps",
    "tenant_readiness",
    "tenant_states",
    "tenants",
    "webhook_endpoints",
    "webhook_failures",
]
