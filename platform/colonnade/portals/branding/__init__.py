"""A tenant's branding: what it asks for, the pictures that belong to it, and how it gets to the connected account."""

from colonnade.portals.branding.service import get, legal_links, put
from colonnade.portals.branding.settings import Branding, BrandingView, checked

__all__ = ["Branding", "BrandingView", "checked", "get", "legal_links", "put"]
