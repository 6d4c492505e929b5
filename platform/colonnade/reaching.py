"""Why something that the command line needs cannot be reached, as a sentence."""

import os
import re
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from colonnade.settings import Settings, variable

if TYPE_CHECKING:
    from colonnade.errors import StripeUnavailable


async def reach(database_url: str) -> None:
    """Connect, and no more. Raises `OSError` and what asyncpg raises."""
    import asyncpg

    await (await asyncpg.connect(database_url)).close()


def no_database(database_url: str, error: Exception) -> str:
    """The database could not be reached; its URL is a secret, but for the place."""
    host = urlsplit(database_url).netloc.rpartition("@")[2]
    at = f" at {host}" if host else ""
    return f"Cannot reach the database{at}: {cause(error)}. Start it, or correct {variable('database_url')}."


def no_stripe(error: "StripeUnavailable") -> str:
    """Stripe could not be asked: where it was looked for, or that it does not take the key."""
    import stripe

    for each in _causes(error):
        if isinstance(each, stripe.AuthenticationError):
            return f"Stripe refuses the key in {variable('stripe_api_key')}: {each.user_message}"
        if isinstance(each, stripe.APIConnectionError):
            base = os.environ.get(variable("stripe_api_base")) or Settings().stripe_api_base
            return f"Cannot reach Stripe at {base}: {cause(each)}."
    return error.message


def cause(error: BaseException) -> str:
    """The system's words for it, which lie deep: libraries wrap it, and several addresses may have been tried."""
    for each in _causes(error):
        if isinstance(each, socket.gaierror) and each.strerror:
            return each.strerror.lower()
        if isinstance(each, TimeoutError):
            return "it does not answer in time"
        if isinstance(each, OSError) and (number := re.search(r"\[Errno (\d+)\]", str(each))):
            return os.strerror(int(number[1])).lower()
    return str(error) or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
