"""Who may reach what. A grant or policy that is not here turns `test_catalogue` red; so does one that is missing.

Tenant tables need no line: `app`, `worker` and `platform` do everything in them, as one tenant.
"""

from typing import NamedTuple

from colonnade.database.roles import Duty

CRUD = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
SELECT = frozenset({"SELECT"})
INSERT = frozenset({"INSERT"})


class Access(NamedTuple):
    """The commands granted, and the command (or ALL) whose policy lets the duty reach every tenant's rows."""

    granted: frozenset[str]
    across: str | None = None

    def may(self, command: str, *, own: bool) -> bool:
        return command in self.granted and (own or self.across in (command, "ALL"))


AS_ONE_TENANT = {duty: Access(CRUD) for duty in (Duty.APP, Duty.WORKER, Duty.PLATFORM)}
EVERYTHING = Access(CRUD, across="ALL")

PLATFORM_TABLES = {
    "tenants": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(SELECT),
        Duty.WORKER: Access(SELECT | {"UPDATE"}, across="SELECT"),
    },
    "tenant_states": {Duty.PLATFORM: EVERYTHING, Duty.WORKER: Access(SELECT | INSERT)},
    "former_accounts": {Duty.PLATFORM: EVERYTHING, Duty.WORKER: Access(SELECT, across="SELECT")},
    "removed_objects": {Duty.PLATFORM: EVERYTHING, Duty.WORKER: Access(SELECT, across="SELECT")},
    "tenant_readiness": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(SELECT | INSERT | {"UPDATE"}),
        Duty.WORKER: Access(SELECT | INSERT | {"UPDATE"}),
    },
    "readiness_changes": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(SELECT | INSERT),
        Duty.WORKER: Access(SELECT | INSERT),
    },
    "account_connections": {Duty.PLATFORM: EVERYTHING},
    "branding": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(CRUD),
        Duty.WORKER: Access(SELECT | {"UPDATE"}, across="SELECT"),
    },
    "branding_images": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(CRUD),
        Duty.WORKER: Access(SELECT | {"UPDATE"}),
    },
    "portal_configurations": {Duty.PLATFORM: EVERYTHING, Duty.APP: Access(CRUD), Duty.WORKER: Access(SELECT)},
    "portal_configuration_versions": {Duty.PLATFORM: EVERYTHING, Duty.APP: Access(SELECT | INSERT | {"DELETE"})},
    "portal_work": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(CRUD),
        Duty.WORKER: Access(SELECT | {"UPDATE"}, across="ALL"),
    },
    "portal_policies": {Duty.PLATFORM: EVERYTHING, Duty.APP: Access(CRUD)},
    "portal_rules": {Duty.PLATFORM: EVERYTHING, Duty.APP: Access(CRUD)},
    "stripe_objects": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(SELECT | INSERT),
        Duty.WORKER: Access(SELECT | INSERT, across="SELECT"),
    },
    "audit_log": {
        Duty.PLATFORM: Access(SELECT | INSERT, across="ALL"),
        Duty.APP: Access(SELECT | INSERT),
        Duty.WORKER: Access(SELECT | INSERT),
    },
    "api_keys": {Duty.PLATFORM: EVERYTHING},
    "plan_objects": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(SELECT | INSERT | frozenset({"DELETE"})),
        Duty.WORKER: Access(SELECT, across="SELECT"),
    },
    "recomputations": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(SELECT | INSERT),
        Duty.WORKER: Access(SELECT | {"UPDATE"}, across="ALL"),
    },
    "entitlement_clocks": {
        Duty.PLATFORM: EVERYTHING,
        Duty.WORKER: Access(SELECT | INSERT | {"UPDATE"}, across="ALL"),
    },
    "extension_calls": {
        Duty.PLATFORM: EVERYTHING,
        Duty.WORKER: Access(SELECT | INSERT | {"UPDATE"}, across="ALL"),
    },
    "inbox": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(SELECT),
        Duty.WORKER: Access(SELECT | {"UPDATE", "DELETE"}, across="ALL"),
        Duty.INGEST: Access(INSERT, across="INSERT"),
    },
    "sweeps": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(SELECT),
        Duty.WORKER: Access(SELECT | INSERT | {"UPDATE"}, across="ALL"),
    },
    "notification_endpoints": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(CRUD),
        Duty.WORKER: Access(SELECT | {"UPDATE"}, across="ALL"),
    },
    "notification_wakes": {
        Duty.PLATFORM: EVERYTHING,
        Duty.APP: Access(INSERT),
        Duty.WORKER: EVERYTHING,
    },
    "signing_keys": {Duty.PLATFORM: EVERYTHING, Duty.APP: Access(CRUD)},
    "imports": {
        Duty.PLATFORM: EVERYTHING,
        Duty.WORKER: Access(SELECT | INSERT | {"UPDATE"}, across="ALL"),
    },
}

# Tables that hold nothing of any tenant.
COMMON_TABLES = {
    "alembic_version": {duty: Access(SELECT) for duty in (Duty.APP, Duty.PLATFORM, Duty.WORKER)},
    "platform_account": {duty: Access(SELECT | INSERT) for duty in (Duty.PLATFORM, Duty.WORKER)},
    "webhook_endpoints": {Duty.PLATFORM: Access(CRUD)},
    "webhook_failures": {Duty.PLATFORM: Access(CRUD)},
}

# As PostgreSQL prints it; `{column}` is what tells tenants apart.
TENANT_IS_SET = "({column} = (NULLIF(current_setting('colonnade.tenant'::text, true), ''::text))::bigint)"
