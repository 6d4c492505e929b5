"""A tenant's branding as it is asked for and shown.

Legal links have no place on the account; they go into the tenant's portal configurations. Source: Stripe's "Branding
your Stripe account"; API reference, "Update an account".
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from colonnade.portals.branding.contrast import Contrast
from colonnade.web import origin
from colonnade_tenants import values

Colour = Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$")]
Url = Annotated[str, Meta(max_length=2000)]
State = Literal["pending", "applied", "refused"]
Part = Literal["look", "contact"]


class Branding(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The desired state. Of what is left out the account keeps its own; a *support_url* set here before is cleared."""

    name: str | None = None
    primary_color: Colour | None = None
    secondary_color: Colour | None = None
    support_email: str | None = None
    support_phone: str | None = None
    support_url: Url | None = None
    privacy_policy_url: Url | None = None
    terms_of_service_url: Url | None = None


class ImageView(Struct, frozen=True):
    """An icon or logo: a PNG, at *url* for this API's keys. *stripe_file* once the account has it."""

    url: str
    width: int
    height: int
    bytes: int
    sha256: str
    stripe_file: str | None
    updated_at: datetime


class BrandingView(Branding, frozen=True, kw_only=True, omit_defaults=False):
    """The branding, as the API shows it.

    *state*: `applied` once the account has it, `pending` while Stripe cannot be asked (a worker asks again), `refused`
    with Stripe's reason in *problem*: *steps* then says what the account's owner has to do. *contrast*: how the colours
    stand beside each other.
    """

    icon: ImageView | None = None
    logo: ImageView | None = None
    state: State | None = None
    problem: str | None = None
    steps: list[str] = []
    contrast: list[Contrast] = []
    updated_at: datetime | None = None


PROFILE = ("name", "support_email", "support_phone", "support_url")
COLOURS = ("primary_color", "secondary_color")
LINKS = ("privacy_policy_url", "terms_of_service_url")
# Of the others Stripe's types say that they cannot be unset; one that is would have all refused.
CLEARABLE = ("support_url",)


def checked(wanted: Branding) -> Branding:
    """*wanted* in canonical form. Raises `Invalid`."""
    values.text(wanted.name, "name", 100)
    values.email(wanted.support_email, "support_email")
    values.text(wanted.support_phone, "support_phone", 40)
    for name in ("support_url", *LINKS):
        if (url := getattr(wanted, name)) is not None:
            origin(url, name)
    colours = {name: colour.lower() for name in COLOURS if (colour := getattr(wanted, name))}
    return msgspec.structs.replace(wanted, **colours)


def form(settings: dict[str, Any], files: dict[str, str]) -> dict[Part, dict[str, Any]]:
    """What the account is sent, in two parts: one that was onboarded may take the look and refuse the contact.

    *files*: pictures that it does not have yet. A null clears.
    """
    given = {name: "" if value is None else value for name, value in settings.items()}
    look = {name: given[name] for name in COLOURS if name in given} | files
    contact = {name: given[name] for name in PROFILE if name in given}
    parts: dict[Part, dict[str, Any]] = {}
    if look:
        parts["look"] = {"settings": {"branding": look}}
    if contact:
        parts["contact"] = {"business_profile": contact}
    return parts
