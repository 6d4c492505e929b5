"""To Stripe's consent page and back ("OAuth reference", Stripe docs).

What ties the answer to the browser that was sent there: `state` is signed, good for one answer within the hour, and
names the digest of a cookie which that browser alone has. Otherwise somebody could let a victim's browser bring the
answer for an account of their own, and be paid in the victim's place.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import jwt
import msgspec
import structlog
from msgspec import Struct

from colonnade import secret_keys
from colonnade.access import audit
from colonnade.accounts import at_stripe, connections, looking, service
from colonnade.accounts.connections import Open
from colonnade.errors import Conflict, DomainError, Forbidden, Invalid, StripeRefused, StripeUnavailable
from colonnade.services import Services
from colonnade.stripe_api.client import StripeClient

log = structlog.get_logger()

CALLBACK = "/connect/callback"
LIFETIME = 3600
"""Seconds that the business has on Stripe's page."""
_AUDIENCE = "colonnade:connect"


class Departure(NamedTuple):
    """Where to send the browser, and the cookie that it has to bring back."""

    url: str
    cookie: str
    secret: str


class Answer(Struct, frozen=True):
    """What Stripe sends the browser back with."""

    state: str = ""
    code: str = ""
    error: str = ""


class State(Struct, frozen=True):
    """What `state` says. *browser*: the digest of the cookie."""

    connection: str
    nonce: str
    browser: str


class _Granted(Struct, frozen=True):
    """Of the answer to the exchange, what is kept. It has tokens too, which are not even decoded."""

    stripe_user_id: str
    livemode: bool
    scope: str


def cookie_of(connection: str) -> str:
    """The name of the cookie: one for each request, so that two at once do not disturb each other."""
    return f"colonnade_{connection}"


def depart(services: Services, request: Open, business: str, secret: str | None) -> Departure:
    """To the consent page; *secret*: the cookie of an earlier visit by the same browser, if it brought one."""
    secret = secret if secret and len(secret) >= 32 else secrets.token_urlsafe(32)
    state = State(request.id, secrets.token_urlsafe(16), _digest(secret))
    query = {
        "response_type": "code",
        "client_id": services.settings.stripe_client_id,
        "scope": "read_write",
        "redirect_uri": services.settings.base_url + CALLBACK,
        "state": sign(services.secret_key, state),
        "stripe_user[business_name]": business,
    }
    url = f"{services.settings.stripe_connect_base}/oauth/authorize?{urlencode(query)}"
    return Departure(url, cookie_of(request.id), secret)


def sign(secret_key: str, state: State) -> str:
    """*state* as the text that goes to Stripe and comes back."""
    expires = int(time.time()) + LIFETIME
    return secret_keys.signed(secret_key, _AUDIENCE, expires, {"connect": msgspec.to_builtins(state)})


async def arrive(services: Services, answer: Answer, cookies: Mapping[str, str]) -> Open:
    """Take Stripe's answer; the request, whose state says how it went.

    Raises `Invalid` for an answer that was not asked for, `Forbidden` in another browser, `Conflict` where it was used,
    or another answer to the same request, given meanwhile, has connected another account.
    """
    state = verify(services.secret_key, answer.state, cookies)
    fresh = await connections.use(services, state.connection, state.nonce)
    request = await connections.find(services, state.connection)
    if not fresh:
        return request
    account, outcome = None, "connected"
    try:
        account = await _granted(services, answer)
        await _bind(services, request, account, state.nonce)
    except DomainError as error:
        outcome = "denied" if answer.error == "access_denied" else "failed"
        async with services.database.platform_pool.acquire() as connection:
            await connections.finish(connection, request.id, outcome, _words(error, outcome == "denied"))
        if account is not None and type(error) is Conflict:  # the tenant's account is another one
            told = await _given_back(services, account)
            if (await connections.find(services, request.id)).state == "connected":
                raise Conflict(told) from error
    return msgspec.structs.replace(request, state=outcome)


_OWNED = "select exists (select from tenants where stripe_account = $1)"


async def _given_back(services: Services, account: str) -> str:
    """Give back the access to an account that came too late, unless it is a tenant's; what to tell who brought it."""
    told = "Another account was connected by this link meanwhile; this one was not"
    pool, client_id = services.database.platform_pool, services.settings.stripe_client_id
    if client_id is None or await pool.fetchval(_OWNED, account):
        return f"{told}."
    try:
        await services.stripe.platform.deauthorize(client_id, account)
    except DomainError as error:
        log.warning("access not given back", account=account, error=str(error))
        return f"{told}: take the platform's access to it away in Stripe's dashboard."
    return f"{told}, and the platform has no access to it."


def verify(secret_key: str, text: str, cookies: Mapping[str, str]) -> State:
    """What *text*, the answer's `state`, says, if we said it to the browser that has these *cookies*.

    Raises `Invalid`, and `Forbidden` where it is another browser.
    """
    try:
        claims = secret_keys.said(secret_key, text, _AUDIENCE, ["connect"])
        state = msgspec.convert(claims["connect"], State)
    except jwt.ExpiredSignatureError as error:
        raise Invalid("This took too long: open the link again.", "state") from error
    except (jwt.PyJWTError, msgspec.ValidationError) as error:
        raise Invalid("This answer was not asked for.", "state") from error
    if not hmac.compare_digest(_digest(cookies.get(cookie_of(state.connection), "")), state.browser):
        raise Forbidden("This was begun in another browser.")
    return state


async def _granted(services: Services, answer: Answer) -> str:
    """The account that the business lets us into. Raises `Invalid`, Stripe's errors."""
    if answer.error or not answer.code:
        said = answer.error if re.fullmatch(r"[a-z_]{1,40}", answer.error) else "without a code"
        raise Invalid(f"Stripe answered {said}.", "code")
    reply = await services.stripe.platform.exchange(answer.code)
    granted = msgspec.convert(reply, _Granted)
    if granted.scope != "read_write":
        raise Invalid("The business let the platform read alone, which is not enough.", "scope")
    if granted.livemode != services.settings.livemode:
        raise Invalid("The account was connected in Stripe's other mode.", "livemode")
    return granted.stripe_user_id


async def _bind(services: Services, request: Open, account_id: str, nonce: str) -> None:
    """Let the account be the tenant's. Raises `Invalid` for the platform's own, `Conflict`, Stripe's errors."""
    tenant = await service.tenant_by_id(services, request.tenant)
    client: StripeClient = services.stripe.platform.bound(tenant=tenant.id).reconnecting()
    seen = at_stripe.Seen(*await at_stripe.found(client, account_id))
    async with services.database.platform_pool.acquire() as connection, connection.transaction():
        bound = await service.bind(connection, tenant, seen, request.begun_by.id)
        where = f"tenants/{tenant.public_id}"
        before, after = service.logged(tenant), service.logged(bound)
        # Nobody's key comes with this request: it is done for whoever began it.
        await audit.record(
            connection,
            request.begun_by,
            "tenant.connected",
            tenant_id=tenant.id,
            target=where,
            before=before,
            after=after,
        )
        await connections.connected(connection, request.id, account_id, nonce)
    await looking.reached(services.stripe, services.database.platform_pool, tenant.id)


def _words(error: DomainError, denied: bool) -> str:
    """Why, for people: without the code, which Stripe repeats."""
    if denied:
        return "The business did not agree."
    if isinstance(error, StripeUnavailable):
        return "Stripe did not answer: open the link again."
    if isinstance(error, StripeRefused):
        return f"Stripe did not take its own answer back ({error.code}): open the link again."
    return error.message


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
