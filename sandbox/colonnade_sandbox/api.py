"""Stripe's API: authentication, account scope, idempotency, validation, the operation, the reply."""

import asyncio
import traceback
from dataclasses import dataclass
from typing import Any

from colonnade_sandbox import caller, errors, expansion, faults, ids, keys, parameters_sent, resources
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import former, parameters, routes, shapes, source
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.idempotency import Keys, fingerprint
from colonnade_sandbox.operations import OPERATIONS, Operation, key
from colonnade_sandbox.resources import test_clocks
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object

SHOULD_RETRY = ("stripe-should-retry", "true")
RETRY_HINTS = {
    "rate_limit": [("stripe-rate-limited-reason", "global-rate")],
    "lock_timeout": [SHOULD_RETRY],
}
REALM = ("www-authenticate", 'Bearer realm="Stripe"')


@dataclass
class Exchange:
    """One request on its way through the API."""

    request: Request
    request_id: str
    key: str = ""
    platform: str = ""
    account: str = ""
    operation: Operation | None = None
    match: routes.Match | None = None
    params: dict[str, Any] | None = None

    @property
    def headers(self) -> dict[str, str]:
        return self.request.headers

    @property
    def version(self) -> str:
        return self.headers.get("stripe-version", source.api_version())


class Api:
    """Answers every path below `/v1/` and `/v2/`."""

    def __init__(self, sandbox: Sandbox) -> None:
        resources.load()
        self._sandbox = sandbox
        self._keys = Keys(sandbox)

    async def answer(self, request: Request) -> Response:
        exchange = Exchange(request, ids.new("req"))
        try:
            response = await self._answer(exchange)
        except errors.StripeError as error:
            response = self._error(exchange, error)
        self._decorate(exchange, response)
        return response

    async def _answer(self, exchange: Exchange) -> Response:
        exchange.key = caller.secret_key(exchange.headers.get("authorization", ""))
        exchange.platform = self._sandbox.platform(exchange.key)
        caller.check_version(exchange.version)
        exchange.account = caller.account(self._sandbox, exchange.headers, exchange.key, exchange.platform)
        self._route(exchange)
        keys.check(self._sandbox.store, exchange.key, exchange.request.method, exchange.request.path, exchange.account)
        exchange.params = parameters_sent.read(exchange.request)
        fault = self._sandbox.faults.of_call(exchange.request.path, exchange.account)
        if fault is None:
            return await self._once(exchange, 0.0)
        response = await self._disturbed(exchange, fault)
        response.cut_off = fault.cut_off
        return response

    async def _disturbed(self, exchange: Exchange, fault: faults.ApiFault) -> Response:
        """The answer of a call that a test wants to fail."""
        if fault.after or not fault.status:
            response = await self._once(exchange, fault.delay)
            return self._error(exchange, faults.error_of(fault)) if fault.status else response
        await asyncio.sleep(fault.delay)
        return self._error(exchange, faults.error_of(fault))

    def _route(self, exchange: Exchange) -> None:
        request = exchange.request
        exchange.match = routes.match(request.method, request.path)
        template = exchange.match.route.template if exchange.match else request.path
        if exchange.match is None:
            exchange.match = resources.extra_route(request.method, request.path)
        if exchange.match is None:
            raise errors.unknown_url(request.method, request.path)
        exchange.operation = OPERATIONS.get(key(request.method, exchange.match.route.template))
        if exchange.operation is None:
            raise errors.not_implemented(request.method, template)

    async def _once(self, exchange: Exchange, delay: float) -> Response:
        """Under an idempotency key an executed call is never executed again."""
        name = exchange.headers.get("idempotency-key", "")
        if exchange.request.method != "POST" or not name:
            await asyncio.sleep(delay)
            return self._executed(exchange)
        print_ = fingerprint(exchange.request, exchange.params or {})
        stored = self._keys.stored(exchange.account, name, print_)
        if stored is not None:
            return stored
        with self._keys.in_flight(exchange.account, name):
            await asyncio.sleep(delay)
            with self._sandbox.store.transaction():
                response, storable = self._try(exchange)
                response.headers.append(("original-request", exchange.request_id))
                if storable:
                    self._keys.keep(exchange.account, name, print_, exchange.request_id, response)
        self._sandbox.deliveries.wake()
        return response

    def _try(self, exchange: Exchange) -> tuple[Response, bool]:
        try:
            return self._executed(exchange), True
        except errors.StripeError as error:
            return self._error(exchange, error), error.storable

    def _executed(self, exchange: Exchange) -> Response:
        """A crash undoes the call, and counts as an answer of Stripe's own kind."""
        try:
            return self._execute(exchange)
        except errors.StripeError:
            raise
        except Exception as crash:
            traceback.print_exc()
            raise errors.failed() from crash

    def _execute(self, exchange: Exchange) -> Response:
        if exchange.match is None or exchange.operation is None:
            raise errors.unknown_url(exchange.request.method, exchange.request.path)
        params = self._validated(exchange, exchange.match.route)
        expand = params.pop("expand", None) or []
        expansion.check_depth(expand)
        if (untaken := exchange.operation.untaken(params)) is not None:
            raise errors.parameter_not_implemented(untaken)
        call = Call(
            self._sandbox,
            exchange.account,
            exchange.platform,
            params,
            exchange.match.path,
            request_id=exchange.request_id,
            idempotency_key=exchange.headers.get("idempotency-key"),
            url=exchange.request.path,
            upload=exchange.request.parts.get("file"),
        )
        if exchange.request.method != "GET":
            test_clocks.bind(call)
        # Rendered inside the transaction: a path that cannot be expanded undoes the call.
        with self._sandbox.store.transaction():
            result = self._sandbox.run(exchange.operation.function, call)
            reply = expansion.Reply(self._sandbox.store, exchange.account).render(result, expand)
        self._sandbox.deliveries.wake()
        self._check(reply)
        return Response.json(reply)

    def _validated(self, exchange: Exchange, route: routes.Route) -> dict[str, Any]:
        """The parameters as the route declares them, in today's terms."""
        request, params = exchange.request, dict(exchange.params or {})
        # The token in a V2 list's `next_page_url`, which no declaration has.
        page = {"page": params.pop("page")} if "page" in params and request.path.startswith("/v2/") else {}
        params, older = former.taken(key(route.method, route.template), exchange.version, params)
        if route.parameters is not None:
            upload = {"file": "_"} if "file" in request.parts else {}
            params = parameters.validate(route.parameters, params | upload)
        former.restore(params, older)
        return params | page

    def _check(self, reply: Object) -> None:
        if self._sandbox.check_replies and "object" in reply and (found := shapes.differences(reply)):
            text = "The reply differs from the SDK's class: " + "; ".join(found[:10])
            raise errors.StripeError(500, text, type="api_error", storable=False)

    def _error(self, exchange: Exchange, error: errors.StripeError) -> Response:
        body = dict(error.error)
        if error.status != 401:
            body["request_log_url"] = f"{self._sandbox.base_url}/_sandbox/requests?id={exchange.request_id}"
        response = Response.json({"error": body}, error.status)
        if error.status == 401:
            response.headers.append(REALM)
        response.headers.extend(RETRY_HINTS.get(error.error.get("code", ""), ()))
        return response

    def _decorate(self, exchange: Exchange, response: Response) -> None:
        sent = exchange.headers
        # Neither a stranger nor who waited for a lock in vain is told a request id.
        if response.status != 401 and SHOULD_RETRY not in response.headers:
            response.headers.append(("request-id", exchange.request_id))
            response.headers.append(("stripe-version", exchange.version))
        if exchange.request.method == "POST" and "idempotency-key" in sent:
            response.headers.append(("idempotency-key", sent["idempotency-key"]))
        if "stripe-account" in sent:
            response.headers.append(("stripe-account", sent["stripe-account"]))
