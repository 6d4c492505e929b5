"""Stripe's API: the one place that knows how an account enters a call."""
