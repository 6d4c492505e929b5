"""Checks of the settings and of the machine."""

import time

import aiohttp
import msgspec

from colonnade import heartbeat
from colonnade.doctor.place import Place, Said
from colonnade.reaching import cause
from colonnade.settings import Settings, variable
from colonnade.webhooks.provision import KINDS
from colonnade.webhooks.signature import WebhookSecret

_FIELDS = tuple(f"stripe_{kind}_webhook_secrets" for kind in KINDS)
_PROVISION = "Run `colonnade webhooks provision` and set what it prints."
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def _secrets(settings: Settings, field: str) -> list[WebhookSecret]:
    return [WebhookSecret.parse(text) for text in getattr(settings, field)]


async def stripe_key(place: Place) -> list[Said]:
    """No key: nothing can be asked of Stripe."""
    if place.settings.stripe_api_key is None:
        return [Said(f"{variable('stripe_api_key')} is not set", "Set it to a secret key of the platform's account.")]
    return []


async def webhook_secrets(place: Place) -> list[Said]:
    """An endpoint without a secret that is accepted answers 404 or refuses every delivery."""
    found = []
    for field in _FIELDS:
        given = _secrets(place.settings, field)
        if not given:
            found.append(Said(f"{variable(field)} is not set: that endpoint is off", _PROVISION))
        elif not any(each.accepted(time.time()) for each in given):
            found.append(Said(f"every secret in {variable(field)} has expired: deliveries are refused", _PROVISION))
    return found


async def expired_secrets(place: Place) -> list[Said]:
    """A secret that is past its time beside one that is accepted does nothing."""
    found = []
    for field in _FIELDS:
        given = _secrets(place.settings, field)
        expired = [each for each in given if not each.accepted(time.time())]
        if expired and len(expired) < len(given):
            problem = f"{len(expired)} of the secrets in {variable(field)} has expired"
            found.append(Said(problem, "Take it out of the variable.", "warning"))
    return found


async def shared_secrets(place: Place) -> list[Said]:
    """Each endpoint has a secret of its own; one in both variables is in the wrong one."""
    platform, connect = ({each.value for each in _secrets(place.settings, field)} for field in _FIELDS)
    other = {each.value for each in _secrets(place.settings, "stripe_other_mode_webhook_secrets")}
    found = []
    if platform & connect:
        problem = f"{variable(_FIELDS[0])} and {variable(_FIELDS[1])} have a secret in common: one of them is wrong"
        found.append(Said(problem, "Give each the secret of its own endpoint, as `webhooks provision` printed it."))
    if other & (platform | connect):
        name = variable("stripe_other_mode_webhook_secrets")
        found.append(Said(f"{name} has a secret of this mode's endpoints", "Take it out: it is for refusals alone."))
    return found


async def base_url(place: Place) -> list[Said]:
    """Stripe's servers and customers' browsers have to get to it."""
    local = any(f"//{host}" in place.settings.base_url for host in _LOOPBACK)
    if local and "stripe.com" in place.settings.stripe_api_base:
        problem = f"{variable('base_url')} is {place.settings.base_url}, where Stripe cannot deliver to"
        return [Said(problem, "Set it to the address by which the service is reached from outside, with https.")]
    return []


async def proxies(place: Place) -> list[Said]:
    """Https ends at a proxy: unless it is believed, its address is every caller's, and wrong keys count together."""
    if place.settings.base_url.startswith("https://") and not place.settings.trusted_proxies:
        cure = "Set it to the address or network from which the proxy's connections come."
        return [Said(f"{variable('trusted_proxies')} is not set: all callers count as one address", cure, "warning")]
    return []


async def reachable(place: Place) -> list[Said]:
    """Something of ours answers at the base URL."""
    url = f"{place.settings.base_url}/health/live"
    cure = f"Start `colonnade serve`, or correct {variable('base_url')}, the DNS or the proxy before it."
    try:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return [Said(f"{url} cannot be reached: {cause(error)}", cure)]
    if answer.status != 200 or _status(body) != "ok":
        return [Said(f"{url} answers {answer.status}, and not as Colonnade does", cure)]
    return []


def _status(body: bytes) -> object:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    return found.get("status") if isinstance(found, dict) else None


async def live_database(place: Place) -> list[Said]:
    """The embedded database is for one machine, without backups."""
    if place.settings.livemode and place.settings.database_url is None:
        cure = f"Set {variable('database_url')} to a PostgreSQL that is backed up."
        return [Said("a live key works on the embedded database", cure)]
    return []


async def worker(place: Place) -> list[Said]:
    """A worker goes round on this machine."""
    seconds = heartbeat.age(place.settings.data_dir)
    cure = "Start `colonnade worker`; if it runs on another machine, run `doctor` there too."
    if seconds is None:
        return [Said(f"no worker has run with the data folder {place.settings.data_dir}", cure, "warning")]
    if seconds > heartbeat.LONGEST_SILENCE:
        return [Said(f"the worker's last round was {seconds:.0f} s ago", cure, "warning")]
    return []
