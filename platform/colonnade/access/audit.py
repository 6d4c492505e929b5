"""The audit log: who did what, on what, and what it was before and after. Lines are added, and never changed.

A request that may change something is noted by the guard; the first of its final transactions that writes anything adds
the line, so that a change and its line are committed together, and no handler can forget it. What is only reserved or
noted until Stripe has answered is not final (see `Database.tenant`): Stripe may refuse it. Such a request, and one that
changes things elsewhere alone, gets its line at the latest once it has succeeded. A handler says more about it by
`note`. What is done without a request goes inside of `acting`; what is more than one action is told by `record`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Response

from colonnade.access.principals import Principal
from colonnade.database.connections import Database, Transaction, driver
from colonnade.observability import REQUEST_ID
from colonnade_tenants.ids import new_id

_ADD = """
insert into audit_log (public_id, tenant_id, by_kind, by_id, action, target, before, after, request_id)
select $1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9
where not $10::boolean or pg_current_xact_id_if_assigned() is not null
"""


@dataclass
class Acting:
    """What the request under way does: the line that is to be added."""

    by: Principal
    action: str
    tenant_id: int | None
    target: str
    database: Database
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    added: bool = False


ACTING: ContextVar[Acting | None] = ContextVar("acting", default=None)
"""Of the request that this is done for; None: it may change nothing, or needs no line."""


def named(thing: Any, *names: str) -> dict[str, Any]:
    """These fields of a mapping or struct, for `before` and `after`. Nothing gets into the log that is not named."""
    found = msgspec.to_builtins(thing)
    return {name: found[name] for name in names if name in found}


def note(
    *,
    tenant_id: int | None = None,
    target: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Say more in the line of the request under way; before the transaction that changes it ends.

    Fields that were noted before stay, unless they are told anew.
    """
    acting = ACTING.get()
    if acting is not None:
        acting.tenant_id = tenant_id or acting.tenant_id
        acting.target = target or acting.target
        acting.before = {**(acting.before or {}), **before} if before else acting.before
        acting.after = {**(acting.after or {}), **after} if after else acting.after


def actor() -> str | None:
    """Who does what is under way; None: nobody's request is."""
    acting = ACTING.get()
    return None if acting is None else acting.by.id


def nothing_done() -> None:
    """The request under way turned out to change nothing: no line."""
    ACTING.set(None)


def unneeded() -> None:
    """There was nothing to do: the request under way gets no line."""
    acting = ACTING.get()
    if acting is not None:
        acting.added = True


def changes(*things: str) -> bool:
    """Whether the request under way is of an action on one of *things*: `key` of `key.revoked`."""
    acting = ACTING.get()
    return acting is not None and acting.action.partition(".")[0] in things


@asynccontextmanager
async def acting(
    database: Database, by: Principal, action: str, target: str, *, tenant_id: int | None = None
) -> AsyncIterator[None]:
    """What is done within gets a line as a request does; what ends in an error before it changed anything, none."""
    token = ACTING.set(Acting(by, action, tenant_id, target, database))
    try:
        yield
        await _finish()
    finally:
        ACTING.reset(token)


async def record(
    connection: Transaction,
    by: Principal,
    action: str,
    *,
    tenant_id: int | None,
    target: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add a line in the transaction of the change; the request under way then needs no other.

    *action* is a thing and what became of it: `tenant.suspended`. *target* is the thing's path below `/v1/`. *before*
    and *after* hold what `named` picked. A connection that is set to a tenant adds lines of that tenant only.
    """
    acting = ACTING.get()
    if acting is not None:
        acting.added = True
    await _add(connection, by, action, tenant_id, target, before, after)


async def before_commit(connection: Transaction) -> None:
    """Add the line of the request under way, if its transaction has written anything: `Database` calls this."""
    acting = ACTING.get()
    if acting is not None and not acting.added:
        acting.added = await _add_noted(connection, acting, if_written=True)


async def after_request(response: Response[Any]) -> Response[Any]:
    """Add the line of a request that succeeded without a transaction that wrote: Litestar calls this."""
    await _finish()
    return response


async def _finish() -> None:
    acting = ACTING.get()
    if acting is not None and not acting.added:
        async with acting.database.platform_connection() as connection:
            acting.added = await _add_noted(connection, acting, if_written=False)


async def _add_noted(connection: Transaction, acting: Acting, *, if_written: bool) -> bool:
    return await _add(
        connection,
        acting.by,
        acting.action,
        acting.tenant_id,
        acting.target,
        acting.before,
        acting.after,
        if_written=if_written,
    )


async def _add(
    connection: Transaction,
    by: Principal,
    action: str,
    tenant_id: int | None,
    target: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    if_written: bool = False,
) -> bool:
    tag: str = await (await driver(connection)).execute(
        _ADD,
        new_id("aud"),
        tenant_id,
        by.kind,
        by.id,
        action,
        target,
        _json(before),
        _json(after),
        REQUEST_ID.get(),
        if_written,
    )
    return tag.endswith(" 1")


def _json(fields: Mapping[str, Any] | None) -> str | None:
    return None if fields is None else msgspec.json.encode(fields).decode()
