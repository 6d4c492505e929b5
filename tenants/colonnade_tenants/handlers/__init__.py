"""The routing table: which event types act, and why. What Stripe is asked to send is derived from it."""

from collections.abc import Awaitable, Callable

from colonnade_tenants.billing import details, invoices, payment_methods, portal, schedules
from colonnade_tenants.billing.stripe_entitlements import summary_changed
from colonnade_tenants.events import Event
from colonnade_tenants.handlers.accounts import (
    account_connected,
    account_disconnected,
    account_updated,
    capability_updated,
    external_account_changed,
    person_changed,
)
from colonnade_tenants.handlers.subscriptions import checkout_completed, subscription_changed
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe

__all__ = ["HANDLERS", "Event", "Handler"]

Handler = Callable[[Event, TenantConnection, TenantStripe], Awaitable[None]]
"""Called in a transaction that also marks the event as done. What it raises rolls back its effects and is retried."""


async def recorded(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Nothing but the inbox's row, which says whose it is: for people, and for handlers of the operator's own."""


HANDLERS: dict[str, Handler] = {
    # Access.
    "customer.subscription.created": subscription_changed,  # grants at once if the first payment is done or trialing
    "customer.subscription.updated": subscription_changed,  # plan, quantity, status, cancellation set or taken back
    "customer.subscription.deleted": subscription_changed,  # ended; an immediate cancellation sends this alone
    "customer.subscription.paused": subscription_changed,  # status `paused` does not grant
    "customer.subscription.resumed": subscription_changed,  # and now it does again
    "customer.subscription.trial_will_end": subscription_changed,  # a snapshot too; also sent when a trial ends early
    "customer.subscription.pending_update_applied": subscription_changed,  # paid: the items have changed
    "customer.subscription.pending_update_expired": subscription_changed,  # not paid: they stay as they are
    "checkout.session.completed": checkout_completed,  # a first purchase: whose the new Stripe customer is
    "entitlements.active_entitlement_summary.updated": summary_changed,  # Stripe's own view, to compare ours with
    # What a subscription is going to change to.
    "subscription_schedule.created": schedules.schedule_changed,  # the portal deferred a downgrade
    "subscription_schedule.updated": schedules.schedule_changed,  # another phase, or the next one began
    "subscription_schedule.expiring": schedules.schedule_changed,  # a week before its last phase ends
    "subscription_schedule.completed": schedules.schedule_changed,  # nothing is pending any more
    "subscription_schedule.released": schedules.schedule_changed,  # the customer took the change back
    "subscription_schedule.canceled": schedules.schedule_changed,  # and the subscription with it
    "subscription_schedule.aborted": schedules.schedule_changed,  # the subscription ended unpaid
    # Billing data.
    "customer.created": details.customer_changed,  # made by us, by Checkout, or in the Dashboard
    "customer.updated": details.customer_changed,  # address, e-mail, default payment method, edited in the portal
    "customer.deleted": details.customer_deleted,  # its subscriptions end by events of their own
    "customer.tax_id.created": details.tax_id_changed,  # not verified yet
    "customer.tax_id.updated": details.tax_id_changed,  # the result of its verification
    "customer.tax_id.deleted": details.tax_id_deleted,  # removed in the portal
    "customer.discount.created": recorded,  # a retention coupon was taken; prices are Stripe's to compute
    "customer.discount.updated": recorded,  # it was swapped
    "customer.discount.deleted": recorded,  # it ran out, or was removed
    "payment_method.attached": payment_methods.payment_method_changed,  # added in the portal
    "payment_method.updated": payment_methods.payment_method_changed,  # the customer gave a new expiry
    "payment_method.automatically_updated": payment_methods.payment_method_changed,  # the card network did
    "payment_method.detached": payment_methods.payment_method_changed,  # removed; it names its customer as previous
    # Invoices. `invoice.upcoming` is not here: it has no id.
    "invoice.created": invoices.invoice_changed,  # a draft
    "invoice.updated": invoices.invoice_changed,  # amounts, due date, next attempt
    "invoice.finalized": invoices.invoice_changed,  # open: it has a number and a link now
    "invoice.sent": invoices.invoice_changed,  # by mail, where the customer pays by hand
    "invoice.paid": invoices.invoice_changed,  # settled, also outside Stripe
    "invoice.payment_succeeded": invoices.invoice_changed,  # settled by a payment
    "invoice.payment_failed": invoices.invoice_changed,  # dunning: when is the next attempt?
    "invoice.payment_action_required": invoices.invoice_changed,  # the customer has to authenticate
    "invoice.payment_attempt_required": invoices.invoice_changed,  # somebody has to charge it
    "invoice.overdue": invoices.invoice_changed,  # past its due date
    "invoice.finalization_failed": invoices.invoice_changed,  # it stays a draft until somebody mends it
    "invoice.marked_uncollectible": invoices.invoice_changed,  # given up
    "invoice.voided": invoices.invoice_changed,  # taken back
    "invoice.deleted": invoices.invoice_deleted,  # a draft was thrown away
    # The portal.
    "billing_portal.configuration.created": portal.configuration_changed,  # ours, or somebody's in the Dashboard
    "billing_portal.configuration.updated": portal.configuration_changed,  # an edit that is not ours is drift
    "billing_portal.session.created": portal.session_created,  # who was let in
    "product.updated": recorded,  # renamed or archived: portal configurations that offer it may need repair
    "product.deleted": recorded,  # and now they do
    "price.updated": recorded,  # archived: nobody can switch to it any more
    "price.deleted": recorded,  # it was never used
    # The account.
    "account.updated": account_updated,  # onboarding done, a capability gained or lost, a requirement due
    "capability.updated": capability_updated,  # the same of one capability; may come without the above
    "person.created": person_changed,  # somebody behind the business was named, and something is wanted of them
    "person.updated": person_changed,  # they gave it, or it was found wanting
    "person.deleted": person_changed,  # nothing is wanted of them any more
    "account.external_account.created": external_account_changed,  # where payouts go, which is required
    "account.external_account.deleted": external_account_changed,  # and there may be none any more
    "account.application.authorized": account_connected,  # connected, perhaps after a disconnection
    "account.application.deauthorized": account_disconnected,  # no call to this account works from here on
}
