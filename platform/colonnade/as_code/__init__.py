"""Tenants' branding, features, plans and portal configurations in one file: planned, applied, exported."""
