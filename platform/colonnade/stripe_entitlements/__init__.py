"""Stripe Entitlements beside ours: features taken over once, and differences told. Ours decide."""
