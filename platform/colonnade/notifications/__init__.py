"""Telling tenants of changes: their endpoints, what delivers to them, and the stream of the same."""
