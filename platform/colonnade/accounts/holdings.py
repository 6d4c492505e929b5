"""Everything that is held of a tenant, and of one of its customers: what export shows and removal takes away.

Both go by the tables themselves: a new table with a `tenant_id` is exported and emptied without a line here. Lines are
for exceptions, each with its reason.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, Table

import colonnade_tenants.tables
from colonnade.access.actors import told_sql
from colonnade.database import tables as platform

KEPT: Mapping[str, str] = {
    "tenant_states": "what became of the tenant, and on whose word: part of the tombstone",
    "removed_objects": "digests alone: they make stubs of late events",
    "audit_log": "append-only: who removed the tenant has to be known afterwards",
}
"""Tables that removal leaves alone."""

SIGNALS: Mapping[str, str] = {
    "notification_wakes": "a signal between processes, gone within seconds",
    "removed_objects": "digests of what was removed",
}
"""Tables that are not exported."""

WITHHELD: Mapping[tuple[str, str], str] = {
    ("tenants", "idempotency_key"): "a caller's secret may be in it",
    ("tenants", "fingerprint"): "a digest of a request",
    ("api_keys", "digest"): "a key could be tried against it",
    ("signing_keys", "private_key"): "who has it can sign tokens",
    ("notification_endpoints", "secrets"): "who has them can sign notifications",
    ("notification_endpoints", "idempotency_key"): "a caller's secret may be in it",
    ("entitlement_overrides", "idempotency_key"): "a caller's secret may be in it",
    ("entitlement_overrides", "fingerprint"): "a digest of a request",
    ("portal_visits", "fingerprint"): "a digest of a request",
    ("portal_visits", "browser"): "a digest of a browser's address",
    ("account_connections", "used"): "digests of Stripe's answers",
    ("account_connections", "idempotency_key"): "a caller's secret may be in it",
    ("inbox", "body"): "shown as `payload`, without URLs and secrets that open something",
    ("inbox", "error"): "a traceback: of the platform, not of the tenant",
}
"""Columns that are not exported."""

_ACTIONS = f"""
(select coalesce(jsonb_agg(a || jsonb_build_object('by', {told_sql("a->>'by'")}) order by n), '[]')
    from jsonb_array_elements(inbox.actions) with ordinality as e (a, n))
"""  # noqa: S608 - only our own names are put in
_BEGUN = "account_connections.begun_by"
_DRIFT = "portal_configurations.drift"
_RESOLVED = told_sql(f"{_DRIFT}->>'resolved_by'")

TO_TENANT: Mapping[tuple[str, str], str] = {
    **{
        (table, column): told_sql(f'{table}."{column}"')
        for table, column in (
            ("tenants", "state_by"),
            ("tenant_states", "by"),
            ("audit_log", "by_id"),
            ("portal_configuration_versions", "author"),
            ("portal_policies", "author"),
            ("portal_visits", "opened_by"),
            ("feature_versions", "author"),
            ("plan_versions", "author"),
            ("entitlement_policies", "author"),
            ("entitlement_overrides", "author_key"),
            ("entitlement_overrides", "revoked_by"),
        )
    },
    ("account_connections", "begun_by"): told_sql(f"{_BEGUN}->>'id'", _BEGUN),
    ("portal_configurations", "drift"): f"{_DRIFT} || jsonb_build_object('resolved_by', {_RESOLVED})",
    ("inbox", "actions"): _ACTIONS,
    ("inbox", "evidence"): "null::jsonb",
}
"""What a tenant gets of columns that name who acted, as SQL in which `$1` is the tenant. Of evidence it gets none:
other tenants may be in it."""


class Holding(NamedTuple):
    """A table with rows of tenants: the columns that are exported, and the key that orders a tenant's rows."""

    name: str
    own: str
    columns: tuple[str, ...]
    key: tuple[Column[Any], ...]

    @property
    def order(self) -> str:
        """The key's columns, as SQL."""
        return ", ".join(f'"{each.name}"' for each in self.key)


def _holding(table: Table) -> Holding:
    own = "id" if table.name == "tenants" else "tenant_id"
    columns = tuple(each.name for each in table.columns if (table.name, each.name) not in WITHHELD)
    return Holding(str(table.name), own, columns, tuple(each for each in table.primary_key if each.name != own))


def _holdings() -> Iterable[Holding]:
    for metadata in (platform.metadata, colonnade_tenants.tables.metadata):
        for table in metadata.sorted_tables:  # what is referred to comes first
            if table.name == "tenants" or "tenant_id" in table.columns:
                yield _holding(table)


HOLDINGS = tuple(_holdings())
EXPORTED = tuple(each for each in HOLDINGS if each.name not in SIGNALS)
EMPTIED = tuple(each for each in reversed(HOLDINGS) if each.name not in (*KEPT, "tenants"))
"""Who refers to others comes first, so that nothing is left referring to nothing."""

_NOTIFICATIONS = "select id from notifications where tenant_id = $1 and subject = $2"
_NAMED = """
(object_id = any ($3) or exists (
    select from jsonb_array_elements(coalesce(evidence, '[]')) e where e->>'key' = any ($3)
))
"""
OF_CUSTOMER: Mapping[str, str] = {
    **{each.name: "customer_id = $2" for each in EXPORTED if "customer_id" in each.columns},
    "customers": "id = $2",
    "subscription_items": "subscription in (select id from subscriptions where tenant_id = $1 and customer_id = $2)",
    "notifications": "subject = $2",
    "notification_counters": "subject = $2",
    "notification_deliveries": "subject = $2",
    "notification_attempts": f"notification in ({_NOTIFICATIONS})",
    "stripe_objects": "id = any ($3)",
    "inbox": _NAMED,
    "extension_calls": f"inbox_id in (select id from inbox where tenant_id = $1 and {_NAMED})",  # noqa: S608
}
"""Which rows are one customer's: `$1` is the tenant, `$2` the customer, `$3` what it has at Stripe (`qualified`)."""
