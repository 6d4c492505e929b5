"""What a caller may ask of a portal session."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from colonnade.access.guard import Tenant
from colonnade.errors import Invalid
from colonnade.portals.flows import AnyFlow, RedirectAfter
from colonnade.web import allowed_url
from colonnade_tenants.times import Moment

# fmt: off
Locale = Literal[
    "auto", "bg", "cs", "da", "de", "el", "en", "en-AU", "en-CA", "en-GB", "en-IE", "en-IN", "en-NZ", "en-SG", "es",
    "es-419", "et", "fi", "fil", "fr", "fr-CA", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl",
    "pl", "pt", "pt-BR", "ro", "ru", "sk", "sl", "sv", "th", "tr", "vi", "zh", "zh-HK", "zh-TW",
]
# fmt: on


class AfterExpiration(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who comes to the session's URL too late may log in by e-mail instead, until *login_until* if that is given."""

    login_until: Moment | None = None


class SessionRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """*configuration* by name, else by the tenant's rules; *return_url* else that configuration's.

    *fallback*: open the portal's home page where the flow would be a dead end, instead of 409. *return_directly*: the
    customer goes back to *return_url* at once, without Colonnade waiting for what they changed.
    """

    configuration: str | None = None
    flow: AnyFlow | None = None
    return_url: Annotated[str, Meta(max_length=2000)] | None = None
    locale: Locale | None = None
    after_expiration: AfterExpiration | None = None
    fallback: bool = False
    return_directly: bool = False


def redirect_of(flow: AnyFlow | None) -> str | None:
    """Where the flow's own redirect leads, if it has one."""
    after = flow.after_completion if flow else None
    return after.return_url if isinstance(after, RedirectAfter) else None


def return_url(tenant: Tenant, wanted: SessionRequest, default: str | None) -> str:
    """Where the customer goes back to. Raises `Invalid` for what is not at one of the tenant's origins, or too late."""
    if done := redirect_of(wanted.flow):
        allowed_url(done, tenant.return_origins, "flow.after_completion.return_url")
    until = wanted.after_expiration.login_until if wanted.after_expiration else None
    if until is not None and until <= datetime.now(UTC):
        raise Invalid("This is in the past.", "after_expiration.login_until")
    url = default if wanted.return_url is None else wanted.return_url
    if url is None:
        raise Invalid("Name one: the configuration has no default_return_url.", "return_url")
    # The default too: the tenant's origins may have changed since it was set.
    return allowed_url(url, tenant.return_origins, "return_url")
