"""An event's payload as it may be shown: what opens something, or finds a card again, is cut out.

The inbox keeps the exact bytes, for they were signed. An event of a portal or Checkout session holds the URL that lets
its bearer in, that of a setup or payment intent the secret that a browser acts with, and a card's fingerprint is the
same at every tenant ("The PaymentMethod object", Stripe API reference).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from colonnade.observability import redact

CUT = "…"

_SECRET = frozenset({"client_secret", "secret", "fingerprint", "cvc", "cvv"})
"""Names whose values are never shown, wherever they are."""
_OPENS = frozenset(
    {
        *("account_link", "account_session", "billing_portal.session", "checkout.session", "customer_session"),
        *("ephemeral_key", "file_link", "identity.verification_session", "login_link"),
    }
)
"""Objects whose `url` lets its bearer in."""
_NOTHING = msgspec.Raw(b"null")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def shown(body: bytes) -> msgspec.Raw:
    """The JSON of *body* without secrets; `null` for what is no whole JSON in UTF-8."""
    try:
        event = msgspec.json.decode(body)
        return msgspec.Raw(msgspec.json.encode(_without(event, _opens(event))))
    except _UNREADABLE:
        return _NOTHING


def _opens(event: Any) -> bool:
    """Whether the event is about one of `_OPENS`: its previous attributes do not say of what they are."""
    thing: Any = event
    for name in ("data", "object", "object"):
        thing = thing.get(name) if isinstance(thing, Mapping) else None
    return thing in _OPENS if isinstance(thing, str) else False


def _without(value: Any, opens: bool) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_without(each, opens) for each in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("object")
    opens = opens or (isinstance(kind, str) and kind in _OPENS)
    card = "exp_month" in value
    return {
        redact(name): CUT if each is not None and _cut(name, opens, card) else _without(each, opens)
        for name, each in value.items()
    }


def _cut(name: str, opens: bool, card: bool) -> bool:
    return name in _SECRET or (opens and name == "url") or (card and name == "number")
