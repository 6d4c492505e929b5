"""Checks of who lets others in: the identity provider of our people, and Stripe's page where businesses consent."""

from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec

from colonnade.access.provider_keys import ALGORITHMS, ProviderKeys
from colonnade.accounts.oauth import CALLBACK
from colonnade.doctor.place import Place, Said
from colonnade.reaching import cause
from colonnade.settings import variable


async def identity_provider(place: Place) -> list[Said]:
    """Its discovery document names the issuer that is set, and keys that signatures can be checked with."""
    issuer = place.settings.oidc_issuer
    if issuer is None:
        return []
    exactly = f"Set {variable('oidc_issuer')} to what the provider's discovery document calls `issuer`, to the letter."
    try:
        found = await ProviderKeys(issuer).read()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        cure = f"Correct {variable('oidc_issuer')}, or let this machine reach it: till then no person can sign in."
        return [Said(f"{issuer} cannot be reached: {cause(error)}", cure)]
    except ValueError as error:
        return [Said(f"the keys of {issuer} cannot be read: {error}", exactly)]
    if not found:
        cure = f"Let the provider sign with one of {', '.join(sorted(ALGORITHMS))}, and give each key an id (`kid`)."
        return [Said(f"{issuer} publishes no key that its tokens could be checked with", cure)]
    return []


async def connect_application(place: Place) -> list[Said]:
    """Stripe shows a business the page of consent, for this application and with the way back to us."""
    settings = place.settings
    if settings.stripe_client_id is None:
        return []
    back = settings.base_url + CALLBACK
    query = {
        "response_type": "code",
        "client_id": settings.stripe_client_id,
        "scope": "read_write",
        "redirect_uri": back,
    }
    url = f"{settings.stripe_connect_base}/oauth/authorize"
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        try:
            async with session.get(f"{url}?{urlencode(query)}", allow_redirects=False) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return [Said(f"{url} cannot be reached: {cause(error)}", "Let this machine reach it, then ask again.")]
    if status < 400:
        return []
    cure = (
        f"Set {variable('stripe_client_id')} as Stripe's Connect settings show it for this mode, and add {back} there."
    )
    return [Said(f"Stripe does not show its page of consent ({_words(status, body)})", cure)]


def _words(status: int, body: bytes) -> str:
    """Stripe's own sentence, where there is one."""
    try:
        found: Any = msgspec.json.decode(body)
        return str(found["error"]["message"])[:300]
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"it answers {status}"
