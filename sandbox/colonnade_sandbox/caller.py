"""Who calls and for which account: the key, and the headers that name a version and an account."""

import base64
import binascii
import re
from datetime import date
from functools import lru_cache

from colonnade_sandbox import errors
from colonnade_sandbox.contract import source
from colonnade_sandbox.sandbox import Sandbox

NAMED_SINCE = "2024-09-30"
RELEASES = ("acacia", "basil", "clover", "dahlia")


def secret_key(authorization: str) -> str:
    """The test key of a Bearer or Basic header.

    Raises StripeError (401) for anything else, live keys included.
    """
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            value = ""
    if not value:
        text = (
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
        raise errors.unauthorized(text)
    if not value.startswith(("sk_test_", "rk_test_")) or len(value) <= len("sk_test_"):
        live = " This sandbox takes test keys only." if "_live_" in value else ""
        raise errors.unauthorized(f"Invalid API Key provided: {value[:8]}***.{live}")
    return value


def account(sandbox: Sandbox, headers: dict[str, str], key: str, platform: str) -> str:
    """The account that a call works on: the key's own, or the connected one that a header names.

    `Stripe-Context` is `acct_…`, or the way to it from the platform: `acct_platform/acct_…`.
    Raises StripeError (403) for an account that the platform may not use.
    """
    path = headers.get("stripe-context", "").split("/")
    named = headers.get("stripe-account") or path[-1]
    if any(above != platform for above in path[:-1]):
        raise errors.account_invalid(key, path[0])
    if path[-1] not in ("", named):
        raise errors.StripeError(400, "Stripe-Account and Stripe-Context name different accounts.", storable=False)
    if named in ("", platform):
        return platform
    if platform not in sandbox.platforms_of(named):
        raise errors.account_invalid(key, named)
    return named


@lru_cache(256)
def check_version(version: str) -> None:
    """Raises StripeError (400) for a version that Stripe never had or does not have yet.

    Replies have the pinned version's shape whichever is asked for.
    """
    latest, _, newest = source.api_version().partition(".")
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:\.([a-z]+))?", version)
    if found is None or not _is_day(found[1]) or not "2011" < found[1] <= latest:
        raise errors.invalid_version(version)
    named = found[2] in (*RELEASES, newest, "preview")
    if named is not (found[1] >= NAMED_SINCE):
        raise errors.invalid_version(version)


def _is_day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False
