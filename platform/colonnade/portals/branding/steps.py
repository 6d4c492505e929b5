"""What the owner of an account has to do by hand where Stripe does not let the platform write it.

Source: Stripe's "Branding your Stripe account"; support page on who looks after which kind of connected account.
"""

from collections.abc import Mapping

from colonnade.access.guard import Tenant
from colonnade.portals.branding.images import Kind
from colonnade.portals.branding.settings import ImageView
from colonnade.portals.branding.store import Row

_LOOK = {"primary_color": "Brand color", "secondary_color": "Accent color"}
_CONTACT = {
    "name": "Public business name",
    "support_email": "Support email",
    "support_phone": "Support phone",
    "support_url": "Support website",
}
_PAGES = {
    "look": "https://dashboard.stripe.com/settings/branding",
    "contact": "https://dashboard.stripe.com/settings/public",
}


def to_do(row: Row, tenant: Tenant, images: Mapping[Kind, ImageView]) -> list[str]:
    """The steps, in order; none unless Stripe refused."""
    if row.state != "refused":
        return []
    if row.dashboard is None:
        return [f"Connect the account {tenant.stripe_account} to the platform again: Stripe does not know it as ours."]
    found = [_beginning(row.dashboard, tenant)]
    if "look" in row.refused:
        found += _section(row, "look", _LOOK)
        found += [
            f"Download {image.url} with your API key and upload it as the {kind}." for kind, image in images.items()
        ]
    if "contact" in row.refused:
        found += _section(row, "contact", _CONTACT)
    return [*found, "Save. Then ask for GET …/branding/consistency, which compares both sides field by field."]


def _beginning(dashboard: str, tenant: Tenant) -> str:
    account = tenant.stripe_account
    if dashboard == "full":
        return f"Sign in at https://dashboard.stripe.com as an administrator of {account}."
    if dashboard == "express":
        return f"Open the Express Dashboard of {account} by a login link; what it lacks, Stripe's support sets."
    return (
        f"{account} has no dashboard: the platform opens its account management, an embedded component, for the owner."
    )


def _section(row: Row, part: str, labels: Mapping[str, str]) -> list[str]:
    found = [f"Open {_PAGES[part]}."] if row.dashboard == "full" else []
    for name, label in labels.items():
        if name in row.settings:
            value = row.settings[name]
            found.append(f"Set “{label}” to {value}." if value is not None else f"Clear “{label}”.")
    return found
