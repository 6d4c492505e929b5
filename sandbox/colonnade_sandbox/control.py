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
| `GET attempts` | tries to deliver, and what was answered |
| `POST secrets` | roll the secret of an endpoint or destination |
| `POST portal_configuration` | save the portal's settings as the Dashboard does |
"""

import ipaddress
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any

import msgspec

from colonnade_sandbox import billing_settings, deliveries, errors, keys, targets
from colonnade_sandbox.call import Call
from colonnade_sandbox.caller import secret_key
from colonnade_sandbox.expansion import public
from colonnade_sandbox.faults import Wanted
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import account_standing, invoice_operations, test_clocks
from colonnade_sandbox.resources import billing_portal_configurations as configurations
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object

Route = Callable[[Request, Sandbox], Response]
REQUEST_FILTERS = ("account", "id", "idempotency_key", "method", "path", "status")
ATTEMPT_FILTERS = ("account", "event", "status", "target", "type", "url")


class Roll(msgspec.Struct, forbid_unknown_fields=True):
    """A new secret for an endpoint or destination; the old one is used besides for `expires_in` seconds."""

    id: str
    expires_in: Annotated[int, msgspec.Meta(ge=0, le=targets.LONGEST_ROLL)] = 0


class Again(msgspec.Struct, forbid_unknown_fields=True):
    """The event to deliver again: to one endpoint or destination, or to all that want it."""

    event: str
    target: str | None = None


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """Seconds by which the sandbox's time moves forward."""

    seconds: int


class Authenticate(msgspec.Struct, forbid_unknown_fields=True):
    """The open invoice whose payment the customer confirms."""

    invoice: str


def health(request: Request, sandbox: Sandbox) -> Response:
    return Response.json({"status": "ok", "now": sandbox.clock.now()})


def requests(request: Request, sandbox: Sandbox) -> Response:
    """The newest API calls, oldest first; a query such as `?path=/v1/customers&status=200` narrows them."""
    return Response.json({"data": _narrowed(request, sandbox.log, REQUEST_FILTERS)})


def _narrowed(request: Request, rows: Iterable[dict[str, Any]], filters: tuple[str, ...]) -> list[dict[str, Any]]:
    wanted = {name: value for name, value in request.arguments.items() if name in filters}
    return [row for row in rows if all(str(row.get(name)) == value for name, value in wanted.items())]


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


def waiting(request: Request, sandbox: Sandbox) -> Response:
    """Deliveries still owed."""
    return Response.json({"data": sandbox.deliveries.waiting()})


def attempts(request: Request, sandbox: Sandbox) -> Response:
    """The newest tries to deliver and what was answered, oldest first; narrowed like the requests."""
    return Response.json({"data": _narrowed(request, sandbox.deliveries.attempts, ATTEMPT_FILTERS)})


def roll(request: Request, sandbox: Sandbox) -> Response:
    """What the Dashboard does to the secret of the key's account, or of `Stripe-Account`; answers the new one."""
    wanted, call = msgspec.json.decode(request.body, type=Roll), _call(request, sandbox)
    found = targets.stored(sandbox.store, call.account, wanted.id)
    if found is None:
        raise errors.no_such("webhook_endpoint", wanted.id)
    return Response.json(
        {"id": wanted.id, "secret": sandbox.run(partial(targets.roll, value=found, expires_in=wanted.expires_in), call)}
    )


def again(request: Request, sandbox: Sandbox) -> Response:
    """Delivers an event of any account again."""
    wanted = msgspec.json.decode(request.body, type=Again)
    for account, event in sandbox.store.everywhere("event"):
        if event["id"] == wanted.event:
            send = partial(_send, event=event, target=wanted.target)
            return Response.json({"deliveries": sandbox.run(send, Call(sandbox, account, account))})
    raise errors.no_such("event", wanted.event)


def _send(call: Call, event: Object, target: str | None) -> int:
    concerned = targets.concerned(call.sandbox.store, call.account, call.sandbox.platforms_of(call.account))
    found = 0
    for each in concerned:
        for kind, key in each.matching(event) if target in (None, each.id) else ():
            deliveries.add(call.sandbox, each, call.account, kind, key)
            found += 1
    return found


def _call(request: Request, sandbox: Sandbox) -> Call:
    """A call by the account of the key, or of `Stripe-Account`."""
    platform = sandbox.platform(secret_key(request.headers.get("authorization", "")))
    return Call(sandbox, request.headers.get("stripe-account", platform), platform)


def default_configuration(request: Request, sandbox: Sandbox) -> Response:
    """What the Dashboard's first save of the portal settings does, for the key's account or `Stripe-Account`."""
    return Response.json(sandbox.run(configurations.create_default, _call(request, sandbox)))


def billing(request: Request, sandbox: Sandbox) -> Response:
    """Replaces what the key's account, or `Stripe-Account`, has set for failed payments and moving test clocks."""
    wanted = msgspec.json.decode(request.body or b"{}", type=billing_settings.Billing)
    caller = _call(request, sandbox)
    sandbox.run(lambda call: billing_settings.keep(sandbox.store, call.account, wanted), caller)
    return Response.json(msgspec.to_builtins(wanted))


def account_states(request: Request, sandbox: Sandbox) -> Response:
    """Puts a connected account into a state such as `restricted_soon`; answers the account."""
    wanted = msgspec.json.decode(request.body, type=account_standing.State)
    return Response.json(public(account_standing.set_state(sandbox, wanted)))


def restricted_keys(request: Request, sandbox: Sandbox) -> Response:
    """Makes a restricted key of the key's account, or changes what one may do."""
    wanted = msgspec.json.decode(request.body, type=keys.Restricted)
    platform = sandbox.platform(secret_key(request.headers.get("authorization", "")))
    key = sandbox.run(lambda call: keys.restrict(sandbox.store, platform, wanted), Call(sandbox, platform, platform))
    return Response.json({"key": key, "permissions": wanted.permissions})


def authenticate(request: Request, sandbox: Sandbox) -> Response:
    """The customer passes the bank's check (3D Secure) for the open invoice `{"invoice": id}`, which is then paid."""
    wanted = msgspec.json.decode(request.body, type=Authenticate)
    platform = sandbox.platform(secret_key(request.headers.get("authorization", "")))
    call = Call(sandbox, request.headers.get("stripe-account", platform), platform).at(wanted.invoice)
    test_clocks.bind(call)
    return Response.json(public(sandbox.run(invoice_operations.authenticate, call)))


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/_sandbox/health"): health,
    ("GET", "/_sandbox/requests"): requests,
    ("DELETE", "/_sandbox/requests"): forget_requests,
    ("GET", "/_sandbox/faults"): wanted_faults,
    ("POST", "/_sandbox/account_states"): account_states,
    ("POST", "/_sandbox/faults"): faults,
    ("DELETE", "/_sandbox/faults"): no_faults,
    ("POST", "/_sandbox/advance"): advance,
    ("POST", "/_sandbox/authenticate"): authenticate,
    ("POST", "/_sandbox/billing"): billing,
    ("GET", "/_sandbox/deliveries"): waiting,
    ("POST", "/_sandbox/deliveries"): again,
    ("POST", "/_sandbox/secrets"): roll,
    ("GET", "/_sandbox/attempts"): attempts,
    ("POST", "/_sandbox/portal_configuration"): default_configuration,
    ("POST", "/_sandbox/restricted_keys"): restricted_keys,
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
