"""Routes of overrides, of the history of a customer's entitlements, and of why they are what they are."""

from typing import Annotated

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec.structs import replace

from colonnade.access import audit
from colonnade.access.actors import Told
from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.entitlements.explaining import Explanation, as_denied, denies, explain_customer
from colonnade.errors import Invalid
from colonnade.services import Services
from colonnade.web import TIME, After, IdempotencyKey, Limit, Page, as_it_is, from_cursor, page_of, parse_time
from colonnade_tenants import customers
from colonnade_tenants.entitlements import history, overrides
from colonnade_tenants.entitlements.history import Recorded
from colonnade_tenants.entitlements.overrides import NewOverride, Override

_CUSTOMER = "/tenants/{tenant:str}/customers/{reference:str}"
_LOGGED = ("feature", "effect", "value", "reason", "author", "ends_at")
_OVERRIDES = f"{_CUSTOMER}/overrides"
_ENTITLEMENTS = f"{_CUSTOMER}/entitlements"

At = Annotated[
    str | None,
    QueryParameter(name="at", description="A moment, past or future; default: now.", schema_extra=TIME),
]


@get(
    _OVERRIDES,
    summary="What was decided for a customer by hand, the oldest first",
    tags=["Entitlements"],
    opt=allow(Scope.READ, Scope.CUSTOMERS),
)
async def list_overrides(
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    limit: Limit = 20,
    after: After = None,
) -> Page[Override]:
    async with services.database.tenant(current.id) as session:
        customer = await customers.get(session, reference)
        found = await overrides.list_page(session, customer.id, from_cursor(after), limit + 1)
    return page_of(await _shown(found, told), limit, lambda each: each.id, as_it_is)


@post(
    _OVERRIDES,
    summary="Grant, set or deny a feature for one customer",
    tags=["Entitlements"],
    opt=allow(Scope.CUSTOMERS),
)
async def create_override(
    principal: NamedDependency[Principal],
    reference: FromPath[str],
    data: JSONBody[NewOverride],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    idempotency_key: IdempotencyKey = None,
) -> Override:
    async with services.database.tenant(current.id) as session:
        customer = await customers.get(session, reference)
        made = await overrides.add(session, customer.id, data, author_key=principal.id, idempotency_key=idempotency_key)
        path = f"tenants/{current.public_id}/customers/{reference}/overrides/{made.id}"
        audit.note(target=path, after=audit.named(made, *_LOGGED))
    (shown,) = await _shown([made], told)
    return shown


@get(
    _OVERRIDES + "/{override:str}", summary="An override", tags=["Entitlements"], opt=allow(Scope.READ, Scope.CUSTOMERS)
)
async def get_override(
    reference: FromPath[str],
    override: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
) -> Override:
    async with services.database.tenant(current.id) as session:
        customer = await customers.get(session, reference)
        found = await overrides.get(session, customer.id, override)
    (shown,) = await _shown([found], told)
    return shown


@delete(
    _OVERRIDES + "/{override:str}", summary="End an override now", tags=["Entitlements"], opt=allow(Scope.CUSTOMERS)
)
async def revoke_override(
    principal: NamedDependency[Principal],
    reference: FromPath[str],
    override: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> None:
    async with services.database.tenant(current.id) as session:
        customer = await customers.get(session, reference)
        audit.note(before=audit.named(await overrides.get(session, customer.id, override), *_LOGGED))
        await overrides.revoke(session, customer.id, override, principal.id)


@get(
    f"{_ENTITLEMENTS}/changes",
    summary="How a customer's entitlements changed, newest first",
    tags=["Entitlements"],
    opt=allow(Scope.READ, Scope.CUSTOMERS),
)
async def list_entitlement_changes(
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    limit: Limit = 20,
    after: After = None,
) -> Page[Recorded]:
    before = _number(from_cursor(after))
    async with services.database.tenant(current.id) as session:
        customer = await customers.get(session, reference)
        found = await history.list_changes(session, customer.id, before, limit + 1)
    return page_of(found, limit, lambda each: each.sequence, as_it_is)


@get(
    f"{_ENTITLEMENTS}/explain",
    summary="Why a customer may, or may not",
    tags=["Entitlements"],
    opt=allow(Scope.READ, Scope.CUSTOMERS),
)
async def explain_entitlements(
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    feature: Annotated[str | None, QueryParameter(description="One feature; default: all.")] = None,
    at: At = None,
    corrected: Annotated[
        bool, QueryParameter(description="Of a past moment: what is known by now, instead of what was believed then.")
    ] = False,
) -> Explanation:
    moment = parse_time(at, "at")
    async with services.database.tenant(current.id) as session:
        customer = await customers.get(session, reference)
        found = await explain_customer(session, customer.id, feature=feature, at=moment, corrected_=corrected)
    past = found.basis in ("believed", "corrected")
    return found if past or not await denies(services, current) else as_denied(found, current)


async def _shown(found: list[Override], told: Told) -> list[Override]:
    tell = await told.of(actor for each in found for actor in (each.author_key, each.revoked_by))
    return [replace(each, author_key=tell(each.author_key), revoked_by=tell(each.revoked_by)) for each in found]


def _number(value: str | None) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise Invalid("This is not the `next` of a page.", "after")
    return int(value)


ROUTES = (
    list_overrides,
    create_override,
    get_override,
    revoke_override,
    list_entitlement_changes,
    explain_entitlements,
)
