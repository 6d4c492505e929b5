"""Routes of the audit log: the platform team reads all of it, a tenant what is about itself."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from litestar.response import Stream
from msgspec.structs import replace

from colonnade.access import audit_reading
from colonnade.access.audit_reading import AuditEntry, Filter
from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.errors import Invalid
from colonnade.services import Services
from colonnade.web import LINES, TIME, After, Limit, Page, lines_of_json, number_from_cursor, page_of, parse_time

_TAGS = ["Audit"]
_PATH = "/tenants/{tenant:str}/audit"
_LINES = {200: ResponseSpec(bytes, media_type=LINES, generate_examples=False)}

ActionFilter = Annotated[str | None, QueryParameter(description="Only this action, such as `plan.changed`.")]
ByFilter = Annotated[str | None, QueryParameter(name="by", description="Only what this key or person did.")]
TargetFilter = Annotated[
    str | None, QueryParameter(description="Only what was done to this, a path below `/v1/`, or to what is below it.")
]
RequestFilter = Annotated[str | None, QueryParameter(description="Only what this request (`req_…`) did.")]
FromFilter = Annotated[str | None, QueryParameter(name="from", description="Only from then on.", schema_extra=TIME)]
ToFilter = Annotated[str | None, QueryParameter(name="to", description="Only before then.", schema_extra=TIME)]
TenantFilter = Annotated[str | None, QueryParameter(description="Only what is about this tenant (`ten_…`).")]
AfterLine = Annotated[str | None, QueryParameter(description="The last line received (`aud_…`): go on after it.")]


def _filters(
    action: ActionFilter = None,
    actor: ByFilter = None,
    target: TargetFilter = None,
    request_id: RequestFilter = None,
    since: FromFilter = None,
    until: ToFilter = None,
) -> Filter:
    texts = {"action": action, "by": actor, "target": target, "request_id": request_id}
    for param, text in texts.items():
        if text is not None and not text.isprintable():
            raise Invalid("This has characters that nothing here has.", param)
    return Filter(
        action=action,
        by=actor,
        target=target,
        request_id=request_id,
        since=parse_time(since, "from"),
        until=parse_time(until, "to"),
    )


async def _of_anybody(
    services: NamedDependency[Services], filters: NamedDependency[Filter], tenant: TenantFilter = None
) -> Filter:
    return replace(filters, tenant_id=await audit_reading.tenant_id(services.database, tenant))


def _of_tenant(current: NamedDependency[Tenant], filters: NamedDependency[Filter]) -> Filter:
    return replace(filters, tenant_id=current.id)


_FILTERS = {"filters": Provide(_filters, sync_to_thread=False)}
_ANYBODY = _FILTERS | {"wanted": Provide(_of_anybody)}
_TENANT = _FILTERS | {"wanted": Provide(_of_tenant, sync_to_thread=False)}


@get("/audit", summary="Who did what, newest first", tags=_TAGS, opt=allow(Scope.READ), dependencies=_ANYBODY)
async def list_audit(
    services: NamedDependency[Services], wanted: NamedDependency[Filter], limit: Limit = 20, after: After = None
) -> Page[AuditEntry]:
    return await _page(services, wanted, after, limit, for_tenant=False)


@get(
    "/audit/export",
    summary="The same as lines of JSON, all of it, oldest first",
    tags=_TAGS,
    responses=_LINES,
    opt=allow(Scope.READ),
    dependencies=_ANYBODY,
)
async def export_audit(
    services: NamedDependency[Services], wanted: NamedDependency[Filter], after: AfterLine = None
) -> Stream:
    return await _export(services, wanted, after, for_tenant=False)


@get(
    _PATH,
    summary="Who did what for a tenant, newest first",
    tags=_TAGS,
    opt=allow(Scope.READ),
    dependencies=_TENANT,
)
async def list_tenant_audit(
    services: NamedDependency[Services],
    wanted: NamedDependency[Filter],
    principal: NamedDependency[Principal],
    limit: Limit = 20,
    after: After = None,
) -> Page[AuditEntry]:
    return await _page(services, wanted, after, limit, for_tenant=principal.tenant_id is not None)


@get(
    _PATH + "/export",
    summary="The same as lines of JSON, oldest first",
    tags=_TAGS,
    responses=_LINES,
    opt=allow(Scope.READ),
    dependencies=_TENANT,
)
async def export_tenant_audit(
    services: NamedDependency[Services],
    wanted: NamedDependency[Filter],
    principal: NamedDependency[Principal],
    after: AfterLine = None,
) -> Stream:
    return await _export(services, wanted, after, for_tenant=principal.tenant_id is not None)


async def _page(
    services: Services, wanted: Filter, after: str | None, limit: int, *, for_tenant: bool
) -> Page[AuditEntry]:
    place = number_from_cursor(after)
    found = await audit_reading.page(services.database, wanted, place, limit + 1, for_tenant=for_tenant)
    return page_of(found, limit, lambda each: each[0], lambda each: each[1])


async def _export(services: Services, wanted: Filter, after: str | None, *, for_tenant: bool) -> Stream:
    place = await audit_reading.place_of(services.database, wanted, after)
    lines = audit_reading.export(services.database, wanted, place, for_tenant=for_tenant)
    return lines_of_json(lines)


ROUTES = (list_audit, export_audit, list_tenant_audit, export_tenant_audit)
