"""The routes of checks. A key whose scope is `check` may use these, and no others."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody

from colonnade.access.guard import WHILE_FROZEN, Tenant
from colonnade.access.scopes import ALLOWED, Scope, allow
from colonnade.checks.answers import CheckRequest, EntitlementCheck, EntitlementChecks, Entitlements
from colonnade.checks.checks import Checks, Known
from colonnade.checks.reply import reply
from colonnade.errors import Invalid, NotFound
from colonnade.services import Services

_TAGS = ["Entitlements"]
_LIST = "/tenants/{tenant:str}/customers/{reference:str}/entitlements"
_OPEN = allow(Scope.CHECK, Scope.READ) | {WHILE_FROZEN: True}
ENOUGH: frozenset[str] = _OPEN[ALLOWED]
"""What is enough for a check."""
_HEADERS = [
    ResponseHeader(name="ETag", value="", description="Of the answer without `as_of`.", documentation_only=True),
    ResponseHeader(name="Cache-Control", value="private, no-cache", documentation_only=True),
]
_UNCHANGED = ResponseSpec(None, description="The caller has this answer already.", generate_examples=False)

IfNoneMatch = Annotated[
    str | None,
    HeaderParameter(name="If-None-Match", max_length=500, description="The `ETag` last read; 304 if it still holds."),
]


@get(
    _LIST,
    summary="What a customer may use now",
    tags=_TAGS,
    opt=_OPEN,
    responses={200: ResponseSpec(Entitlements), 304: _UNCHANGED},
    response_headers=_HEADERS,
)
async def list_entitlements(
    request: Request[Any, Any, Any],
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_none_match: IfNoneMatch = None,
) -> Response[bytes]:
    return await _answered(request, services, current, reference, None, if_none_match or "")


@get(
    _LIST + "/{feature:str}",
    summary="Whether a customer may use a feature, and how much of it",
    tags=_TAGS,
    opt=_OPEN,
    responses={200: ResponseSpec(EntitlementCheck), 304: _UNCHANGED},
    response_headers=_HEADERS,
)
async def check_entitlement(
    request: Request[Any, Any, Any],
    reference: FromPath[str],
    feature: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_none_match: IfNoneMatch = None,
) -> Response[bytes]:
    return await _answered(request, services, current, reference, feature, if_none_match or "")


@post(
    "/tenants/{tenant:str}/entitlement-checks",
    summary="What several customers may use now",
    tags=_TAGS,
    opt=_OPEN,
    status_code=200,
    responses={200: ResponseSpec(EntitlementChecks)},
)
async def check_entitlements(
    request: Request[Any, Any, Any],
    data: JSONBody[CheckRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Response[bytes]:
    checks: Checks = request.app.state.checks
    found = await checks.find(services.database.app_pool, current.id, data.customers)
    written = [_written(name, found[name], data.features) for name in data.customers if name in found]
    unknown = msgspec.json.encode([name for name in data.customers if name not in found])
    body = b'{"data":[%b],"unknown":%b%b' % (b",".join(written), unknown, checks.end(found.values()))
    return Response(body, media_type="application/json")


async def _answered(
    request: Request[Any, Any, Any],
    services: Services,
    tenant: Tenant,
    reference: str,
    feature: str | None,
    none_match: str,
) -> Response[bytes]:
    checks: Checks = request.app.state.checks
    known = (await checks.find(services.database.app_pool, tenant.id, [reference])).get(reference)
    if known is None:
        raise NotFound("There is no customer with this reference.", "reference")
    answer = reply(checks, known, feature, none_match)
    if answer is None:
        raise NotFound(f"There is no feature {feature!r}.", "feature")
    return Response(answer.body, status_code=answer.status, headers=answer.headers)


def _written(reference: str, known: Known, features: list[str] | None) -> bytes:
    found = known.answers
    for index, name in enumerate(features or ()):
        if name not in found.features:
            raise Invalid(f"There is no feature {name!r}.", f"features[{index}]")
    written = found.array(found.granted if features is None else features)
    return b'{"customer":%b,"data":%b}' % (msgspec.json.encode(reference), written)


ROUTES = (list_entitlements, check_entitlement, check_entitlements)
