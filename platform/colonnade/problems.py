"""The one place where errors become answers: problem details (RFC 9457) with a stable `type`, the offending `param` and
the request's id."""

from typing import Any

import asyncpg
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy.exc import DBAPIError

from colonnade import errors
from colonnade.conventions.wording import wrong
from colonnade.problem_types import problem_type, title_of

log = structlog.get_logger()


class Problem(Struct, omit_defaults=True):
    """An error answer, `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    param: str | None = None
    code: str | UnsetType = UNSET
    """Stripe's error code, where Stripe refused; of a dead end, the reason's; of a closed tenant, its state."""


_KINDS: dict[type[errors.DomainError], tuple[int, str]] = {
    errors.Invalid: (400, "invalid"),
    errors.NotFound: (404, "not-found"),
    errors.Conflict: (409, "conflict"),
    errors.Unauthenticated: (401, "unauthenticated"),
    errors.Forbidden: (403, "forbidden"),
    errors.PreconditionFailed: (412, "precondition-failed"),
    errors.StripeRefused: (422, "stripe-refused"),
    errors.Closed: (409, "tenant-closed"),
    errors.DeadEnd: (409, "dead-end"),
    errors.StripeUnavailable: (503, "stripe-unavailable"),
    errors.TooMany: (429, "too-many-requests"),
    errors.Unavailable: (503, "unavailable"),
}
_STATUS_KINDS = {
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}
_UNSTORABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
_BUSY = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError, asyncpg.SerializationError)
_DATABASE_DOWN = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    OSError,
    TimeoutError,
)


def _answer(request: Request[Any, Any, Any], status: int, kind: str, detail: str, **more: Any) -> Response[Problem]:
    headers: dict[str, str] = more.pop("headers", {})
    problem = Problem(
        type=problem_type(kind),
        title=title_of(kind),
        status=status,
        detail=detail,
        request_id=request.scope.get("state", {}).get("request_id"),
        **more,
    )
    return Response(problem, status_code=status, media_type="application/problem+json", headers=headers)


def _domain(request: Request[Any, Any, Any], error: errors.DomainError) -> Response[Problem]:
    status, kind = next(_KINDS[base] for base in type(error).__mro__ if base in _KINDS)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    code = (error.code or UNSET) if isinstance(error, errors.StripeRefused | errors.DeadEnd | errors.Closed) else UNSET
    return _answer(request, status, kind, error.message, param=error.param, code=code, headers=headers)


_NO_BODY = {"message": "'data'", "key": "data", "source": "body"}
"""What Litestar says where a handler's `data` is missing."""


def _invalid(request: Request[Any, Any, Any], error: ValidationException) -> Response[Problem]:
    """A parameter or a form's field, which Litestar names by its key. Of JSON, `StrictRequest` says what is wrong."""
    extra: Any = error.extra
    found = extra[0] if isinstance(extra, list) and extra else {}
    if found == _NO_BODY:
        return _answer(request, 400, "invalid", "Send a JSON body: this request has none.")
    key = found.get("key")
    kind = request.route_handler.signature_model.__annotations__.get(key or "")
    said = wrong(str(found.get("message") or error.detail), kind)
    param = ".".join(filter(None, (_sent_as(request, key), said.param)))
    return _answer(request, 400, "invalid", said.detail, param=param or None)


def _sent_as(request: Request[Any, Any, Any], key: str | None) -> str | None:
    """What a caller knows the handler's argument *key* by; `data` is what a handler calls the body."""
    argument = request.route_handler.parsed_fn_signature.parameters.get(key or "data")
    if argument is None or key == "data":
        return None if key == "data" else key
    return getattr(argument.kwarg_definition, "name", None) or key


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    if isinstance(error, ValidationException):
        return _invalid(request, error)
    status = error.status_code
    if status >= 500:
        return _unexpected(request, error)
    headers = {key: value for key, value in (error.headers or {}).items() if key.lower() in {"allow", "retry-after"}}
    kind = _STATUS_KINDS.get(status, "request")
    return _answer(request, status, kind, error.detail or "The request cannot be served.", headers=headers)


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    cause: BaseException | None = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig  # SQLAlchemy wraps the driver's error twice
    if isinstance(cause, _DATABASE_DOWN):
        log.error("database unavailable", error=type(cause).__name__)
        detail = "The database cannot be reached; nothing was written."
        return _answer(request, 503, "unavailable", detail, headers={"Retry-After": "5"})
    if isinstance(cause, _BUSY):
        log.warning("gave way", error=type(cause).__name__)
        detail = "Another change of the same was under way; nothing was written: try again."
        return _answer(request, 503, "unavailable", detail, headers={"Retry-After": "1"})
    if isinstance(cause, _UNSTORABLE):
        return _answer(request, 400, "invalid", "The request has a character that cannot be stored, such as U+0000.")
    log.error("request failed", exc_info=error)
    return _answer(request, 500, "internal", "Something went wrong on our side; the request id helps to find it.")


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    errors.DomainError: _domain,
    HTTPException: _http,
    Exception: _unexpected,
}


def problem_of(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """The answer to *error*."""
    handler = next(EXCEPTION_HANDLERS[base] for base in type(error).__mro__ if base in EXCEPTION_HANDLERS)
    return handler(request, error)
