"""Imports: customers and subscriptions that a tenant had at Stripe before it was here."""
