"""The row of a portal session: who opens it, what is kept of it at first, and what a repeated request finds."""

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.errors import Conflict, Unauthenticated
from colonnade.portals.openings import Opening
from colonnade.portals.preflight import flow_type
from colonnade.portals.requests import redirect_of
from colonnade_tenants.ids import new_id
from colonnade_tenants.portal.visits import Visit

DOUBLE_CLICK = timedelta(seconds=10)
"""For how long the same browser may post a token again: of a double click it follows the second answer alone."""


class Opener(Struct, frozen=True):
    """Who opens a session: a backend's key, or a browser with a portal token, from a page of *origin*.

    *once* makes the visit the same each time: it is the caller's idempotency key, or the token.
    """

    by: str
    once: str | None = None
    origin: str | None = None
    token: str | None = None
    browser: bytes | None = None


def _id(tenant: Tenant, once: str | None) -> str:
    """Who guesses an id gains nothing: the link back is signed. So it is the same under every secret key."""
    if once is None:
        return new_id("pvi")
    said = f"portal visit\0{tenant.public_id}\0{once}"
    return f"pvi_{hashlib.sha256(said.encode()).hexdigest()[:26]}"


def visit_of(tenant: Tenant, opening: Opening, opener: Opener) -> Visit:
    """The visit that is to be kept."""
    flow, chosen = opening.wanted.flow, opening.chosen
    said = b"[%d,%s]" % (opening.customer.id, msgspec.json.encode(opening.wanted, order="sorted"))
    return Visit(
        id=_id(tenant, opener.once),
        customer_id=opening.customer.id,
        configuration=chosen.name,
        chosen_by=chosen.by,
        rule=msgspec.to_builtins(chosen.rule) if chosen.rule else None,
        flow=flow_type(flow) if flow else None,
        subscription=getattr(flow, "subscription", None),
        left_out=opening.code,
        locale=opening.wanted.locale,
        opened_by=opener.by,
        origin=opener.origin,
        token=opener.token,
        browser=opener.browser,
        fingerprint=hashlib.sha256(said).digest(),
        return_url=opening.return_url,
        done_url=redirect_of(flow),
    )


def check_repeated(known: Visit, visit: Visit) -> None:
    """A repeated key has to come with the same request; a token was used, but for a double click.

    Raises `Conflict`, `Unauthenticated`.
    """
    if visit.token is None:
        if known.fingerprint != visit.fingerprint:
            raise Conflict("This Idempotency-Key came with another request before.", "Idempotency-Key")
        return
    age = datetime.now(UTC) - (known.created_at or datetime.min.replace(tzinfo=UTC))
    if known.browser != visit.browser or (known.session is not None and age > DOUBLE_CLICK):
        raise Unauthenticated("This link was used already; go back and open it again.", "token")
