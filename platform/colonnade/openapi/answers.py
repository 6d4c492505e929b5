"""Which errors an operation can answer: one table of rules, so that no route lists its own."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from colonnade.problem_types import PROBLEMS, problem_type, title_of

REQUEST_ID = "req_01m82vy7hs509sen7z2kqesan0"
PAGES = ("/portal", "/onboarding", "/connect")
"""Below these, people read the answers: HTML."""
_ASK_STRIPE = frozenset({"getReadiness", "getBrandingConsistency", "compareEntitlements", "listDifferences"})
"""Reads that go to Stripe; every write may."""


class Operation(NamedTuple):
    """Where it stands, and Litestar's description of it."""

    method: str
    path: str
    said: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.said["operationId"])

    @property
    def guarded(self) -> bool:
        """Whether it asks for an API key."""
        return self.path.startswith("/v1/")

    @property
    def page(self) -> bool:
        """Whether it is for people, in a browser."""
        return self.path.startswith(PAGES)

    @property
    def writes(self) -> bool:
        return self.method != "get"

    def takes(self, parameter: str) -> bool:
        """Whether it knows that parameter or request header."""
        return any(each["name"] == parameter for each in self.said.get("parameters", ()))


_OCCURS: tuple[tuple[int, Callable[[Operation], bool]], ...] = (
    (400, lambda it: it.guarded or it.page or "{" in it.path),
    (401, lambda it: it.guarded or it.page),
    (403, lambda it: it.guarded or it.page),
    (404, lambda it: it.page or "{" in it.path or it.takes("tenant")),
    (409, lambda it: it.page or it.writes or it.name in _ASK_STRIPE),
    (412, lambda it: it.takes("If-Match")),
    (413, lambda it: "requestBody" in it.said),
    (415, lambda it: "application/json" in it.said.get("requestBody", {}).get("content", ())),
    (422, lambda it: it.page or it.writes or it.name in _ASK_STRIPE),
    (429, lambda it: it.guarded or it.page),
    (503, lambda it: it.path != "/health/live"),
)


def errors_of(operation: Operation) -> Iterator[tuple[str, dict[str, str]]]:
    """Each error's status and where the document describes it."""
    suffix = "Page" if operation.page else ""
    for status, occurs in _OCCURS:
        if occurs(operation):
            yield str(status), {"$ref": f"#/components/responses/Error{status}{suffix}"}


def described_errors() -> dict[str, Any]:
    """The answers that `errors_of` refers to."""
    found: dict[str, Any] = {}
    for status, _ in _OCCURS:
        kinds = [kind for kind, each in PROBLEMS.items() if each.status == status]
        words = " ".join(PROBLEMS[kind].meaning for kind in kinds)
        said = {"description": words, "headers": _headers(status)}
        examples = {kind: {"value": _example(kind)} for kind in kinds}
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}
        page = {"schema": {"type": "string"}, "example": "<!doctype html>…"}
        found[f"Error{status}"] = said | {"content": {"application/problem+json": problem}}
        found[f"Error{status}Page"] = said | {"content": {"text/html; charset=utf-8": page}}
    return found


def _headers(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {"Request-Id": _text("The request's id, for support.")}
    if status == 401:
        found["WWW-Authenticate"] = _text("`Bearer`")
    if status in (429, 503):
        found["Retry-After"] = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
    return found


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def _example(kind: str) -> dict[str, Any]:
    each = PROBLEMS[kind]
    said = {"type": problem_type(kind), "title": title_of(kind), "status": each.status, "detail": each.example}
    return said | {"request_id": REQUEST_ID} | ({"param": each.param} if each.param else {})
