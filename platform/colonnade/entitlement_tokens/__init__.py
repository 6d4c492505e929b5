"""Entitlement tokens: what a customer may use, signed for a few minutes, to be checked where no call can be made."""
