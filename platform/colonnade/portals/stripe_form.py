"""Portal settings as the parameters that Stripe takes."""

from typing import Any

import msgspec

from colonnade.portals.settings import PortalSettings


def parameters(settings: PortalSettings, products: list[dict[str, Any]], *, new: bool) -> dict[str, Any]:
    """What creates (*new*) or updates a configuration so that it is exactly *settings*, with *products* resolved.

    An update merges: what shall be empty has to be named, as `""`. The SDK drops empty lists, so that one would change
    nothing. A feature that is off is sent without its details.
    """
    wanted = msgspec.to_builtins(settings)
    del wanted["metadata"]
    wanted["features"]["subscription_update"]["products"] = products
    if new and not settings.features.subscription_cancel.cancellation_reason.enabled:
        # Creating takes this one only together with its options.
        del wanted["features"]["subscription_cancel"]["cancellation_reason"]
    form: dict[str, Any] = _form(wanted, clear=not new)
    return form


def _form(value: Any, *, clear: bool) -> Any:
    if isinstance(value, list | tuple):
        # A list replaces the former one whole, so that nothing inside has to be cleared.
        return [_form(item, clear=False) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("enabled") is False:
        return {"enabled": False}
    fields = {name: _form(item, clear=clear) for name, item in value.items()}
    empty = {name: "" for name, item in fields.items() if clear and item in (None, [])}
    return {name: item for name, item in fields.items() if item not in (None, [], {})} | empty
