"""From Stripe's delivery to a tenant's handler: receive, attribute, dispatch, replay."""
