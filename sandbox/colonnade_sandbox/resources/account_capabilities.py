"""Capabilities: what an account asks to do, and whether it may."""

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import account_requirements, account_writing, accounts
from colonnade_sandbox.store import Object

URL = "/v1/accounts/{account}/capabilities"


def names() -> frozenset[str]:
    """Every capability that Stripe has."""
    node = shapes.fields(shapes.resource("account"))["capabilities"].of  # type: ignore[union-attr]
    return frozenset(shapes.fields(node))


@operation("GET", URL)
def list_all(call: Call) -> Object:
    account = accounts.connected(call, call.id)
    data = [account_requirements.capability(account, name) for name in sorted(account["capabilities"])]
    return shapes.page(data, call.url)


@operation("GET", f"{URL}/{{capability}}")
def retrieve(call: Call) -> Object:
    account = accounts.connected(call, call.id)
    return account_requirements.capability(account, _known(call.path["capability"]))


@operation("POST", f"{URL}/{{capability}}", takes="requested")
def update(call: Call) -> Object:
    """Raises StripeError (403) where only the account holder may ask."""
    account = accounts.connected(call, call.id)
    account_writing.check_control(account, {"capabilities"})
    name = _known(call.path["capability"])
    if "requested" in call.params:
        wanted = {name: {"requested": call.params["requested"]}}
        account = account_writing.write(call, account, account_writing.asked(account, wanted, call.now))
    return account_requirements.capability(account, name)


def _known(name: str) -> str:
    if name not in names():
        raise errors.no_such("capability", name, "capability", in_path=True)
    return name
