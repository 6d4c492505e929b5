"""Routes of API keys: a tenant's, and the platform team's."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from colonnade.access import owned_keys
from colonnade.access.guard import WHILE_FROZEN, Tenant
from colonnade.access.owned_keys import KeyRow, Made, Owner
from colonnade.access.scopes import LONGEST_OVERLAP, Role, Scope
from colonnade.services import Services
from colonnade.web import After, IdempotencyKey, Limit, Page, from_cursor, page_of
from colonnade_tenants.times import RULE, Moment

_KEYS = "/tenants/{tenant:str}/keys"
_TAGS = ["Keys"]
_DAY = 86_400

Expiry = Annotated[Moment, Meta(description=f"When the key stops working; null: never. {RULE}")]


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """What a tenant's key is for, and what it may do."""

    name: str
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=len(Scope))] = msgspec.field(
        default_factory=lambda: [Scope.ADMIN]
    )
    expires_at: Expiry | None = None


class NewPlatformKey(Struct, frozen=True, forbid_unknown_fields=True):
    """What a key of the platform team is for, and its role."""

    name: str
    role: Role
    expires_at: Expiry | None = None


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    """For how many seconds the old key goes on working. The new one expires then, or lasts as long as the old."""

    overlap: Annotated[int, Meta(ge=0, le=LONGEST_OVERLAP)] = _DAY
    expires_at: Expiry | None = None


class _View(Struct, kw_only=True):
    id: str
    name: str
    prefix: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    followed_by: str | None


class KeyView(_View, kw_only=True):
    """A tenant's key, never itself: *prefix* is its first letters, *last_used_at* is to the minute.

    *followed_by*: the key that its rotation made.
    """

    scopes: list[Scope]


class CreatedKey(KeyView, kw_only=True):
    """A key just made; *key* is shown this once."""

    key: str


class PlatformKeyView(_View, kw_only=True):
    """A key of the platform team, shown like a tenant's."""

    role: Role


class CreatedPlatformKey(PlatformKeyView, kw_only=True):
    """A key just made; *key* is shown this once."""

    key: str


def _tenants(row: KeyRow) -> KeyView:
    return msgspec.convert(row, KeyView, from_attributes=True)


def _platforms(row: KeyRow) -> PlatformKeyView:
    return msgspec.convert({**msgspec.structs.asdict(row), "role": row.scopes[0]}, PlatformKeyView)


def _created(made: Made) -> CreatedKey:
    return CreatedKey(**msgspec.structs.asdict(_tenants(made.row)), key=made.secret)


def _created_platforms(made: Made) -> CreatedPlatformKey:
    return CreatedPlatformKey(**msgspec.structs.asdict(_platforms(made.row)), key=made.secret)


@post(_KEYS, summary="Make an API key of the tenant", tags=_TAGS)
async def create_key(
    data: JSONBody[NewKey],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    idempotency_key: IdempotencyKey = None,
) -> CreatedKey:
    scopes = sorted(set(data.scopes))
    made = await owned_keys.create(services, Owner.of(current), data.name, [*scopes], data.expires_at, idempotency_key)
    return _created(made)


@get(_KEYS, summary="A tenant's API keys, oldest first", tags=_TAGS)
async def list_keys(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[KeyView]:
    found = await owned_keys.page(services, Owner.of(current), from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each.id, _tenants)


@post(_KEYS + "/{key:str}/rotate", summary="Make the key that follows an API key", tags=_TAGS)
async def rotate_key(
    key: FromPath[str],
    data: JSONBody[Rotation],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    idempotency_key: IdempotencyKey = None,
) -> CreatedKey:
    owner = Owner.of(current)
    return _created(await owned_keys.rotate(services, owner, key, data.overlap, data.expires_at, idempotency_key))


@delete(
    _KEYS + "/{key:str}",
    summary="Revoke an API key, everywhere within a second",
    tags=_TAGS,
    opt={WHILE_FROZEN: True},
)
async def revoke_key(key: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]) -> None:
    await owned_keys.revoke(services, Owner.of(current), key)


@post("/keys", summary="Make an API key of the platform team", tags=_TAGS)
async def create_platform_key(
    data: JSONBody[NewPlatformKey], services: NamedDependency[Services], idempotency_key: IdempotencyKey = None
) -> CreatedPlatformKey:
    made = await owned_keys.create(services, Owner.of(None), data.name, [data.role], data.expires_at, idempotency_key)
    return _created_platforms(made)


@get("/keys", summary="The platform team's API keys, oldest first", tags=_TAGS)
async def list_platform_keys(
    services: NamedDependency[Services], limit: Limit = 20, after: After = None
) -> Page[PlatformKeyView]:
    found = await owned_keys.page(services, Owner.of(None), from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each.id, _platforms)


@post("/keys/{key:str}/rotate", summary="Make the key that follows one of the platform team's", tags=_TAGS)
async def rotate_platform_key(
    key: FromPath[str],
    data: JSONBody[Rotation],
    services: NamedDependency[Services],
    idempotency_key: IdempotencyKey = None,
) -> CreatedPlatformKey:
    owner = Owner.of(None)
    made = await owned_keys.rotate(services, owner, key, data.overlap, data.expires_at, idempotency_key)
    return _created_platforms(made)


@delete("/keys/{key:str}", summary="Revoke an API key of the platform team, everywhere within a second", tags=_TAGS)
async def revoke_platform_key(key: FromPath[str], services: NamedDependency[Services]) -> None:
    await owned_keys.revoke(services, Owner.of(None), key)


ROUTES = (
    create_key,
    list_keys,
    rotate_key,
    revoke_key,
    create_platform_key,
    list_platform_keys,
    rotate_platform_key,
    revoke_platform_key,
)
