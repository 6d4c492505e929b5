"""API keys: `col_platform_…` for the platform team, `col_tenant_…` for one tenant. Only their digest is kept."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from colonnade.access.scopes import Role
from colonnade.database.connections import connect
from colonnade.database.roles import Duty
from colonnade.secret_keys import accepted
from colonnade_tenants.ids import new_id

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz"
_LENGTH = 32  # letters of 54: 184 bits


_SHOWN = re.compile(r"col_(?:platform|tenant)_[0-9A-Za-z]{4}")


class NewKey(NamedTuple):
    """A key just made: *secret* is shown once and kept nowhere. *fresh*: it was not stored before."""

    id: str
    secret: str
    fresh: bool = True


def digest(key: str) -> bytes:
    """SHA-256 of the whole key. A key is random, so no slow hash is needed to keep it from being guessed."""
    return hashlib.sha256(key.encode()).digest()


def _encode(number: int) -> str:
    letters = []
    for _ in range(_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def prefix_of(key: str) -> str:
    """What may be shown of a key, so that people know it again: `col_tenant_AbCd`; empty for what is no key."""
    match = _SHOWN.match(key)
    return match[0] if match else ""


def random_key(kind: str) -> str:
    """A fresh key of *kind* (`platform` or `tenant`)."""
    return f"col_{kind}_{_encode(secrets.randbits(192))}"


async def derived_key(connection: asyncpg.Connection, kind: str, secret_key: str, purpose: str) -> str:
    """The key of *kind* that *purpose* always gives, so that a repeated request answers the same without storing it.

    Each accepted secret key gives another: the one that is kept already counts, else the newest's.
    """
    derived = [_derived(kind, each, purpose) for each in accepted(secret_key)]
    rows = await connection.fetch(
        "select digest from api_keys where digest = any($1)", [digest(key) for key in derived]
    )
    kept = {row["digest"] for row in rows}
    return next((key for key in derived if digest(key) in kept), derived[0])


def _derived(kind: str, secret_key: str, purpose: str) -> str:
    mac = hmac.digest(secret_key.encode(), f"api key\0{purpose}".encode(), "sha512")
    return f"col_{kind}_{_encode(int.from_bytes(mac))}"


async def store(
    connection: asyncpg.Connection,
    key: str,
    name: str,
    tenant_id: int | None,
    scopes: Sequence[str] = ("admin",),
    expires_at: datetime | None = None,
) -> NewKey:
    """Keep *key*'s digest; storing the same key again is harmless."""
    public_id = await connection.fetchval(
        "insert into api_keys (public_id, tenant_id, name, digest, scopes, prefix, expires_at) "
        "values ($1, $2, $3, $4, $5, $6, $7) "
        "on conflict (digest) do nothing returning public_id",
        new_id("key"),
        tenant_id,
        name,
        digest(key),
        scopes,
        prefix_of(key),
        expires_at,
    )
    if public_id is not None:
        return NewKey(public_id, key)
    stored = await connection.fetchval("select public_id from api_keys where digest = $1", digest(key))
    return NewKey(stored, key, fresh=False)


async def create_platform_key(database_url: str, name: str, role: Role = Role.ADMIN) -> str:
    """Make and keep a key of the platform team; the key."""
    connection = await connect(database_url, Duty.PLATFORM)
    try:
        return (await store(connection, random_key("platform"), name, None, [role])).secret
    finally:
        await connection.close()
