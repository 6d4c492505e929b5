"""What events about the connected account itself do."""

from collections.abc import Callable

import msgspec
from msgspec import Struct

from colonnade_tenants import accounts
from colonnade_tenants.errors import Invalid
from colonnade_tenants.events import Event
from colonnade_tenants.fields import Reference, id_of
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe


async def account_updated(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the account."""
    account = event.thing
    if event.account is not None and account.get("id") != event.account:
        raise Invalid("The event is about another account than the one it came from.", "account")
    await accounts.apply_account(tenant, account, event, stripe)


class _Capability(Struct):
    id: str
    account: Reference
    status: str


async def capability_updated(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Read the account where the event says something that no newer snapshot of the account does."""
    capability = msgspec.json.decode(event.object, type=_Capability)

    def told(facts: accounts.Facts) -> bool:
        return facts.capabilities.get(capability.id, "unrequested") == capability.status

    await _read_unless(told, _whose(event, capability.account), event, tenant, stripe)


class _Due(Struct):
    currently_due: list[str] = []
    past_due: list[str] = []
    pending_verification: list[str] = []


class _Person(Struct):
    """Stripe's person ("The Person object", Stripe API reference), as far as it bears on the account."""

    id: str
    account: Reference
    requirements: _Due | None = None


async def person_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """The same where a person's requirements are not those that the account is known to have for that person."""
    person = msgspec.json.decode(event.object, type=_Person)
    wanted = _Due() if event.type == "person.deleted" else person.requirements or _Due()
    lists = msgspec.structs.asdict(wanted)
    own = f"{person.id}."

    def told(facts: accounts.Facts) -> bool:
        held = facts.requirements or {}
        return all(
            {name.removeprefix(own) for name in held.get(key) or () if name.startswith(own)} == set(names)
            for key, names in lists.items()
        )

    await _read_unless(told, _whose(event, person.account), event, tenant, stripe)


class _ExternalAccount(Struct):
    account: Reference | None = None


async def external_account_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """The same where a bank account came while one is held to be due, or left while none is."""
    found = msgspec.json.decode(event.object, type=_ExternalAccount)
    came = event.type.endswith(".created")

    def told(facts: accounts.Facts) -> bool:
        held = facts.requirements or {}
        due = any("external_account" in (held.get(key) or ()) for key in ("currently_due", "past_due"))
        return due is not came

    account = _account(event) if found.account is None else _whose(event, found.account)
    await _read_unless(told, account, event, tenant, stripe)


def _whose(event: Event, account: Reference) -> str:
    """The account that the event's object belongs to, which has to be the one it came from. Raises `Invalid`."""
    found = id_of(account)
    if event.account is not None and found != event.account:
        raise Invalid("The event is about another account than the one it came from.", "account")
    return found


async def _read_unless(
    told: Callable[[accounts.Facts], bool], account: str, event: Event, tenant: TenantConnection, stripe: TenantStripe
) -> None:
    """Read *account* once, unless what is held is newer than the event, or says the same: reads are few."""
    known = await accounts.read(tenant, account)
    if known is not None and (
        known.held.created > event.created or known.access.disconnected_at is not None or told(known.facts)
    ):
        return
    found = await stripe.get(f"/v1/accounts/{account}")
    await accounts.apply_account(tenant, found, None, as_of=event.created, cause=event.id)


async def account_disconnected(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Freeze from the signed body alone: by now the account's objects cannot be read any more."""
    await accounts.disconnect(tenant, _account(event), event)


async def account_connected(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Thaw an account that was connected again."""
    await accounts.authorize(tenant, _account(event), event)


def _account(event: Event) -> str:
    """The account of an event whose object is the application."""
    if event.account is None:
        raise Invalid("The event does not say which account it is from.", "account")
    return event.account
