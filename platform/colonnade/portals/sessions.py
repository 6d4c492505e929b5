"""Portal sessions. The server chooses customer, configuration and account; a caller names none by Stripe's id.

A session's URL lets whoever has it in: it is answered once, and neither stored nor logged.
"""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from colonnade import secret_keys
from colonnade.access.guard import Tenant
from colonnade.accounts.states import State, check_open
from colonnade.errors import Conflict, DeadEnd, NotFound, StripeRefused, StripeUnavailable, TooMany, Unauthenticated
from colonnade.portals import activity, judging
from colonnade.portals.choosing import Chosen, Customer, Rule, choose
from colonnade.portals.flows import AnyFlow, RedirectAfter, as_ours, flow_data
from colonnade.portals.links import Place, link
from colonnade.portals.preflight import flow_type
from colonnade.portals.reasons import Reason
from colonnade.portals.requests import SessionRequest, redirect_of, return_url
from colonnade.services import Services
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import client_for, portal_params
from colonnade_tenants.ids import new_id
from colonnade_tenants.portal import visits
from colonnade_tenants.portal.visits import Visit

UNUSED_FOR = timedelta(minutes=5)
"""How long an unopened session lasts. Stripe publishes no figure; this is what users of it report."""
DOUBLE_CLICK = timedelta(seconds=10)
"""For how long the same browser may post a token again: of a double click it follows the second answer alone."""
_PATH = "/v1/billing_portal/sessions"


class ChosenBy(Struct, omit_defaults=True):
    """What chose the configuration: its `name`, a `rule`, which is shown, or that it is the `default`."""

    by: str
    rule: Rule | None = None


class PortalSession(Struct):
    """Send the customer's browser to *url*, and do it before *expires_at*. *configuration* is the one that was used.

    *left_out* is why the flow that was asked for was left out, where `fallback` allowed that.
    """

    id: str
    url: str
    configuration: str
    chosen_by: ChosenBy
    expires_at: datetime
    left_out: Reason | None = None


class Opening(Struct, frozen=True):
    """What a session is made of, once everything that the caller asked for was found to be allowed."""

    customer: Customer
    chosen: Chosen
    wanted: SessionRequest
    return_url: str
    flow: AnyFlow | None
    left_out: Reason | None = None


class Opener(Struct, frozen=True):
    """Who opens a session: a backend's key, or a browser with a portal token, from a page of *origin*.

    *once* makes the visit the same each time: it is the caller's idempotency key, or the token.
    """

    by: str
    once: str | None = None
    origin: str | None = None
    token: str | None = None
    browser: bytes | None = None


async def chosen_for(
    services: Services, tenant: Tenant, reference: str, wanted: SessionRequest
) -> tuple[Customer, Chosen, str]:
    """Whose portal it is, its configuration, and where it leads back. Raises `Invalid`, `NotFound`, `Conflict`."""
    customer, chosen = await choose(services.database.app_pool, tenant.id, reference, wanted.configuration)
    if customer.stripe_customer is None:
        raise Conflict("Stripe does not have this customer yet; repeat the PUT that creates it.", "reference")
    return customer, chosen, return_url(tenant, wanted, chosen.settings.default_return_url)


async def prepare(services: Services, tenant: Tenant, reference: str, wanted: SessionRequest) -> Opening:
    """Check what is *wanted*. Raises `Closed`, `Invalid`, `NotFound`, `Conflict`, `DeadEnd`, …"""
    check_open(tenant)
    customer, chosen, back = await chosen_for(services, tenant, reference, wanted)
    if chosen.stripe_configuration is None:
        raise StripeUnavailable(f"Stripe does not have configuration {chosen.name!r} yet; repeat its PUT.")
    opening = Opening(customer, chosen, wanted, back, wanted.flow)
    if wanted.flow is None:
        return opening
    reasons = await judging.flow_blocked(services, tenant, customer, chosen, wanted.flow)
    return _without_flow(opening, reasons[0]) if reasons else opening


def _without_flow(opening: Opening, reason: Reason) -> Opening:
    if not opening.wanted.fallback:
        raise DeadEnd(reason.message, "flow", code=reason.code)
    return msgspec.structs.replace(opening, flow=None, left_out=reason)


async def open_session(services: Services, tenant: Tenant, opening: Opening, opener: Opener) -> PortalSession:
    """A session at Stripe; the same one where *opener* comes again.

    Raises `Closed`, `DeadEnd`, `TooMany`, `Conflict`, `StripeRefused`, `StripeUnavailable`.
    """
    visit, open_at = await _add(services, tenant, _visit(tenant, opening, opener))
    reply, opening = await _asked(services, tenant, opening, visit.id, open_at)
    visit = msgspec.structs.replace(visit, left_out=_code(opening))
    await visits.opened(services.database.app_pool, tenant.id, visit, reply["id"])
    return PortalSession(
        id=visit.id,
        url=reply["url"],
        configuration=opening.chosen.name,
        chosen_by=ChosenBy(opening.chosen.by, opening.chosen.rule),
        expires_at=datetime.fromtimestamp(reply["created"], UTC) + UNUSED_FOR,
        left_out=opening.left_out,
    )


async def _add(services: Services, tenant: Tenant, visit: Visit) -> tuple[Visit, float]:
    """Keep the visit. It, or the one that was there already; and when the tenant was seen to be open (loop's time).

    What was known of the tenant may be a second old. Raises `Closed`, `Conflict`, `TooMany`, `Unauthenticated`.
    """
    now = asyncio.get_running_loop().time()
    most = services.settings.portal_sessions_per_minute
    try:
        known, state = await visits.add(services.database.app_pool, tenant.id, visit, most=most)
    except visits.TooMany as error:
        raise TooMany(str(error), retry_after=60) from error
    check_open(msgspec.structs.replace(tenant, state=State(state)))
    if known is not None:
        _check_repeated(known, visit)
    return known or visit, now


async def _asked(
    services: Services, tenant: Tenant, opening: Opening, visit: str, open_at: float
) -> tuple[dict[str, Any], Opening]:
    """Stripe's session. What it refuses of a flow, though nothing was known against it, is a dead end too."""
    try:
        return await _posted(services, tenant, opening, visit, open_at), opening
    except (StripeRefused, NotFound) as error:
        param = error.param and as_ours(error.param)
        if opening.flow is None or not (param or "").startswith("flow"):
            if isinstance(error, StripeRefused):
                await activity.check_active(services, tenant, opening.chosen)
            error.param = param
            raise
        reason = Reason("refused", error.message)
    return await _asked(services, tenant, _without_flow(opening, reason), visit, open_at)


async def _posted(services: Services, tenant: Tenant, opening: Opening, visit: str, open_at: float) -> dict[str, Any]:
    """Stripe's reply. A visit from before the secret key was changed asked with a link that another key signed."""
    client = client_for(services.stripe, tenant, Priority.PORTAL)
    key = f"session:{tenant.public_id}:{visit}" + ("" if opening.flow else ":plain")
    for secret_key in secret_keys.accepted(services.secret_key):
        params = _params(services, tenant, opening, visit, secret_key)
        try:
            return await client.post(_PATH, params, idempotency_key=key, open_at=open_at)
        except Conflict as error:
            if error.param != "Idempotency-Key":
                raise
            conflict = error
    raise conflict


def _params(services: Services, tenant: Tenant, opening: Opening, visit: str, secret_key: str) -> dict[str, Any]:
    wanted, place, base_url = opening.wanted, Place(tenant.public_id, visit), services.settings.base_url
    back = opening.return_url if wanted.return_directly else link(base_url, place, secret_key)
    params = {
        "customer": opening.customer.stripe_customer,
        "configuration": opening.chosen.stripe_configuration,
        "return_url": back,
        "locale": wanted.locale,
        **portal_params(tenant),
    }
    if wanted.after_expiration is not None:
        until = wanted.after_expiration.login_until
        login = {} if until is None else {"expires_at": int(until.timestamp())}
        params["after_expiration"] = {"type": "customer_login", "customer_login": login}
    if opening.flow is not None:
        done = link(base_url, place, secret_key, done=True)
        params["flow_data"] = flow_data(opening.flow if wanted.return_directly else _through_us(opening.flow, done))
    return params


def _through_us(flow: AnyFlow, done: str) -> AnyFlow:
    """The flow with its redirect going through *done*, the page that waits for its events."""
    if not isinstance(flow.after_completion, RedirectAfter):
        return flow
    return msgspec.structs.replace(flow, after_completion=RedirectAfter(return_url=done))


def _check_repeated(known: Visit, visit: Visit) -> None:
    """A repeated key has to come with the same request; a token was used, but for a double click."""
    if visit.token is None:
        if known.fingerprint != visit.fingerprint:
            raise Conflict("This Idempotency-Key came with another request before.", "Idempotency-Key")
        return
    age = datetime.now(UTC) - (known.created_at or datetime.min.replace(tzinfo=UTC))
    if known.browser != visit.browser or (known.session is not None and age > DOUBLE_CLICK):
        raise Unauthenticated("This link was used already; go back and open it again.", "token")


def _visit(tenant: Tenant, opening: Opening, opener: Opener) -> Visit:
    flow, chosen = opening.wanted.flow, opening.chosen
    said = msgspec.json.encode((opening.customer.id, opening.wanted), order="sorted")
    return Visit(
        id=_id(tenant, opener.once),
        customer_id=opening.customer.id,
        configuration=chosen.name,
        chosen_by=chosen.by,
        rule=msgspec.to_builtins(chosen.rule) if chosen.rule else None,
        flow=flow_type(flow) if flow else None,
        subscription=getattr(flow, "subscription", None),
        left_out=_code(opening),
        locale=opening.wanted.locale,
        opened_by=opener.by,
        origin=opener.origin,
        token=opener.token,
        browser=opener.browser,
        fingerprint=hashlib.sha256(said).digest(),
        return_url=opening.return_url,
        done_url=redirect_of(flow),
    )


def _code(opening: Opening) -> str | None:
    return opening.left_out.code if opening.left_out else None


def _id(tenant: Tenant, once: str | None) -> str:
    """Who guesses an id gains nothing: the link back is signed. So it is the same under every secret key."""
    if once is None:
        return new_id("pvi")
    said = f"portal visit\0{tenant.public_id}\0{once}"
    return f"pvi_{hashlib.sha256(said.encode()).hexdigest()[:26]}"
