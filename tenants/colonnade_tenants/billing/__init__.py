"""What Stripe's events tell of billing: details, tax ids, payment methods, schedules, invoices, and the portal."""
