"""State is a function of what happened, not of how we heard of it: a model of Stripe, and many tenants that hear of it."""
