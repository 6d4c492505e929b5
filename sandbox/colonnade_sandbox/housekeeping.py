"""Forgetting: without it a long-lived demo would keep every answer and every link it ever gave."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from colonnade_sandbox.sandbox import Sandbox

HOUR = 3600
# Seconds after which each kind is forgotten: keys after a day, events after the 30 days that Stripe lists; a portal
# session may be logged in to again long after it has expired.
KEPT = {
    "_idempotency": 24 * HOUR,
    "_account_link": 24 * HOUR,
    "_portal_session": 30 * 24 * HOUR,
    "event": 30 * 24 * HOUR,
    "v2.core.event": 30 * 24 * HOUR,
}


def prune(sandbox: "Sandbox") -> None:
    now = sandbox.clock.now()
    with sandbox.store.transaction():
        for kind, kept in KEPT.items():
            for account, value in sandbox.store.everywhere(kind):
                if int(value.get("_created") or value["created"]) < now - kept:
                    sandbox.store.delete(account, kind, value["id"])
