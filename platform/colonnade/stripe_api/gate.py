"""No call goes to Stripe for a tenant that is frozen: each is checked against the database just before it is sent.

Whoever makes a call may have looked the tenant up minutes ago. A query costs a thousandth of what the call takes; who
has just made one that told the state as well says so, and is not asked again.
"""

import asyncio
import re

import asyncpg

from colonnade.accounts.states import FROZEN, State, literal, sentence
from colonnade.errors import Closed
from colonnade.stripe_api.calls import Call

JUST = 0.1
"""Seconds for which a state that the caller has read counts: about as long as a query of our own may take."""
_ACCOUNT = re.compile(r"/v1/accounts/(acct_[A-Za-z0-9]+)")
_FROZEN = f"""
select state from tenants where (id = $1 or stripe_account = any ($2)) and state in {literal(FROZEN)} limit 1
"""  # noqa: S608 - only our own names are put in


class Gate:
    """Open to all until it is told which database to `use`."""

    def __init__(self) -> None:
        self._pool: asyncpg.Pool | None = None

    def use(self, pool: asyncpg.Pool) -> None:
        """Ask this database, as a duty that sees all tenants."""
        self._pool = pool

    async def check(self, call: Call) -> None:
        """Raises `Closed` where *call* is for a frozen tenant, or on its account."""
        named = _ACCOUNT.match(call.path)
        accounts = [each for each in (call.account, named and named[1]) if each]
        if self._pool is None or call.reconnecting or (call.tenant is None and not accounts):
            return
        if call.open_at is not None and asyncio.get_running_loop().time() - call.open_at < JUST:
            return
        state = await self._pool.fetchval(_FROZEN, call.tenant, accounts)
        if state is not None:
            raise Closed(f"{sentence(State(state))} Stripe is not asked for it.", code=state)
