"""Connect's OAuth routes, which have their own error bodies."""

from collections.abc import Callable
from typing import Any

from colonnade_sandbox import connections, errors, forms
from colonnade_sandbox.call import Call
from colonnade_sandbox.caller import secret_key
from colonnade_sandbox.connections import Refused
from colonnade_sandbox.hosted import authorize
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import accounts
from colonnade_sandbox.sandbox import Sandbox

Handler = Callable[[Call, dict[str, Any]], dict[str, Any]]


def answer(request: Request, sandbox: Sandbox) -> Response:
    if request.path == "/oauth/authorize":
        return authorize.answer(request, sandbox)
    handler = ROUTES.get((request.method, request.path))
    try:
        if handler is None:
            text = f"No such OAuth route: {request.method} {request.path}"
            raise Refused("invalid_request", text, 404)
        params = _params(request)
        call = _caller(request, sandbox, params)
        return Response.json(sandbox.run(lambda call: handler(call, params), call))
    except Refused as refused:
        body = {"error": refused.error, "error_description": refused.description}
        return Response.json(body, refused.status)


def _params(request: Request) -> dict[str, Any]:
    try:
        return forms.parse(request.body.decode("utf-8", "replace"))
    except errors.StripeError as error:
        raise Refused("invalid_request", str(error)) from None


def _caller(request: Request, sandbox: Sandbox, params: dict[str, Any]) -> Call:
    """The platform by its key, which OAuth also takes as `client_secret`."""
    secret = params.get("client_secret")
    header = f"Bearer {secret}" if secret else request.headers.get("authorization", "")
    try:
        platform = sandbox.platform(secret_key(header))
    except errors.StripeError as error:
        raise Refused("invalid_client", str(error), error.status) from None
    return Call(sandbox, platform, platform)


def _needed(params: dict[str, Any], name: str, words: str) -> str:
    if not isinstance(value := params.get(name), str) or not value:
        raise Refused("invalid_request", f"No {words} was provided")
    return value


def token(call: Call, params: dict[str, Any]) -> dict[str, Any]:
    """`POST /oauth/token`: a code, or a refresh token, for tokens of the connected account."""
    match params.get("grant_type"):
        case "authorization_code":
            return connections.redeem(call, _needed(params, "code", "authorization code"))
        case "refresh_token":
            return connections.refresh(call, _needed(params, "refresh_token", "refresh token"))
        case None:
            raise Refused("invalid_request", "No grant type specified")
        case other:
            raise Refused("unsupported_grant_type", f"Unsupported grant type: {other}")


def deauthorize(call: Call, params: dict[str, Any]) -> dict[str, Any]:
    """`POST /oauth/deauthorize`: a connected account leaves the platform."""
    client = _needed(params, "client_id", "client_id")
    account = _needed(params, "stripe_user_id", "stripe_user_id")
    if not client.startswith("ca_"):
        raise Refused("invalid_client", f"No application matches the supplied client identifier: {client}", 401)
    if account == call.platform or call.platform not in call.sandbox.platforms_of(account):
        text = f"This application is not connected to stripe account {account}, or that account does not exist."
        raise Refused("invalid_client", text, 401)
    accounts.disconnect(call, accounts.connected(call, account))
    return {"stripe_user_id": account}


ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", "/oauth/token"): token,
    ("POST", "/oauth/deauthorize"): deauthorize,
}
