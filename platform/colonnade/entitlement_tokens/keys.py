"""A tenant's signing keys: one signs at a time, those whose tokens may still be good are published beside it.

A new key is published before it signs, for as long as verifiers may keep what they read; an old one stays published
until its last token has expired.
"""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from colonnade.cipher import Cipher, SecretUnreadable
from colonnade.database.tables import signing_keys
from colonnade.errors import Conflict, NotFound
from colonnade_tenants.ids import new_id
from colonnade_tenants.partition import TENANT, TenantSession

ALGORITHM = "ES256"
PURPOSE = "entitlement tokens"
CACHED = timedelta(minutes=5)
"""For how long a verifier may keep the published keys."""
LONGEST = timedelta(minutes=15)
"""Life of a token, at most."""
SKEW = timedelta(minutes=1)
"""How far a verifier's clock may be behind."""
KEPT = 5
"""Keys of one tenant that are published at the same time, at most."""

_JWKS = """
select k.public_key::text from tenants t left join signing_keys k
    on k.tenant_id = t.id and (k.published_until is null or k.published_until > clock_timestamp())
where t.public_id = $1 order by k.id desc
"""
_NOW = func.clock_timestamp()
_OWN = signing_keys.c.tenant_id == TENANT
_PUBLISHED = or_(signing_keys.c.published_until.is_(None), signing_keys.c.published_until > _NOW)


class SigningKey(Struct):
    """A key as the API shows it; *id* is the `kid` of its tokens.

    It signs from *signs_from* until that of the next; *published_until* is null for the newest.
    """

    id: str
    signs_from: datetime
    published_until: datetime | None
    created_at: datetime


class Signer(Struct):
    """The key that signs at present."""

    id: str
    private_key: ec.EllipticCurvePrivateKey


_COLUMNS = [signing_keys.c.public_id.label("id")] + [
    signing_keys.c[name] for name in ("signs_from", "published_until", "created_at")
]


async def signer(session: TenantSession, cipher: Cipher) -> Signer:
    """The key that signs now; a tenant's first is made when it is asked for. Raises `Conflict` if it is unreadable."""
    found = await _signing(session)
    if found is None:
        await _alone(session)
        found = await _signing(session) or await _add(session, cipher, await _clock(session))
    public_id, ciphertext = found
    try:
        pem = cipher.decrypt(ciphertext)
    except SecretUnreadable as error:
        raise Conflict(f"{error} Rotate the signing key as compromised.") from error
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{public_id} is no {ALGORITHM} key")
    return Signer(public_id, key)


async def rotate(session: TenantSession, cipher: Cipher, *, compromised: bool = False) -> list[SigningKey]:
    """Add a key; all that are published then, newest first. Raises `Conflict` while too many are.

    It signs once every verifier may have read it. *compromised*: at once, and the older ones are published no longer.
    """
    await _alone(session)
    now = await _clock(session)
    older = await published(session)
    if len(older) >= KEPT and not compromised:
        raise Conflict(f"{KEPT} keys are published already: wait until the older ones' tokens have expired.")
    begins = now if compromised or not older else now + CACHED
    end = now if compromised else begins + LONGEST + SKEW
    until = func.least(signing_keys.c.published_until, end)  # least() passes over nulls
    await session.execute(update(signing_keys).where(_OWN, _PUBLISHED).values(published_until=until))
    await session.execute(delete(signing_keys).where(_OWN, ~_PUBLISHED))
    await _add(session, cipher, begins)
    return await published(session)


async def published(session: TenantSession) -> list[SigningKey]:
    """The keys that verifiers see, newest first."""
    found = select(*_COLUMNS).where(_OWN, _PUBLISHED).order_by(signing_keys.c.id.desc())
    return [SigningKey(**row) for row in (await session.execute(found)).mappings()]


async def key_set(pool: asyncpg.Pool, tenant: str) -> list[dict[str, Any]]:
    """The tenant's public keys as JSON Web Keys, newest first. Raises `NotFound`."""
    rows = await pool.fetch(_JWKS, tenant)
    if not rows:
        raise NotFound(f"No such tenant: {tenant!r}.", "tenant")
    return [msgspec.json.decode(row["public_key"]) for row in rows if row["public_key"] is not None]


async def _signing(session: TenantSession) -> tuple[str, str] | None:
    newest = (
        select(signing_keys.c.public_id, signing_keys.c.private_key)
        .where(_OWN, _PUBLISHED, signing_keys.c.signs_from <= _NOW)
        .order_by(signing_keys.c.id.desc())
        .limit(1)
    )
    row = (await session.execute(newest)).one_or_none()
    return None if row is None else (row.public_id, row.private_key)


async def _add(session: TenantSession, cipher: Cipher, begins: datetime) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public_id, ciphertext = new_id("sgk"), cipher.encrypt(pem.decode())
    shown = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    await session.execute(
        insert(signing_keys).values(
            tenant_id=TENANT,
            public_id=public_id,
            private_key=ciphertext,
            public_key=shown | {"kid": public_id, "alg": ALGORITHM, "use": "sig"},
            signs_from=begins,
        )
    )
    return public_id, ciphertext


async def _alone(session: TenantSession) -> None:
    """Be the only transaction that changes the tenant's keys, until it ends."""
    lock = func.pg_advisory_xact_lock(func.hashtextextended("colonnade signing keys", TENANT))
    await session.execute(select(lock))


async def _clock(session: TenantSession) -> datetime:
    now: datetime = await session.scalar(select(_NOW).where(TENANT == TENANT))
    return now
