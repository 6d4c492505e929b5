"""Routes of notification endpoints: what a tenant wants to be told, and where."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType

from colonnade import secret_keys
from colonnade.access import audit
from colonnade.access.guard import Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.etags import IfMatch, require_match, tagged
from colonnade.notifications import endpoints
from colonnade.notifications.endpoints import Endpoint, check_types, check_url
from colonnade.notifications.secrets import Vault
from colonnade.services import Services
from colonnade.web import After, IdempotencyKey, Limit, Page, as_it_is, from_cursor, page_of
from colonnade_tenants import values

PATH = "/tenants/{tenant:str}/notification-endpoints"
ONE = PATH + "/{endpoint:str}"
TAGS = ["Notifications"]


class CreateEndpoint(Struct, forbid_unknown_fields=True):
    """*url* is https on a public host. No *types*: all, those of later versions too."""

    url: str
    description: str | None = None
    types: list[str] = []


class CreatedEndpoint(Endpoint, frozen=True, kw_only=True):
    """An endpoint just created, and the secret that signs what it is sent; it is shown this once."""

    secret: str


class ChangeEndpoint(Struct, forbid_unknown_fields=True):
    """What is given is set. Enabling an endpoint sends what waited; see `replay` for what came meanwhile."""

    url: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    types: list[str] | UnsetType = UNSET
    state: Literal["enabled", "disabled"] | UnsetType = UNSET


class RollSecret(Struct, forbid_unknown_fields=True):
    """For how long the older secrets sign beside the new one."""

    overlap_hours: Annotated[int, Meta(ge=0, le=168)] = 24


class RolledSecret(Struct):
    """The new secret, shown this once, and when the older ones no longer sign."""

    secret: str
    older_until: datetime


def _check(services: Services, fields: dict[str, object]) -> None:
    if isinstance(url := fields.get("url"), str):
        check_url(url, loopback=services.settings.notification_loopback)
    if isinstance(description := fields.get("description"), str):
        values.text(description, "description", 200)
    if isinstance(types := fields.get("types"), list):
        check_types(types)


def _logged(services: Services, endpoint: Endpoint) -> dict[str, Any]:
    """Of the URL the host alone, as the rest may hold a secret; that it is another is told by a digest of ours."""
    digest = secret_keys.mac(services.secret_key, f"notification endpoint\0{endpoint.url}")[:12]
    named = audit.named(endpoint, "description", "types", "state")
    return {**named, "host": urlsplit(endpoint.url).hostname, "url_digest": digest}


@post(PATH, summary="Add an endpoint; its secret is shown this once", tags=TAGS)
async def create_endpoint(
    data: JSONBody[CreateEndpoint],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    idempotency_key: IdempotencyKey = None,
) -> CreatedEndpoint:
    fields = msgspec.structs.asdict(data)
    _check(services, fields)
    async with services.database.tenant(current.id) as session:
        made, secret = await endpoints.create(session, Vault(services.secret_key), fields, idempotency_key)
        path = f"tenants/{current.public_id}/notification-endpoints/{made.id}"
        audit.note(target=path, after=_logged(services, made))
    return CreatedEndpoint(**msgspec.structs.asdict(made), secret=secret)


@get(PATH, summary="The tenant's endpoints, oldest first", tags=TAGS, opt=allow(Scope.READ))
async def list_endpoints(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[Endpoint]:
    async with services.database.tenant(current.id) as session:
        found = await endpoints.page(session, from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each.id, as_it_is)


@get(ONE, summary="An endpoint, and how it does", tags=TAGS, opt=allow(Scope.READ))
async def get_endpoint(
    endpoint: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Response[Endpoint]:
    async with services.database.tenant(current.id) as session:
        return tagged((await endpoints.get(session, endpoint)).shown)


@patch(ONE, summary="Change an endpoint, disable or enable it", tags=TAGS)
async def change_endpoint(
    endpoint: FromPath[str],
    data: JSONBody[ChangeEndpoint],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[Endpoint]:
    fields = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    _check(services, fields)
    async with services.database.tenant(current.id) as session:
        found = await endpoints.get(session, endpoint, lock=True)
        require_match(if_match, found.shown)
        changed = await endpoints.change(session, found, fields)
        audit.note(before=_logged(services, found.shown), after=_logged(services, changed))
        return tagged(changed)


@delete(ONE, summary="Delete an endpoint, with what waits for it and its log", tags=TAGS)
async def delete_endpoint(
    endpoint: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> None:
    async with services.database.tenant(current.id) as session:
        found = await endpoints.get(session, endpoint, lock=True)
        audit.note(before=_logged(services, found.shown))
        await endpoints.remove(session, found)


@post(ONE + "/secret", summary="Roll the secret: a new one, beside which the older sign for a while", tags=TAGS)
async def roll_secret(
    endpoint: FromPath[str],
    data: JSONBody[RollSecret],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> RolledSecret:
    async with services.database.tenant(current.id) as session:
        found = await endpoints.get(session, endpoint, lock=True)
        overlap = timedelta(hours=data.overlap_hours)
        return RolledSecret(*await endpoints.roll(session, Vault(services.secret_key), found, overlap))


ROUTES = (
    create_endpoint,
    list_endpoints,
    get_endpoint,
    change_endpoint,
    delete_endpoint,
    roll_secret,
)
