"""A local Stripe for Connect and the customer portal."""
