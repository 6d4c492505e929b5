"""Routes of imports, for the platform team: what Stripe lists on its account is not one tenant's alone."""

from typing import Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.errors import Forbidden
from colonnade.imports import store
from colonnade.imports.store import Import, Owner
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of
from colonnade.web import After, Limit, Page, cursor, from_cursor
from colonnade_tenants import values

_IMPORTS = "/tenants/{tenant:str}/imports"
_TAGS = ["Imports"]


class NewImport(Struct, frozen=True, forbid_unknown_fields=True):
    """*reference_key*: the key of the Stripe customers' metadata that has the tenant's own ids; by default none has."""

    reference_key: str | None = None


def _platform_only(request: Request[Any, Any, Any]) -> None:
    if request.state.principal.tenant_id is not None:
        raise Forbidden("Only the platform team imports.")


@post(_IMPORTS, summary="Import a tenant's existing customers and subscriptions; the worker does it", tags=_TAGS)
async def create_import(
    request: Request[Any, Any, Any],
    data: JSONBody[NewImport],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Import:
    _platform_only(request)
    values.text(data.reference_key, "reference_key", 40)
    account_of(current)
    owner = Owner(current.id, current.public_id, current.charge_type, current.stripe_account)
    return await store.start(services.database.platform_pool, owner, data.reference_key)


@get(_IMPORTS, summary="A tenant's imports, newest first", tags=_TAGS)
async def list_imports(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    limit: Limit = 20,
    after: After = None,
) -> Page[Import]:
    _platform_only(request)
    place = values.after(from_cursor(after)) or None
    found = await store.page(services.database.platform_pool, current.id, place, limit + 1)
    return Page(found[:limit], cursor(found[limit - 1].id) if len(found) > limit else None)


@get(_IMPORTS + "/{import_id:str}", summary="An import: how far it is, and what it found", tags=_TAGS)
async def get_import(
    request: Request[Any, Any, Any],
    import_id: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Import:
    _platform_only(request)
    return await store.get(services.database.platform_pool, current.id, import_id)


ROUTES = (create_import, list_imports, get_import)
