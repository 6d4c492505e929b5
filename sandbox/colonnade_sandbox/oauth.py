"""Connect's OAuth routes, which have their own error bodies."""

from typing import Any

from colonnade_sandbox import errors, forms
from colonnade_sandbox.call import Call
from colonnade_sandbox.caller import secret_key
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import accounts
from colonnade_sandbox.sandbox import Sandbox


def answer(request: Request, sandbox: Sandbox) -> Response:
    """`POST /oauth/deauthorize`: a connected account leaves the platform."""
    if (request.method, request.path) != ("POST", "/oauth/deauthorize"):
        return _refused("invalid_request", f"No such OAuth route: {request.method} {request.path}", 404)
    try:
        params = forms.parse(request.body.decode("utf-8", "replace"))
        key = secret_key(request.headers.get("authorization") or f"Bearer {params.get('client_secret', '')}")
    except errors.StripeError as error:
        return _refused("invalid_client", str(error), error.status)
    platform = sandbox.platform(key)
    for name in ("client_id", "stripe_user_id"):
        if not params.get(name):
            return _refused("invalid_request", f"No {name} was provided", 400)
    return _deauthorize(Call(sandbox, platform, platform), params)


def _deauthorize(call: Call, params: dict[str, Any]) -> Response:
    account, client = params["stripe_user_id"], params["client_id"]
    if not str(client).startswith("ca_"):
        return _refused("invalid_client", f"No application matches the supplied client identifier: {client}", 401)
    if account == call.platform or call.platform not in call.sandbox.platforms_of(account):
        text = f"This application is not connected to stripe account {account}, or that account does not exist."
        return _refused("invalid_client", text, 401)
    call.sandbox.run(lambda call: accounts.disconnect(call, accounts.connected(call, account)), call)
    return Response.json({"stripe_user_id": account})


def _refused(error: str, description: str, status: int) -> Response:
    return Response.json({"error": error, "error_description": description}, status)
