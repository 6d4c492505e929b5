"""Checks of the account at Stripe: the key, its permissions, the clock, the endpoints, the configurations."""

import re
from contextlib import suppress
from datetime import datetime

import stripe

from colonnade.accounts.states import FROZEN, literal
from colonnade.doctor.place import MOST, Place, Said
from colonnade.errors import DomainError, NotFound, StripeRefused
from colonnade.settings import variable
from colonnade.stripe_api import home
from colonnade.webhooks import endpoint_status

SKEW = 30
"""Seconds that our clock may differ from Stripe's: signatures are good for 300."""

_READS = {
    home.PATH: "its own account",
    "/v1/customers": "Customers",
    "/v1/subscriptions": "Subscriptions",
    "/v1/invoices": "Invoices",
    "/v1/prices": "Prices",
    "/v1/events": "Events",
    "/v1/accounts": "Connected accounts",
    "/v1/billing_portal/configurations": "Customer portal",
    "/v1/webhook_endpoints": "Webhook endpoints",
}
_DEFAULTS = f"""
select t.public_id, t.charge_type, t.stripe_account, c.name, c.stripe_configuration
from portal_configurations c join tenants t on t.id = c.tenant_id
where c.is_default and c.active and c.stripe_configuration is not null and t.state not in {literal(FROZEN)}
order by c.id desc limit $1
"""  # noqa: S608 - our own words


_PERMISSION = re.compile(r"'(rak_[a-z_]+)'")
"""Stripe's own name for it, which its refusal has."""
_ENDPOINT_CURES: dict[endpoint_status.Cure, str] = {
    "provision": "Run `colonnade webhooks provision`; `docs/webhooks.md` says more.",
    "remove-old": "Nothing yet, if the change is under way; else `colonnade webhooks provision --remove-old`.",
    "delete": "Delete it in Stripe's Dashboard, under webhooks: no command here touches what it did not make.",
}


async def account(place: Place) -> list[Said]:
    """Stripe takes the key."""
    try:
        await place.gateway.platform.get(home.PATH)
    except StripeRefused:
        return []  # it takes the key, which lacks a permission: `permissions` names that
    except DomainError as error:
        # Of a tenant's call both are one, later: a key that is refused is mended by the operator, not by the tenant.
        if isinstance(error.__cause__, stripe.AuthenticationError):
            renew = f"Set {variable('stripe_api_key')} to one that is in use."
            return [Said(f"Stripe refuses the key: {error.__cause__.user_message}", renew)]
        cure = f"See status.stripe.com; check the way out, and {variable('stripe_api_base')}."
        return [Said(f"Stripe cannot be asked: {error}", cure)]
    return []


async def clock(place: Place) -> list[Said]:
    """Our clock is Stripe's: signatures and tokens go by it."""
    at = await _stripe_time(place)
    if at is None:
        return []  # the key may read nothing
    # The header has whole seconds, and the answer took a moment.
    seconds = (place.now() - at).total_seconds()
    if abs(seconds) > SKEW:
        side = "ahead of" if seconds > 0 else "behind"
        problem = f"this machine's clock is {abs(seconds):.0f} s {side} Stripe's: signatures are refused from 300 s on"
        return [Said(problem, "Let the clock be set by NTP.")]
    return []


async def _stripe_time(place: Place) -> datetime | None:
    for path in _READS:
        with suppress(StripeRefused):
            return (await place.gateway.platform.dated(path))[1]
    return None


async def platform_account(place: Place) -> list[Said]:
    """The key is of the account, and the mode, that the database belongs to."""
    try:
        found = await place.gateway.platform.get(home.PATH)
    except StripeRefused:
        return []  # `permissions` says so
    key = home.Platform(found["id"], place.settings.livemode)
    async with place.connection() as connection:
        ours = await home.known(connection)
    problem = ours and home.mismatch(ours, key)
    if not problem:
        return []
    cure = f"Set {variable('stripe_api_key')} to a key of {ours}, and change nothing else before: the rest follows."
    return [Said(problem, cure)]


async def permissions(place: Place) -> list[Said]:
    """A restricted key may read what Colonnade reads."""
    lacking = []
    for path, name in _READS.items():
        try:
            await place.gateway.platform.get(path, {} if path == home.PATH else {"limit": 1})
        except StripeRefused as error:
            lacking.append(f"{name} ({_permission(error)})")
    if lacking:
        cure = "Add the permission to the restricted key in Stripe's Dashboard, or use a secret key."
        return [Said(f"the key may not read: {', '.join(lacking)}", cure)]
    return []


def _permission(error: StripeRefused) -> str:
    named = _PERMISSION.search(error.message)
    return named[1] if named else error.code or str(error.status)


async def endpoints(place: Place) -> list[Said]:
    """Both webhook endpoints are at Stripe as this version needs them, and their events arrive."""
    async with place.connection() as connection:
        found = await endpoint_status.status(connection, place.gateway, place.settings)
    secret = "holds no secret that is accepted"  # `webhook-secrets` says that
    return [
        Said(
            f"{each.kind}{f' {each.endpoint}' if each.endpoint else ''}: {each.problem}",
            _ENDPOINT_CURES[each.cure],
            "warning" if each.cure == "remove-old" else "error",
        )
        for each in found.drifts
        if secret not in each.problem
    ]


async def default_configurations(place: Place) -> list[Said]:
    """Tenants' default configurations are at Stripe, in this mode, and active."""
    async with place.connection() as connection:
        rows = await connection.fetch(_DEFAULTS, MOST)
    said = []
    for tenant, charge_type, stripe_account, name, configuration in rows:
        direct = charge_type == "direct"
        client = place.gateway.account(stripe_account) if direct else place.gateway.platform
        cure = f"`POST /v1/tenants/{tenant}/portal-configurations/{name}/check`, then `revert`."
        try:
            found = await client.get(f"/v1/billing_portal/configurations/{configuration}")
        except NotFound:
            said.append(Said(f"{configuration} of {tenant} is not at Stripe with this key", cure))
            continue
        except StripeRefused as error:
            said.append(Said(f"{configuration} of {tenant} cannot be read: {error}", _refused(tenant, error)))
            continue
        if not found["active"]:
            said.append(Said(f"{configuration} of {tenant} was deactivated at Stripe: its portal does not open", cure))
    return said


def _refused(tenant: str, error: StripeRefused) -> str:
    """The account took its access away (`account_invalid`), or the key lacks a permission."""
    if error.code == "account_invalid":
        return f"`GET /v1/tenants/{tenant}/readiness`: its business has to connect the account again."
    return "Add the permission to the restricted key; `permissions` says which."
