"""Portal sessions. The server chooses customer, configuration and account; a caller names none by Stripe's id.

A session's URL lets whoever has it in: it is answered once, and neither stored nor logged.
"""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from colonnade import secret_keys
from colonnade.access.guard import Tenant
from colonnade.errors import Conflict, NotFound, StripeRefused, TooMany
from colonnade.portals import activity, visiting
from colonnade.portals.choosing import Rule
from colonnade.portals.flows import AnyFlow, RedirectAfter, as_ours, flow_data
from colonnade.portals.links import Place, link
from colonnade.portals.openings import Opening, prepare
from colonnade.portals.reasons import Reason
from colonnade.portals.requests import SessionRequest
from colonnade.portals.visiting import Opener
from colonnade.services import Services
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import client_for, portal_params
from colonnade_tenants.portal import visits
from colonnade_tenants.portal.visits import Made, Visit

T = TypeVar("T")

UNUSED_FOR = timedelta(minutes=5)
"""How long an unopened session lasts. Stripe publishes no figure; this is what users of it report."""
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


async def open_session(
    services: Services, tenant: Tenant, reference: str, wanted: SessionRequest, opener: Opener
) -> PortalSession:
    """A session at Stripe; the same one where *opener* comes again.

    Raises `Closed`, `Invalid`, `NotFound`, `DeadEnd`, `TooMany`, `Conflict`, `Unauthenticated`, `StripeRefused`,
    `StripeUnavailable`.
    """
    open_at = asyncio.get_running_loop().time()
    opening = await prepare(services, tenant, reference, wanted)
    visit = visiting.visit_of(tenant, opening, opener)
    keeping = _keep(services, tenant, visit)
    if opener.once is None and not opening.crowded:  # no repetition, nor one too many
        reply, opening = await _meanwhile(keeping, _asked(services, tenant, opening, visit.id, open_at))
    else:
        visit = await keeping
        reply, opening = await _asked(services, tenant, opening, visit.id, open_at)
    await _note(services, tenant, opener, Made(visit.id, opening.customer.id, reply["id"], opening.code))
    return PortalSession(
        id=visit.id,
        url=reply["url"],
        configuration=opening.chosen.name,
        chosen_by=ChosenBy(opening.chosen.by, opening.chosen.rule),
        expires_at=datetime.fromtimestamp(reply["created"], UTC) + UNUSED_FOR,
        left_out=opening.left_out,
    )


async def _keep(services: Services, tenant: Tenant, visit: Visit) -> Visit:
    """Keep *visit*; the one that was there already in place of it, else itself.

    Raises `Conflict`, `TooMany`, `Unauthenticated`.
    """
    pool, most = services.database.app_pool, services.settings.portal_sessions_per_minute
    if await visits.add(pool, tenant.id, visit, most=most):
        return visit
    try:
        known = await visits.known(pool, tenant.id, visit)
    except visits.TooMany as error:
        raise TooMany(str(error), retry_after=60) from error
    visiting.check_repeated(known, visit)
    return known


async def _meanwhile(keeping: Awaitable[Visit], asking: Awaitable[T]) -> T:
    """What *asking* comes to, once *keeping* is done as well: before, nobody may have a URL."""

    async def then() -> None:
        await asyncio.sleep(0)  # the request to Stripe is written first
        await keeping

    task = asyncio.create_task(then())
    try:
        return await asking
    finally:
        await task


async def _note(services: Services, tenant: Tenant, opener: Opener, made: Made) -> None:
    """Nobody waits for that to be kept; but a token is used by it."""
    if opener.token is None:
        services.database.later.put(visits.note, tenant.id, made)
    else:
        await visits.note(services.database.app_pool, tenant.id, [made])


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
    return await _asked(services, tenant, opening.without_flow(reason), visit, open_at)


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
