"""What each route that may change something is called in the audit log, by its handler's name.

A route that is in neither table is logged under its handler's name, and a test that walks the routes turns red.
"""

ACTIONS = {
    "create_key": "key.created",
    "rotate_key": "key.rotated",
    "revoke_key": "key.revoked",
    "create_platform_key": "key.created",
    "rotate_platform_key": "key.rotated",
    "revoke_platform_key": "key.revoked",
    "create_tenant": "tenant.created",
    "change_tenant": "tenant.changed",
    "suspend_tenant": "tenant.suspended",
    "resume_tenant": "tenant.resumed",
    "archive_tenant": "tenant.archived",
    "restore_tenant": "tenant.restored",
    "reconnect_tenant": "tenant.reconnected",
    "put_closed_checks": "tenant.closed_checks_changed",
    "delete_tenant": "tenant.deleted",
    "create_onboarding_link": "onboarding_link.created",
    "create_account_session": "account_session.created",
    "create_login_link": "login_link.created",
    "create_account_connection": "account_connection.created",
    "put_branding": "branding.changed",
    "push_branding": "branding.pushed",
    "put_branding_image": "branding_image.changed",
    "delete_branding_image": "branding_image.deleted",
    "put_portal_configuration": "portal_configuration.changed",
    "apply_portal_configuration": "portal_configuration.applied",
    "roll_back_portal_configuration": "portal_configuration.rolled_back",
    "deactivate_portal_configuration": "portal_configuration.deactivated",
    "check_portal_configuration": "portal_configuration.checked",
    "adopt_portal_configuration": "portal_configuration.adopted",
    "revert_portal_configuration": "portal_configuration.reverted",
    "put_portal_policy": "portal_policy.changed",
    "put_portal_rules": "portal_rules.changed",
    "put_feature": "feature.changed",
    "delete_feature": "feature.deleted",
    "put_plan": "plan.changed",
    "delete_plan": "plan.deleted",
    "put_policy": "policy.changed",
    "put_customer": "customer.changed",
    "delete_customer": "customer.deleted",
    "create_subscription": "subscription.created",
    "create_checkout_session": "checkout_session.created",
    "create_override": "override.created",
    "revoke_override": "override.revoked",
    "rotate_signing_key": "signing_key.rotated",
    "take_over_features": "features.taken_over",
    "replay_events": "events.replayed",
    "replay_event": "event.replayed",
    "release_event": "event.released",
    "ignore_event": "event.ignored",
    "replay_calls": "extension_calls.replayed",
    "replay_call": "extension_call.replayed",
    "create_import": "import.started",
    "create_endpoint": "notification_endpoint.created",
    "change_endpoint": "notification_endpoint.changed",
    "delete_endpoint": "notification_endpoint.deleted",
    "roll_secret": "notification_endpoint.secret_rolled",
    "ping_endpoint": "notification_endpoint.pinged",
    "replay_notifications": "notifications.replayed",
}

UNLOGGED = {
    "check_entitlements": "it asks",
    "plan_portal_configuration": "it asks",
    "post_portal_preview": "it asks",
    "preview_portal_session": "it asks",
    "create_portal_session": "it is kept as a visit, with the key that opened it",
    "create_portal_token": "good for minutes, and the visit that it opens is kept",
    "create_entitlement_token": "it asks: the answer is signed",
}
"""Those that need no line, and why."""

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


def action_of(method: str, handler: str) -> str | None:
    """What a request to the route of *handler* is called; None: it is not logged."""
    if method in READING or handler in UNLOGGED:
        return None
    return ACTIONS.get(handler, handler)
