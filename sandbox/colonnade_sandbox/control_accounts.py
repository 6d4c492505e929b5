"""Control routes that act for an account: that of the key in `Authorization`, or the one in `Stripe-Account`."""

from functools import partial
from typing import Annotated

import msgspec

from colonnade_sandbox import billing_settings, errors, keys, targets
from colonnade_sandbox.call import Call
from colonnade_sandbox.caller import secret_key
from colonnade_sandbox.expansion import public
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import account_standing, invoice_operations, test_clocks
from colonnade_sandbox.resources import billing_portal_configurations as configurations
from colonnade_sandbox.sandbox import Sandbox


class Roll(msgspec.Struct, forbid_unknown_fields=True):
    """A new secret for an endpoint or destination; the old one is used besides for `expires_in` seconds."""

    id: str
    expires_in: Annotated[int, msgspec.Meta(ge=0, le=targets.LONGEST_ROLL)] = 0


class Authenticate(msgspec.Struct, forbid_unknown_fields=True):
    """The open invoice whose payment the customer confirms."""

    invoice: str


def _call(request: Request, sandbox: Sandbox) -> Call:
    """A call by the account of the key, or of `Stripe-Account`."""
    platform = sandbox.platform(secret_key(request.headers.get("authorization", "")))
    return Call(sandbox, request.headers.get("stripe-account", platform), platform)


def roll(request: Request, sandbox: Sandbox) -> Response:
    """What the Dashboard does to the secret of the key's account, or of `Stripe-Account`; answers the new one."""
    wanted, call = msgspec.json.decode(request.body, type=Roll), _call(request, sandbox)
    found = targets.stored(sandbox.store, call.account, wanted.id)
    if found is None:
        raise errors.no_such("webhook_endpoint", wanted.id)
    return Response.json(
        {"id": wanted.id, "secret": sandbox.run(partial(targets.roll, value=found, expires_in=wanted.expires_in), call)}
    )


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
