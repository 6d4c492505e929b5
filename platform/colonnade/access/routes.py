"""Routes of a tenant's API keys."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from colonnade.access import audit, keys
from colonnade.access.guard import Scope, Tenant
from colonnade.errors import Conflict, NotFound
from colonnade.services import Services
from colonnade.web import After, IdempotencyKey, Limit, Page, as_it_is, from_cursor, page_of
from colonnade_tenants import values

_KEYS = "/tenants/{tenant:str}/keys"
_TAGS = ["Keys"]

_COLUMNS = "public_id as id, name, scopes, created_at, revoked_at"
_GET = f"select {_COLUMNS} from api_keys where tenant_id = $1 and public_id = $2"  # noqa: S608 - our own column names
_PAGE = f"""
select {_COLUMNS} from api_keys where tenant_id = $1 and public_id > $2 order by public_id limit $3
"""  # noqa: S608
_REVOKE = """
update api_keys set revoked_at = coalesce(revoked_at, now()) where tenant_id = $1 and public_id = $2 returning id
"""


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """What a key is for, and what it may do: `admin`, everything; `check`, only ask for entitlements."""

    name: str
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=2)] = msgspec.field(
        default_factory=lambda: [Scope.ADMIN]
    )


class KeyView(Struct, kw_only=True):
    """A key, as the API shows it: never the key itself."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    revoked_at: datetime | None


class CreatedKey(KeyView, kw_only=True):
    """A key just made; *key* is shown this once."""

    key: str


@post(_KEYS, summary="Make an API key of the tenant", tags=_TAGS)
async def create_key(
    data: JSONBody[NewKey],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    idempotency_key: IdempotencyKey = None,
) -> CreatedKey:
    values.text(data.name, "name", 100)
    scopes = sorted(set(data.scopes))
    if idempotency_key is None:
        key = keys.random_key("tenant")
    else:
        key = keys.derived_key("tenant", services.secret_key, f"{current.public_id}\0key\0{idempotency_key}")
    async with services.database.platform_connection() as connection:
        made = await keys.store(connection, key, data.name, current.id, scopes)
        found = msgspec.convert(dict(await connection.fetchrow(_GET, current.id, made.id)), KeyView)
        if (found.name, found.scopes, found.revoked_at) != (data.name, scopes, None):
            raise Conflict("This Idempotency-Key came with another request before.", "Idempotency-Key")
        audit.note(target=f"tenants/{current.public_id}/keys/{found.id}", after=audit.named(found, "name", "scopes"))
    return CreatedKey(**msgspec.structs.asdict(found), key=key)


@get(_KEYS, summary="A tenant's API keys, oldest first", tags=_TAGS)
async def list_keys(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[KeyView]:
    async with services.database.platform_pool.acquire() as connection:
        rows = await connection.fetch(_PAGE, current.id, values.after(from_cursor(after)), limit + 1)
    found = [msgspec.convert(dict(row), KeyView) for row in rows]
    return page_of(found, limit, lambda each: each.id, as_it_is)


@delete(_KEYS + "/{key:str}", summary="Revoke an API key, everywhere within a second", tags=_TAGS)
async def revoke_key(key: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]) -> None:
    async with services.database.platform_connection() as connection:
        # PostgreSQL would refuse some unprintable characters, and no id has any.
        revoked = await connection.fetchval(_REVOKE, current.id, key) if key.isprintable() else None
        if revoked is None:
            raise NotFound(f"There is no key {key!r}.", "key")


ROUTES = (create_key, list_keys, revoke_key)
