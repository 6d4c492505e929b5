"""What lets an account holder in: Express login links, and sessions of embedded components."""

from colonnade_sandbox import errors, ids
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import accounts
from colonnade_sandbox.store import Object

# Seconds from its making until a session's secret is worthless.
LIFETIME = 1800


@operation("POST", "/v1/accounts/{account}/login_links")
def create_login_link(call: Call) -> Object:
    """Raises StripeError (400) for an account without the Express Dashboard, or before it is set up."""
    account = accounts.connected(call, call.id)
    if account["controller"].get("stripe_dashboard", {}).get("type") != "express":
        raise errors.invalid("Cannot create a login link for an account that does not use the Express Dashboard.")
    if not account["details_submitted"]:
        raise errors.invalid("Cannot create a login link for an account that has not completed onboarding.")
    url = f"{call.sandbox.base_url}/express/{account['id']}/{ids.token(12)}"
    return shapes.complete("login_link", {"object": "login_link", "created": call.now, "url": url})


@operation("POST", "/v1/account_sessions", takes="account components")
def create_session(call: Call) -> Object:
    """From here on the account holder has a say: the platform may write less (see `check_control`)."""
    account = accounts.connected(call, call.params["account"])
    if account["id"] == call.platform:
        raise errors.invalid("Account sessions are for connected accounts.", "account")
    components = call.params["components"]
    if not any(part.get("enabled") for part in components.values()):
        raise errors.invalid("At least one component must be enabled.", "components")
    call.on(account["id"]).put(account | {"_linked": True})
    secret = f"accs_secret__{ids.token(40)}"
    values = {
        "object": "account_session",
        "account": account["id"],
        "client_secret": secret,
        "components": components,
        "expires_at": call.now + LIFETIME,
        "livemode": False,
    }
    return shapes.complete("account_session", values)
