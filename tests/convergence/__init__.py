"""State follows from what happened, not from how we heard of it: a model of Stripe, and tenants that hear of it."""
