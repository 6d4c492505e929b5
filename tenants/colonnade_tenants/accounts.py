"""The mirror of the tenant's connected account: what it may do, and whether it still lets us act for it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, column, select, table
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.errors import Invalid
from colonnade_tenants.events import Event
from colonnade_tenants.notifications import notes, tell
from colonnade_tenants.order import digest, rewind
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.readiness import DISCONNECTED, Readiness, assess
from colonnade_tenants.readiness_log import remember
from colonnade_tenants.snapshots import READ, Held, later
from colonnade_tenants.stripe import TenantStripe
from colonnade_tenants.tables import connected_accounts

NEVER = datetime.fromtimestamp(0, UTC)
"""`source_created` of what no event has told yet, so that any event is news."""


class Facts(Struct, frozen=True):
    """What the mirror keeps of Stripe's account object; other fields are ignored, these are checked."""

    id: str
    charges_enabled: bool
    payouts_enabled: bool
    details_submitted: bool
    capabilities: dict[str, str] = {}
    requirements: dict[str, Any] | None = None
    future_requirements: dict[str, Any] | None = None


class Access(Struct, frozen=True):
    """*disconnected_at* is null while the account lets us act for it."""

    disconnected_at: datetime | None = None
    authorized_at: datetime | None = None


class ConnectedAccount(Struct, frozen=True):
    """The account as it is held, whether we may act for it, and how its tenant is paid."""

    held: Held[Facts]
    access: Access
    charge_type: str = "destination"

    @property
    def facts(self) -> Facts:
        """What the account may do."""
        return self.held.facts

    @property
    def readiness(self) -> Readiness:
        """What it amounts to."""
        if self.access.disconnected_at:
            return DISCONNECTED
        return assess(msgspec.structs.asdict(self.facts), self.charge_type)


_JSON = ("capabilities", "requirements", "future_requirements")
_FACTS = ("charges_enabled", "payouts_enabled", "details_submitted", *_JSON)
_STATE = (*_FACTS, "disconnected_at", "authorized_at", "source_created", "source_event", "source_before")
_ACCOUNT: Any = bindparam("stripe_account")
_MINE = (connected_accounts.c.tenant_id == TENANT, connected_accounts.c.stripe_account == _ACCOUNT)
_TENANTS = table("tenants", column("id"), column("charge_type"))
_CHARGE_TYPE = select(_TENANTS.c.charge_type).where(_TENANTS.c.id == TENANT).scalar_subquery().label("charge_type")

_READ = Statement(select(*(connected_accounts.c[name] for name in _STATE), _CHARGE_TYPE).where(*_MINE))
_LOCK = Statement(select(connected_accounts.c.tenant_id).where(*_MINE).with_for_update())
_RESERVE = Statement(
    insert(connected_accounts)
    .values(tenant_id=TENANT, stripe_account=_ACCOUNT, source_created=bindparam("never", NEVER))
    .on_conflict_do_nothing(index_elements=["tenant_id", "stripe_account"])
)
_NEW = insert(connected_accounts).values(
    tenant_id=TENANT, stripe_account=_ACCOUNT, **{name: bindparam(name) for name in _STATE}
)
_SAVE = Statement(
    _NEW.on_conflict_do_update(
        index_elements=["tenant_id", "stripe_account"], set_={name: _NEW.excluded[name] for name in _STATE}
    )
)


async def read(tenant: TenantConnection, account: str) -> ConnectedAccount | None:
    """The account as it was last heard of; None: never."""
    row = await tenant.fetch_one(_READ, stripe_account=account)
    if row is None:
        return None
    json = {name: msgspec.json.decode(row[name]) for name in _JSON}
    facts = msgspec.convert({**row, **json, "id": account}, Facts)
    access = Access(row["disconnected_at"], row["authorized_at"])
    held = Held(facts, row["source_created"], row["source_event"] or READ, row["source_before"])
    return ConnectedAccount(held, access, row["charge_type"] or "destination")


async def apply_account(
    tenant: TenantConnection,
    account: Mapping[str, Any],
    event: Event | None,
    stripe: TenantStripe | None = None,
    *,
    as_of: datetime = NEVER,
    cause: str = READ,
) -> bool:
    """Mirror Stripe's *account* object, which *event* brought, or which was just read (None); whether it was news.

    *as_of*: Stripe's time of what it was read for. Events about the account from before then are no news. *cause*: the
    event that was the reason for reading, if one was.
    Never reconnects: only `authorize` does. *stripe* is asked where two events of one second do not say which is later,
    unless the account has disconnected: then it cannot be read, and stays as it is.
    Raises `msgspec.ValidationError` with the path of what is not as Stripe documents it.
    """
    facts = _facts(account)
    old = await _locked(tenant, facts.id)
    if event is None:
        if NEVER < as_of < old.held.created:
            return False  # while Stripe's answer was under way, an event told of something later
        created = max(old.held.created, as_of)
        held = msgspec.structs.replace(old.held, facts=facts, created=created, event=READ, before=None)
    else:
        held = await _weigh(old, facts, account, event, stripe)
    if held != old.held:
        by, at = (cause, as_of) if event is None else (event.id, event.created)
        await _save(tenant, msgspec.structs.replace(old, held=held), old, by, at)
    return held.facts != old.facts


async def disconnect(tenant: TenantConnection, account: str, event: Event) -> None:
    """Note that the account took our access away, unless it is known to have given it again since."""
    await _gone(tenant, account, event.created, event.id)


async def lose(tenant: TenantConnection, account: str, at: datetime) -> None:
    """The same, as Stripe refused us the account, of which no event told: at this time of its own, or earlier."""
    await _gone(tenant, account, at, READ)


async def _gone(tenant: TenantConnection, account: str, at: datetime, cause: str) -> None:
    old = await _locked(tenant, account)
    gone, given = old.access.disconnected_at, old.access.authorized_at
    if given is None or given <= at:
        await _save(tenant, msgspec.structs.replace(old, access=Access(max(gone or at, at), given)), old, cause, at)


async def authorize(tenant: TenantConnection, account: str, event: Event) -> None:
    """Note that the account gave us access; it takes effect if newer than what took it away."""
    old = await _locked(tenant, account)
    gone, given = old.access.disconnected_at, old.access.authorized_at
    still_gone = gone if gone is not None and gone >= event.created else None
    access = Access(still_gone, max(given or event.created, event.created))
    await _save(tenant, msgspec.structs.replace(old, access=access), old, event.id, event.created)


async def regain(tenant: TenantConnection, account: str, at: datetime) -> None:
    """Note that Stripe let us read the account at this time of its own, so that we have access unless it went since."""
    old = await _locked(tenant, account)
    gone, given = old.access.disconnected_at, old.access.authorized_at
    access = Access(gone if gone is not None and gone > at else None, max(given or at, at))
    await _save(tenant, msgspec.structs.replace(old, access=access), old, READ, at)


async def _locked(tenant: TenantConnection, account: str) -> ConnectedAccount:
    """The account's row, made if need be, locked until the transaction ends."""
    await tenant.execute(_RESERVE, stripe_account=account)
    await tenant.fetch(_LOCK, stripe_account=account)
    found = await read(tenant, account)
    if found is None:
        raise Invalid(f"{account} was removed meanwhile.")
    return found


async def _weigh(
    old: ConnectedAccount, facts: Facts, account: Mapping[str, Any], event: Event, stripe: TenantStripe | None
) -> Held[Facts]:
    async def reread() -> Facts | None:
        if stripe is None or old.access.disconnected_at is not None:
            return None
        return _facts(await stripe.get(f"/v1/accounts/{facts.id}"))

    said = Held(facts, event.created, event.id, _before(account, event.previous_attributes))
    return await later(said, old.held, stage=lambda _: 0, reread=reread)


def _facts(account: Mapping[str, Any]) -> Facts:
    facts = msgspec.convert(account, Facts)
    empty: dict[str, Any] = {
        name: {} for name in ("requirements", "future_requirements") if getattr(facts, name) is None
    }
    return msgspec.structs.replace(facts, **empty)


def _before(account: Mapping[str, Any], previous: Mapping[str, Any] | None) -> bytes | None:
    try:
        return None if previous is None else digest(_facts(rewind(account, previous)))
    except msgspec.ValidationError:
        return None  # previous attributes need not make a whole object


async def _save(
    tenant: TenantConnection, account: ConnectedAccount, old: ConnectedAccount, cause: str, at: datetime
) -> None:
    """Keep *account*, and remember and tell if it amounts to something else than *old*."""
    columns = msgspec.structs.asdict(account.facts) | msgspec.structs.asdict(account.access)
    json = {name: msgspec.json.encode(columns[name]).decode() for name in _JSON}
    await tenant.execute(
        _SAVE,
        **columns | json,
        stripe_account=account.facts.id,
        source_created=account.held.created,
        source_event=None if account.held.event == READ else account.held.event,
        source_before=account.held.before,
    )
    readiness = account.readiness
    before = await remember(tenant, account.facts.id, readiness, cause, None if at == NEVER else at)
    if before is None and old.held.created > NEVER:  # not the tenant's present account
        before = old.readiness.state
    await tell(tenant, notes.readiness_changed(account.facts.id, cause, old.readiness, readiness, before))
