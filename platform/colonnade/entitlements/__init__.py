"""The routes of overrides, and of why a customer may do what, now, then and in future."""
