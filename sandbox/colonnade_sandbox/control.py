"""The sandbox's own routes under `/_sandbox/`, for tests and demos; answered to this machine only.

| route | what for |
| --- | --- |
| `GET health` | whether it runs, and what time it is in it |
| `GET requests`, `DELETE requests` | log of API calls; forget it |
| `GET faults`, `POST faults`, `DELETE faults` | all faults; replace them; end them |
| `POST advance` | move the time of everything that is on no test clock |
| `POST authenticate` | the customer passes 3D Secure for an open invoice |
| `POST billing` | dunning, and the pace of test clocks |
| `GET deliveries`, `POST deliveries` | deliveries still owed; deliver an event again |
| `GET events`, `POST events` | a page of the newest events, with a button that delivers again |
| `GET attempts` | tries to deliver, and what was answered |
| `POST secrets` | roll the secret of an endpoint or destination |
| `POST portal_configuration` | save the portal's settings as the Dashboard does |
"""

import ipaddress
from collections.abc import Callable

import msgspec

from colonnade_sandbox import control_accounts, control_deliveries, errors
from colonnade_sandbox.faults import Wanted
from colonnade_sandbox.hosted import event_log
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox

Route = Callable[[Request, Sandbox], Response]
REQUEST_FILTERS = ("account", "id", "idempotency_key", "method", "path", "status")


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """Seconds by which the sandbox's time moves forward."""

    seconds: int


def health(request: Request, sandbox: Sandbox) -> Response:
    return Response.json({"status": "ok", "now": sandbox.clock.now()})


def requests(request: Request, sandbox: Sandbox) -> Response:
    """The newest API calls, oldest first; a query such as `?path=/v1/customers&status=200` narrows them."""
    return Response.json({"data": control_deliveries.narrowed(request, sandbox.log, REQUEST_FILTERS)})


def forget_requests(request: Request, sandbox: Sandbox) -> Response:
    sandbox.log.clear()
    return Response.json({"data": []})


def faults(request: Request, sandbox: Sandbox) -> Response:
    """Replaces what is wanted: `api`, `deliveries`, `chaos`, `skew`; an empty object ends all faults."""
    sandbox.faults.want(msgspec.json.decode(request.body or b"{}", type=Wanted))
    return wanted_faults(request, sandbox)


def wanted_faults(request: Request, sandbox: Sandbox) -> Response:
    """All faults at once, counted ones with what is left of them."""
    return Response.json(msgspec.to_builtins(sandbox.faults.wanted))


def no_faults(request: Request, sandbox: Sandbox) -> Response:
    sandbox.faults.want(Wanted())
    return wanted_faults(request, sandbox)


def advance(request: Request, sandbox: Sandbox) -> Response:
    """Moves the time forward; what falls due on the way is done in order before this answers."""
    wanted = msgspec.json.decode(request.body, type=Advance)
    if wanted.seconds < 0:
        return Response.json({"error": {"message": "Time only moves forward.", "param": "seconds"}}, 400)
    sandbox.shift(wanted.seconds)
    return Response.json({"now": sandbox.clock.now()})


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/_sandbox/health"): health,
    ("GET", "/_sandbox/requests"): requests,
    ("DELETE", "/_sandbox/requests"): forget_requests,
    ("GET", "/_sandbox/faults"): wanted_faults,
    ("POST", "/_sandbox/account_states"): control_accounts.account_states,
    ("POST", "/_sandbox/faults"): faults,
    ("DELETE", "/_sandbox/faults"): no_faults,
    ("POST", "/_sandbox/advance"): advance,
    ("POST", "/_sandbox/authenticate"): control_accounts.authenticate,
    ("POST", "/_sandbox/billing"): control_accounts.billing,
    ("GET", "/_sandbox/events"): event_log.page,
    ("POST", "/_sandbox/events"): event_log.deliver_again,
    ("GET", "/_sandbox/deliveries"): control_deliveries.waiting,
    ("POST", "/_sandbox/deliveries"): control_deliveries.again,
    ("POST", "/_sandbox/secrets"): control_accounts.roll,
    ("GET", "/_sandbox/attempts"): control_deliveries.attempts,
    ("POST", "/_sandbox/portal_configuration"): control_accounts.default_configuration,
    ("POST", "/_sandbox/restricted_keys"): control_accounts.restricted_keys,
}


def answer(request: Request, sandbox: Sandbox) -> Response:
    if not _from_here(request.client):
        return _refused(403, "These routes answer this machine only.")
    route = ROUTES.get((request.method, request.path))
    if route is None:
        return _refused(404, f"No such route: {request.method} {request.path}")
    try:
        return route(request, sandbox)
    except (msgspec.ValidationError, msgspec.DecodeError) as problem:
        return _refused(400, str(problem))
    except errors.StripeError as error:
        return Response.json({"error": error.error}, error.status)


def _from_here(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False


def _refused(status: int, message: str) -> Response:
    return Response.json({"error": {"message": message}}, status)
