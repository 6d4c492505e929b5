"""Tenants and their connected accounts: creating or adopting one, onboarding, readiness."""
