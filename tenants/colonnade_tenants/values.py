"""Checks of values that callers give. Each raises `Invalid` naming the field."""

import re
from collections.abc import Mapping

from colonnade_tenants.errors import Invalid

_KEY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_STRIPE_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def text(value: str | None, param: str, longest: int, *, lines: bool = False) -> None:
    """At most *longest* printable characters, not blank; line breaks only with *lines*. None passes."""
    if value is None:
        return
    if not 0 < len(value) <= longest or not value.strip():
        raise Invalid(f"Give 1 to {longest} characters.", param)
    if not (value.replace("\n", "").replace("\r", "") if lines else value).isprintable():
        raise Invalid("Control characters are not accepted.", param)


def key(value: str, param: str = "key") -> None:
    """A key of the tenant's own choosing, fit for URLs and code."""
    if not _KEY.fullmatch(value):
        raise Invalid("Use 1 to 64 of a-z, 0-9, '_', '.', '-', starting with a letter or digit.", param)


def stripe_id(value: str | None, param: str) -> None:
    """An id of Stripe's; those of products and older prices may be of the account's own choosing. None passes."""
    if value is not None and not _STRIPE_ID.fullmatch(value):
        raise Invalid("This is no id of Stripe's.", param)


def after(value: str | None) -> str:
    """The last key of the page before; None: the first page."""
    text(value, "after", 255)
    return value or ""


def reference(value: str) -> None:
    """A customer's reference: the tenant's own id, a segment of our URLs."""
    text(value, "reference", 128)
    if "/" in value or value in {".", ".."}:
        raise Invalid("A reference has no '/', and is not '.' or '..': it stands in URLs.", "reference")


def email(value: str | None, param: str = "email") -> None:
    """An address to bill to; Stripe takes up to 512 characters."""
    text(value, param, 512)
    if value is not None and not _EMAIL.fullmatch(value):
        raise Invalid("This is not an e-mail address.", param)


def metadata(values: Mapping[str, str]) -> None:
    """What Stripe takes too: 50 keys of 40 characters, values of 500 ("Metadata", Stripe API reference)."""
    if len(values) > 50:
        raise Invalid("At most 50 keys.", "metadata")
    for name, value in values.items():
        text(name, "metadata", 40)
        if "[" in name or "]" in name:
            raise Invalid("A key has no square brackets.", f"metadata.{name}")
        text(value, f"metadata.{name}", 500, lines=True)
