"""What a configuration does, wherever it is kept."""

from msgspec import Struct

from colonnade.portals.settings import PortalSettings


class State(Struct, frozen=True):
    """Of a configuration at Stripe, products are Stripe's, never plans."""

    active: bool
    settings: PortalSettings
