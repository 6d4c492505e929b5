"""Checks of secrets against what is stored: what was encrypted, and what Stripe signs with."""

from datetime import UTC, datetime

import msgspec

from colonnade.access.keys import digest
from colonnade.cipher import Cipher, SecretUnreadable
from colonnade.doctor.place import MOST, Place, Said
from colonnade.entitlement_tokens.keys import PURPOSE
from colonnade.notifications.secrets import Sealed, Vault, active
from colonnade.settings import ensure_secret_key, variable
from colonnade.webhooks.provision import KINDS
from colonnade.webhooks.signature import WebhookSecret

_ENDPOINTS = """
select t.public_id || '/' || e.public_id, e.secrets from notification_endpoints e join tenants t on t.id = e.tenant_id
where e.state = 'enabled' order by e.id
"""
_SIGNING = """
select t.public_id || '/' || k.public_id, k.private_key from signing_keys k join tenants t on t.id = k.tenant_id
order by k.id
"""
_MADE = "select id, kind, secret_digest from webhook_endpoints where secret_digest is not null order by created_at, id"


async def of_endpoints(place: Place) -> list[Said]:
    """Each endpoint's secret is set, and in its own variable: else all that it delivers is refused."""
    fields = {kind: f"stripe_{kind}_webhook_secrets" for kind in KINDS}
    given = {
        kind: {digest(WebhookSecret.parse(text).value) for text in getattr(place.settings, field)}
        for kind, field in fields.items()
    }
    async with place.connection() as connection:
        made = await connection.fetch(_MADE)
    newest = {kind: name for name, kind, _ in made}
    said = []
    for name, kind, wanted in made:
        elsewhere = [variable(fields[other]) for other in KINDS if other != kind and wanted in given[other]]
        if wanted in given[kind]:
            continue
        if elsewhere:
            problem = f"the secret of {name} stands in {elsewhere[0]}"
            said.append(Said(problem, f"Move it to {variable(fields[kind])}."))
        elif given[kind]:
            cure = "Set what was printed when it was made; if that is lost, `colonnade webhooks provision --roll`."
            problem = f"{variable(fields[kind])} has not the secret of {name}"
            if name == newest[kind]:
                said.append(Said(problem, cure))
            else:
                ended = f"{problem}, an older endpoint: what it delivers is refused"
                said.append(Said(ended, "End the overlap by `colonnade webhooks provision --remove-old`.", "warning"))
    return said


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
