"""Which configuration a customer's portal has: by name, by the first rule that fits, else the tenant's default."""

from datetime import datetime
from typing import Annotated, Any, Literal

import asyncpg
import msgspec
from msgspec import Meta, Struct
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from colonnade.accounts.states import State
from colonnade.database.tables import portal_rules as table
from colonnade.errors import Conflict, Invalid, NotFound
from colonnade.etags import require_match
from colonnade.portals import store
from colonnade.portals.settings import PortalSettings
from colonnade_tenants import values
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.portal.state import Traits

By = Literal["name", "rule", "default"]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$")]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The *configuration* for customers who fulfil all that is named.

    *plans*: the customer has a subscription to one of them. *countries*: of the billing address. *metadata*: of the
    customer, each key with this value.
    """

    configuration: str
    plans: Annotated[tuple[str, ...], Meta(max_length=50)] = ()
    countries: Annotated[tuple[Country, ...], Meta(max_length=250)] = ()
    metadata: dict[str, str] = {}

    def fits(self, customer: Traits) -> bool:
        """Whether the customer fulfils it."""
        return (
            (not self.plans or bool({*self.plans} & {*customer.plans}))
            and (not self.countries or customer.country in self.countries)
            and self.metadata.items() <= customer.metadata.items()
        )


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """The first that fits chooses; where none does, it is the default configuration."""

    rules: Annotated[tuple[Rule, ...], Meta(max_length=50)] = ()


class RulesView(Rules, frozen=True):
    """The rules, as the API shows them."""

    updated_at: datetime | None = None


class Chosen(Struct, frozen=True):
    """A configuration, and what chose it."""

    name: str
    settings: PortalSettings
    stripe_configuration: str | None
    by: By
    rule: Rule | None = None


async def get(session: TenantSession) -> RulesView:
    """The tenant's rules; none before the first PUT."""
    row = (await session.execute(select(table.c.rules, table.c.updated_at).where(table.c.tenant_id == TENANT))).first()
    return RulesView(msgspec.convert(row.rules, tuple[Rule, ...]), row.updated_at) if row else RulesView()


async def put(session: TenantSession, wanted: Rules, if_match: str | None) -> RulesView:
    """Let these be the tenant's rules. Raises `Invalid`, `PreconditionFailed`."""
    await store.lock(session, "portal rules")
    require_match(if_match, await get(session))
    for index, rule in enumerate(wanted.rules):
        await _check(session, rule, f"rules[{index}]")
    fields: dict[str, Any] = {"rules": msgspec.to_builtins(wanted.rules), "updated_at": func.now()}
    new = insert(table).values(tenant_id=TENANT, **fields)
    await session.execute(new.on_conflict_do_update(index_elements=["tenant_id"], set_=fields))
    return await get(session)


async def _check(session: TenantSession, rule: Rule, path: str) -> None:
    if not (rule.plans or rule.countries or rule.metadata):
        raise Invalid("Name plans, countries or metadata: the default configuration needs no rule.", path)
    values.metadata(rule.metadata)
    values.key(rule.configuration, f"{path}.configuration")
    if await store.find(session, rule.configuration) is None:
        raise Invalid(f"There is no portal configuration {rule.configuration!r}.", f"{path}.configuration")
    for place, plan in enumerate(rule.plans):
        values.key(plan, f"{path}.plans[{place}]")
        if not await session.scalar(_PLAN, {"plan": plan}):
            raise Invalid(f"There is no plan {plan!r}.", f"{path}.plans[{place}]")


_PLAN = text("select exists (select from plans where tenant_id = :tenant and key = :plan)").bindparams(TENANT)
_OPENING = "select * from portal_opening($1, $2, $3, $4)"
_rules = msgspec.json.Decoder(tuple[Rule, ...])
_settings = msgspec.json.Decoder(PortalSettings)
_metadata = msgspec.json.Decoder(dict[str, str])


class Customer(Struct, frozen=True):
    """Whose portal it is: the internal id, and Stripe's, null until Stripe has the customer."""

    id: int
    stripe_customer: str | None


class Choice(Struct, frozen=True):
    """Whose portal, and which. *state*: the tenant's. *crowded*: the customer had all visits of a minute lately."""

    customer: Customer
    chosen: Chosen
    state: State
    crowded: bool


async def choose(pool: asyncpg.Pool, tenant_id: int, reference: str, name: str | None, *, most: int) -> Choice:
    """The customer, and the configuration named *name*, else the one for that customer. Raises `NotFound`, `Conflict`.

    A rule whose configuration is gone or inactive is passed over: the portal opens all the same. One round trip, and
    one more for each rule that fits. *most*: a customer's visits in a minute.
    """
    # PostgreSQL would refuse some unprintable characters, and neither a reference nor a name has any.
    known = name if name is None or name.isprintable() else ""
    row = await pool.fetchrow(_OPENING, tenant_id, reference, known, most) if reference.isprintable() else None
    if row is None:
        raise NotFound("There is no customer with this reference.", "reference")
    customer = Customer(row["customer_id"], row["stripe_customer"])
    if row["rules"] is not None:
        traits = Traits(_metadata.decode(row["metadata"]), row["country"], row["plans"])
        for rule in _rules.decode(row["rules"]):
            if rule.fits(traits):
                found = await pool.fetchrow(_OPENING, tenant_id, reference, rule.configuration, most)
                if found is not None and found["active"]:
                    return Choice(customer, _chosen(found, "rule", rule), State(found["state"]), found["crowded"])
    if row["configuration"] is None:
        missing = "This tenant has no portal configuration yet."
        raise NotFound(missing if name is None else f"There is no portal configuration {name!r}.", "configuration")
    if not row["active"]:
        raise Conflict(f"The portal configuration {row['configuration']!r} is deactivated.", "configuration")
    chosen = _chosen(row, "default" if name is None else "name")
    return Choice(customer, chosen, State(row["state"]), row["crowded"])


def _chosen(row: Any, by: By, rule: Rule | None = None) -> Chosen:
    return Chosen(row["configuration"], _settings.decode(row["settings"]), row["stripe_configuration"], by, rule)
