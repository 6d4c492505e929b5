"""`colonnade demo`: the whole product on one machine, with a local Stripe and two seeded tenants."""
