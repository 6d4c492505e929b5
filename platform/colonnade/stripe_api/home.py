"""The platform's own account at Stripe: a database belongs to one, in one mode, and no other one's key works on it.

With another account's key every connected account looks disconnected and every object deleted, and what is then made
is made in the wrong place. So the first call of a process asks whose key it is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

import asyncpg
import structlog

from colonnade.errors import StripeRefused, WrongAccount
from colonnade.settings import variable
from colonnade.stripe_api.calls import Call, Priority

log = structlog.get_logger()

PATH = "/v1/account"
_KNOWN = "select account, livemode from platform_account"
_SENTENCE = (
    f"Stripe is not asked: the key in {variable('stripe_api_key')} is of another platform account than the database. "
    "`colonnade doctor` names both."
)
_NOTE = "insert into platform_account (account, livemode) values ($1, $2) on conflict do nothing"

Ask: TypeAlias = Callable[[Call], Awaitable[str]]
"""Makes a call; the id of what Stripe answers."""


class Platform(NamedTuple):
    """An account and a mode of it."""

    account: str
    livemode: bool

    def __str__(self) -> str:
        return f"{self.account} in {'live' if self.livemode else 'test'} mode"


async def known(connection: "asyncpg.Connection | asyncpg.Pool") -> Platform | None:
    """The one that the database belongs to; None: no call was made yet."""
    row = await connection.fetchrow(_KNOWN)
    return None if row is None else Platform(*row)


def mismatch(ours: Platform, key: Platform) -> str | None:
    """What is wrong with a key of *key*, as a sentence; None: nothing."""
    return None if ours == key else f"the key is of {key}, and the database belongs to {ours}"


class Home:
    """Lets every call through until it is told which database to `use`."""

    def __init__(self, livemode: bool) -> None:
        self._livemode = livemode
        self._source: asyncpg.Connection | asyncpg.Pool | None = None
        self._settled = False
        self._wrong: str | None = None
        self._one = asyncio.Lock()

    def use(self, source: "asyncpg.Connection | asyncpg.Pool") -> None:
        """Compare with this database, as the platform's or the worker's duty; it is told the account if it has none."""
        self._source = source

    async def check(self, call: Call, ask: Ask) -> None:
        """Raises `WrongAccount` where the key is another account's; what *ask* raises, where nobody can tell now."""
        if self._settled or self._source is None or _is_the_question(call):
            return
        async with self._one:
            if not self._settled and self._wrong is None:
                await self._settle(self._source, ask)
        if self._wrong is not None:
            raise WrongAccount(_SENTENCE)

    async def _settle(self, source: "asyncpg.Connection | asyncpg.Pool", ask: Ask) -> None:
        try:
            key = Platform(await ask(Call(method="get", path=PATH, priority=Priority.PORTAL)), self._livemode)
        except StripeRefused as error:  # a restricted key: `doctor` names what it lacks
            log.warning("whose key it is cannot be told", status=error.status)
            self._settled = True
            return
        ours = await known(source)
        if ours is None:
            await source.execute(_NOTE, *key)
            ours = await known(source) or key
        self._wrong = mismatch(ours, key)
        if self._wrong is None:
            self._settled = True
        else:
            log.error("nothing is asked of Stripe", reason=self._wrong)


def _is_the_question(call: Call) -> bool:
    return call.path == PATH and call.account is None
