"""What exists once per tenant: its customers, subscriptions and entitlements, in its own partition."""
