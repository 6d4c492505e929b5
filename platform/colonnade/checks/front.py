"""What stands before the application: a check that memory can answer goes no further.

Routing, dependencies and the guard cost several times as much as such an answer (measured). Whatever is not plainly
such a check, a key not seen lately or an unknown feature too, goes on to the application, whose routes answer alike.
"""

import re

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from colonnade.access.gate import Gate
from colonnade.access.guard import remembered
from colonnade.checks.checks import Checks
from colonnade.checks.reply import Reply, reply
from colonnade.checks.routes import ENOUGH

LIST = "/v1/tenants/{tenant}/customers/{reference}/entitlements"
SINGLE = LIST + "/{feature}"
_PATH = re.compile(r"/v1/tenants/([^/]+)/customers/([^/]+)/entitlements(?:/([^/]+))?", re.DOTALL)


class ChecksFront:
    """*app*, with checks answered from memory before it."""

    def __init__(self, app: ASGIApp, checks: Checks, gate: Gate) -> None:
        self._app = app
        self._checks = checks
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(scope) if scope["type"] == ScopeType.HTTP else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
        headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": False})

    def _answer(self, scope: HTTPScope) -> Reply | None:
        found = _PATH.fullmatch(scope["path"])
        if found is None or scope["query_string"] or scope["method"] != "GET":
            return None
        public_id, reference, feature = found.groups()
        headers = dict(scope["headers"])
        caller = remembered(self._gate, headers, public_id, ENOUGH)
        if caller is None:
            return None
        principal, tenant = caller
        known = self._checks.remembered(tenant.id, reference)
        if known is None:
            return None
        answer = reply(self._checks, known, feature, headers.get(b"if-none-match", b"").decode("latin-1"))
        if answer is not None:
            if self._gate.spend(scope["state"], principal, check=True) is not None:
                return None  # too many: the guard says so
            scope["path_template"] = SINGLE if feature else LIST  # what the request is counted under
        return answer
