"""What a new tenant is made from, and which of it contradicts itself."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from colonnade.errors import Invalid
from colonnade.stripe_api.charges import ChargeType
from colonnade_tenants import values

Percent = Annotated[float, Meta(ge=0, le=100)]
Bearer = Literal["account", "application"]
Dashboard = Literal["full", "express", "none"]
Api = Literal["v1", "v2"]


class Fees(Struct, frozen=True, forbid_unknown_fields=True):
    """Who pays Stripe's fees."""

    payer: Bearer


class Losses(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is liable for negative balances."""

    payments: Literal["application", "stripe"]


class StripeDashboard(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dashboard the account's owner gets."""

    type: Dashboard


class Controller(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who is responsible for what, as Stripe has it ("Account controller", API reference). What is left out is Stripe's
    default: the account pays fees, Stripe bears losses and collects requirements, full dashboard."""

    fees: Fees = Fees("account")
    losses: Losses = Losses("stripe")
    stripe_dashboard: StripeDashboard = StripeDashboard("full")
    requirement_collection: Literal["application", "stripe"] = "stripe"


class NewTenant(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What `POST /v1/tenants` takes: a connected account is made, or *account* is adopted, or with *connect* the
    business connects the one that it has.

    *type* or *controller*: the shape of an account that is made; without either, what suits the charge type.
    *capabilities*: what to request for it; without, what the charge type needs and is usual in *country*. *country* and
    *email* are of an account that is made too: one that exists has its own.
    """

    name: str
    charge_type: ChargeType = ChargeType.DESTINATION
    account: Annotated[str, Meta(pattern="^acct_[A-Za-z0-9]+$")] | None = None
    connect: Literal["oauth"] | None = None
    account_api: Api = "v1"
    type: Literal["standard", "express", "custom"] | None = None
    controller: Controller | None = None
    business_type: Literal["individual", "company", "non_profit", "government_entity"] | None = None
    capabilities: list[Annotated[str, Meta(pattern="^[a-z0-9_]{1,64}$")]] | None = None
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")] | None = None
    email: str | None = None
    application_fee_percent: Percent | None = None
    return_origins: list[str] = []


# On its own account a business deals with Stripe itself; where the platform charges, the platform does.
_OWN = Controller()
_PLATFORMS = Controller(Fees("application"), Losses("application"), StripeDashboard("express"))

_SHAPE = ("type", "controller", "business_type", "capabilities", "country", "email")


def controller_of(new: NewTenant) -> Controller:
    """The asked-for controller, else the one that suits the charge type."""
    return new.controller or (_OWN if new.charge_type is ChargeType.DIRECT else _PLATFORMS)


def check(new: NewTenant) -> None:
    """Refuse what no account could be. Raises `Invalid`."""
    values.text(new.name, "name", 100)
    values.email(new.email)
    if new.account and new.connect:
        raise Invalid("Adopt an account, or let the business connect one: not both.", "connect")
    given = next((name for name in _SHAPE if getattr(new, name) is not None), None)
    if given and (new.account or new.connect):
        raise Invalid("This is for accounts that are made; one that exists keeps its own.", given)
    if new.type and new.controller:
        raise Invalid("Give one of type and controller.", "controller")
    if new.connect and new.account_api == "v2":
        raise Invalid("Accounts that connect by OAuth are of the V1 API.", "account_api")
    if new.controller:
        _check_controller(new.controller)
    if new.account_api == "v2":
        _check_v2(new)


def _check_controller(controller: Controller) -> None:
    """Source: "Account controller" (Stripe API reference)."""
    by_platform = controller.losses.payments == "application"
    if by_platform and controller.fees.payer != "application":
        raise Invalid("Who is liable for losses pays the fees too: application.", "controller.fees.payer")
    if controller.requirement_collection == "application" and controller.stripe_dashboard.type != "none":
        raise Invalid(
            "Where the platform collects requirements there is no Stripe dashboard.", "controller.stripe_dashboard.type"
        )


def _check_v2(new: NewTenant) -> None:
    """Source: "Connect and the Accounts v2 API" (Stripe docs)."""
    if new.type:
        raise Invalid("The V2 API has no types: give controller.", "type")
    if new.controller and new.controller.requirement_collection != "stripe":
        raise Invalid("The V2 API decides this by itself.", "controller.requirement_collection")
    controller = controller_of(new)
    bearers = (controller.fees.payer, controller.losses.payments)
    wanted = {"express": ("application", "application"), "full": ("account", "stripe")}
    if bearers != wanted.get(controller.stripe_dashboard.type, bearers):
        raise Invalid(
            "In the V2 API express has the platform pay fees and losses, full has the account and Stripe.",
            "controller.stripe_dashboard.type",
        )
