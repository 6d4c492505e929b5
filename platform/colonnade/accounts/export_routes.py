"""Routes of export and removal, of a tenant and of one of its customers."""

from typing import Annotated, Any

from litestar import Response, delete, get
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from msgspec import Struct

from colonnade.access.guard import WHILE_FROZEN, Principal, Tenant
from colonnade.accounts import customer_removal, exporting, removal
from colonnade.accounts.confirming import Preview
from colonnade.accounts.exporting import Subject
from colonnade.accounts.lifecycle import Lifecycle
from colonnade.services import Services
from colonnade.web import LINES, lines_of_json

_TENANT = "/tenants/{tenant:str}"
_CUSTOMER = f"{_TENANT}/customers/{{reference:str}}"
_ALWAYS: dict[str, Any] = {WHILE_FROZEN: True}
_HEADERS = [ResponseHeader(name="Cache-Control", value="no-store", documentation_only=True)]

Cursor = Annotated[str | None, QueryParameter(description="`cursor` of the last line that was read.")]
DryRun = Annotated[bool, QueryParameter(description="Count what would be removed, and get what confirms it.")]
Confirmation = Annotated[str | None, QueryParameter(description="`confirmation` of a dry run, minutes ago.")]
Reason = Annotated[str | None, QueryParameter(max_length=500, description="Why; it stays in the tenant's history.")]


class Removed(Struct):
    """What was removed: *rows* by table."""

    rows: dict[str, int]
    total: int


def _stream(services: Services, subject: Subject, principal: Principal, after: str | None) -> Stream:
    subject = subject._replace(for_tenant=principal.tenant_id is not None)
    place = exporting.place(subject, after)
    lines = exporting.lines(services.database.platform_pool, subject, place)
    return lines_of_json(lines)


@get(
    f"{_TENANT}/export",
    summary="Everything of a tenant, as lines of JSON",
    tags=["Export and removal"],
    media_type=LINES,
    response_headers=_HEADERS,
)
async def export_tenant(
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
    after: Cursor = None,
) -> Stream:
    return _stream(services, Subject(current.id, current.public_id), principal, after)


@get(
    f"{_CUSTOMER}/export",
    summary="Everything of a customer, as lines of JSON",
    tags=["Export and removal"],
    media_type=LINES,
    response_headers=_HEADERS,
)
async def export_customer(
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
    after: Cursor = None,
) -> Stream:
    return _stream(services, await customer_removal.subject(services, current, reference), principal, after)


@delete(
    _TENANT,
    summary="Delete a tenant that is archived or disconnected; workers do it, batch by batch",
    tags=["Export and removal"],
    opt=_ALWAYS,
    status_code=202,
    responses={200: ResponseSpec(Preview, description="A dry run.", generate_examples=False)},
)
async def delete_tenant(
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
    dry_run: DryRun = False,
    confirmation: Confirmation = None,
    reason: Reason = None,
) -> Response[Lifecycle | Preview]:
    if dry_run:
        return Response(await removal.preview(services, current, principal), status_code=200)
    begun = await removal.begin(services, current, principal, confirmation, reason or "deleted")
    return Response(begun, status_code=202)


@delete(
    _CUSTOMER,
    summary="Delete a customer without a running subscription, and all that is known of it",
    tags=["Export and removal"],
    opt=_ALWAYS,
    status_code=200,
)
async def delete_customer(
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    dry_run: DryRun = False,
    confirmation: Confirmation = None,
) -> Removed | Preview:
    if dry_run:
        return await customer_removal.preview(services, current, reference)
    rows = await customer_removal.remove(services, current, reference, confirmation)
    return Removed(rows, sum(rows.values()))


ROUTES = (export_tenant, export_customer, delete_tenant, delete_customer)
