"""Colonnade: a multi-tenant Stripe Connect platform backend."""

__version__ = "0.1.0"
