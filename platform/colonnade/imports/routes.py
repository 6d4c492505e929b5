"""Routes of imports, for the platform team: what Stripe lists on its account is not one tenant's alone."""

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from colonnade.access import audit
from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.errors import Forbidden
from colonnade.imports import store
from colonnade.imports.store import Import, Owner
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of
from colonnade.web import After, Limit, Page, as_it_is, from_cursor, page_of
from colonnade_tenants import values

_IMPORTS = "/tenants/{tenant:str}/imports"
_TAGS = ["Imports"]


class NewImport(Struct, frozen=True, forbid_unknown_fields=True):
    """*reference_key*: the key of the Stripe customers' metadata that has the tenant's own ids; by default none has."""

    reference_key: str | None = None


def _platform_only(principal: Principal) -> None:
    if principal.tenant_id is not None:
        raise Forbidden("Only the platform team imports.")


@post(_IMPORTS, summary="Import a tenant's existing customers and subscriptions; the worker does it", tags=_TAGS)
async def create_import(
    principal: NamedDependency[Principal],
    data: JSONBody[NewImport],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Import:
    _platform_only(principal)
    values.text(data.reference_key, "reference_key", 40)
    account_of(current)
    owner = Owner(
        current.id,
        current.public_id,
        current.charge_type,
        current.stripe_account,
        current.state,
        current.state_reason,
    )
    async with services.database.platform_connection() as connection:
        found, fresh = await store.start(connection, owner, data.reference_key)
        if not fresh:
            audit.nothing_done()
    return found


@get(_IMPORTS, summary="A tenant's imports, newest first", tags=_TAGS, opt=allow(Scope.READ))
async def list_imports(
    principal: NamedDependency[Principal],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    limit: Limit = 20,
    after: After = None,
) -> Page[Import]:
    _platform_only(principal)
    place = values.after(from_cursor(after)) or None
    found = await store.page(services.database.platform_pool, current.id, place, limit + 1)
    return page_of(found, limit, lambda each: each.id, as_it_is)


@get(
    _IMPORTS + "/{import_id:str}",
    summary="An import: how far it is, and what it found",
    tags=_TAGS,
    opt=allow(Scope.READ),
)
async def get_import(
    principal: NamedDependency[Principal],
    import_id: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Import:
    _platform_only(principal)
    return await store.get(services.database.platform_pool, current.id, import_id)


ROUTES = (create_import, list_imports, get_import)
