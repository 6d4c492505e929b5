"""The pages that Stripe hosts: customer portal, onboarding, invoices, uploaded brand images."""

from colonnade_sandbox.hosted.site import handle

__all__ = ["handle"]
