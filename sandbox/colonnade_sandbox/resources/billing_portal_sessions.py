"""Portal sessions: short-lived secret URLs of the hosted portal for one customer."""

from colonnade_sandbox import errors, ids
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import accounts
from colonnade_sandbox.resources import billing_portal_configurations as configurations
from colonnade_sandbox.resources import billing_portal_flows as flows
from colonnade_sandbox.resources.billing_portal_rules import check_url
from colonnade_sandbox.store import NOWHERE, Object

KIND = "billing_portal.session"
TOKEN_KIND = "_portal_session"
# Widely reported, not in the API reference: unused for five minutes, or idle for an hour, and it is over.
UNUSED_FOR = 300
IDLE_FOR = 3600


@operation(
    "POST",
    "/v1/billing_portal/sessions",
    takes="after_expiration configuration customer flow_data locale on_behalf_of return_url",
)
def create(call: Call) -> Object:
    params = call.params
    if "customer" not in params:
        raise errors.missing_parameter("customer")
    customer = call.get("customer", params["customer"], "customer")
    configuration = _configuration(call)
    account = params.get("on_behalf_of")
    if account and (call.account != call.platform or call.platform not in call.sandbox.platforms_of(account)):
        raise errors.no_such("account", account, "on_behalf_of")
    check_url(params.get("return_url"), "return_url")
    return_url = params.get("return_url") or configuration["default_return_url"]
    flow = flows.checked(call, customer, configuration) if "flow_data" in params else None
    token = f"test_{ids.token(48)}"
    values = {
        "configuration": configuration["id"],
        "customer": customer["id"],
        "customer_account": None,
        "flow": flow,
        "locale": params.get("locale"),
        "on_behalf_of": params.get("on_behalf_of"),
        "return_url": return_url,
        "url": f"{call.sandbox.base_url}/p/session/{token}",
        "_token": token,
    }
    if "after_expiration" in params:
        values["after_expiration"] = _after_expiration(call)
    session = call.add(KIND, "bps", values)
    _remember(call, session, token)
    return session


def _remember(call: Call, session: Object, token: str) -> None:
    """What leads from the URL to the session, and tells how old and how idle it is."""
    kept = {
        "id": token,
        "session": session["id"],
        "account": call.account,
        "platform": call.platform,
        "created": call.now,
        "seen": None,
    }
    accounts.remember(call, TOKEN_KIND, token, kept)


def _after_expiration(call: Call) -> Object:
    """Who visits an expired URL may log in by e-mail, until `expires_at` if there is one."""
    given: Object = call.params["after_expiration"]
    login = given.get("customer_login") or {}
    if (until := login.get("expires_at")) is not None and until <= call.now:
        raise errors.invalid("The time must be in the future.", "after_expiration[customer_login][expires_at]")
    return {"type": given["type"], "customer_login": {"expires_at": until}}


def renewed(call: Call, session: Object) -> Object:
    """A session like an expired one: same customer, same configuration, a URL of its own, no flow."""
    token = f"test_{ids.token(48)}"
    copied = {
        name: session[name]
        for name in ("after_expiration", "configuration", "customer", "locale", "on_behalf_of", "return_url")
        if name in session
    }
    values = copied | {"customer_account": None, "flow": None, "_token": token}
    fresh = call.add(KIND, "bps", values | {"url": f"{call.sandbox.base_url}/p/session/{token}"})
    _remember(call, fresh, token)
    return fresh


def open_session(call: Call, token: str) -> Object | None:
    """The session behind a token, its idle time starting anew; None where it is unknown or over.

    `call` needs only its sandbox. The answer has the token's `account` and `platform` beside the session's
    fields, as `_account` and `_platform`.
    """
    kept = call.sandbox.store.find(NOWHERE, TOKEN_KIND, token)
    if kept is None:
        return None
    last = kept["seen"] if kept["seen"] is not None else kept["created"]
    allowed = UNUSED_FOR if kept["seen"] is None else IDLE_FOR
    session = call.sandbox.store.find(kept["account"], KIND, kept["session"])
    if session is None or call.now > last + allowed:
        return None
    accounts.remember(call, TOKEN_KIND, token, kept | {"seen": call.now})
    return session | {"_account": kept["account"], "_platform": kept["platform"]}


def _configuration(call: Call) -> Object:
    if (name := call.params.get("configuration")) is None:
        found = configurations.default(call)
        if found is None:
            text = (
                "No configuration provided and your test mode default configuration has not been created. Provide a "
                "configuration or create your default by saving your customer portal settings in test mode."
            )
            raise errors.invalid(text)
        return found
    found = call.get(configurations.KIND, name, "configuration")
    if not found["active"]:
        raise errors.invalid(f"The configuration {name} is not active.", "configuration")
    return found
