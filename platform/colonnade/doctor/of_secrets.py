"""Checks of what is stored encrypted: whether the secret key that is set reads it."""

from datetime import UTC, datetime

import msgspec

from colonnade.cipher import Cipher, SecretUnreadable
from colonnade.doctor.place import MOST, Place, Said
from colonnade.entitlement_tokens.keys import PURPOSE
from colonnade.notifications.secrets import Sealed, Vault, active
from colonnade.settings import ensure_secret_key, variable

_ENDPOINTS = """
select t.public_id || '/' || e.public_id, e.secrets from notification_endpoints e join tenants t on t.id = e.tenant_id
where e.state = 'enabled' order by e.id
"""
_SIGNING = """
select t.public_id || '/' || k.public_id, k.private_key from signing_keys k join tenants t on t.id = k.tenant_id
order by k.id
"""


async def stored(place: Place) -> list[Said]:
    """Notifications and entitlement tokens can be signed."""
    key = ensure_secret_key(place.settings)
    vault, cipher = Vault(key), Cipher(key, PURPOSE)
    now = datetime.now(UTC)
    async with place.connection() as connection:
        endpoints = await connection.fetch(_ENDPOINTS)
        signing = await connection.fetch(_SIGNING)
    unreadable = []
    for name, secrets in endpoints:
        try:
            vault.open_any(active(msgspec.json.decode(secrets, type=list[Sealed]), now))
        except SecretUnreadable:
            unreadable.append(name)
    for name, private_key in signing:
        try:
            cipher.decrypt(private_key)
        except SecretUnreadable:
            unreadable.append(name)
    if not unreadable:
        return []
    problem = f"{len(unreadable)} stored secrets cannot be read: {', '.join(unreadable[:MOST])}"
    cure = f"Add the key that encrypted them to {variable('secret_key')}, or have them rolled."
    return [Said(problem, cure)]
