"""Stripe's error replies, row by row: status, type, code, parameter and message."""

import re
from dataclasses import asdict, dataclass

import pytest

from tests.sandbox.conftest import Shop, Wire

MISSING = "resource_missing"
CONFIGURATION = "/v1/billing_portal/configurations"
SESSION = "/v1/billing_portal/sessions"
CANCEL_ONLY = "features[subscription_cancel][enabled]=true"
UPDATES = (
    "features[subscription_update][enabled]=true&features[subscription_update][default_allowed_updates][0]=price"
    "&features[subscription_update][products][0][product]={product}"
    "&features[subscription_update][products][0][prices][0]={monthly}"
)
CONFIRM = "subscription_update_confirm"
FLOW = "customer={customer}&configuration={configuration}&return_url=https://x.test&flow_data[type]={kind}"


@dataclass(frozen=True)
class Case:
    """`call` is sent; names in braces are ids of the shop. `message` is a pattern for the whole text."""

    call: str
    status: int
    code: str | None
    param: str | None
    message: str
    type: str = "invalid_request_error"
    account: str = ""


TABLE = [
    Case("GET /v1/customers/cus_x", 404, MISSING, "id", "No such customer: 'cus_x'"),
    Case("POST /v1/customers/cus_x name=a", 404, MISSING, "id", "No such customer: 'cus_x'"),
    Case("DELETE /v1/subscriptions/sub_x", 404, MISSING, "id", "No such subscription: 'sub_x'"),
    Case(f"GET {CONFIGURATION}/bpc_x", 404, MISSING, "id", "No such configuration: 'bpc_x'"),
    Case("GET /v1/payment_methods/pm_x", 404, MISSING, "payment_method", "No such PaymentMethod: 'pm_x'; It's .*"),
    Case(
        "POST /v1/payment_methods/pm_x/attach customer={customer}",
        404,
        MISSING,
        "payment_method",
        "No such PaymentMethod: 'pm_x'; It's possible .*",
    ),
    Case(
        "POST /v1/subscriptions customer={customer}&items[0][price]=x",
        400,
        MISSING,
        "items[0][price]",
        "No such price: 'x'",
    ),
    Case(f"POST {SESSION} customer=cus_x", 400, MISSING, "customer", "No such customer: 'cus_x'"),
    Case(
        f"POST {SESSION} customer={{customer}}&on_behalf_of=acct_x&configuration={{configuration}}",
        400,
        MISSING,
        "on_behalf_of",
        "No such account: 'acct_x'",
    ),
    Case(
        "GET /v1/customers",
        403,
        "account_invalid",
        None,
        r"The provided key 'sk_test_\*+' does not have access to account 'acct_x' \(or that account does not exist\)\. "
        r"Application access may have been revoked\.",
        account="acct_x",
    ),
    Case(
        "POST /v1/customers features[foo]=1",
        400,
        "parameter_unknown",
        "features",
        "Received unknown parameter: features",
    ),
    Case(
        f"POST {CONFIGURATION} features[foo]=1",
        400,
        "parameter_unknown",
        "features[foo]",
        r"Received unknown parameter: features\[foo\]",
    ),
    Case(
        f"POST {CONFIGURATION} features[subscription_update][enabled]=true"
        "&features[subscription_update][products][0][prices][0]=p",
        400,
        "parameter_missing",
        "features[subscription_update][products][0][product]",
        r"Missing required param: features\[subscription_update\]\[products\]\[0\]\[product\]\.",
    ),
    Case(
        "POST /v1/customers email=",
        400,
        "parameter_invalid_empty",
        "email",
        "You passed an empty string for 'email'. We assume empty values are an attempt to unset a parameter; however "
        "'email' cannot be unset. You should remove 'email' from your request or supply a non-empty value.",
    ),
    Case(
        "POST /v1/prices product={product}&currency=usd&unit_amount=1.5",
        400,
        "parameter_invalid_integer",
        "unit_amount",
        "Invalid integer: 1.5",
    ),
    Case("GET /v1/customers?starting_after=cus_x", 400, MISSING, "starting_after", "No such customer: 'cus_x'"),
    Case("GET /v1/customers?limit=0", 400, "parameter_invalid_integer", "limit", "Invalid integer: 0"),
    Case(
        "GET /v1/customers?expand[]=data.email", 400, None, "expand", r"This property cannot be expanded \(.*email\)."
    ),
    Case(
        "POST /v1/payment_methods/pm_card_chargeDeclined/attach customer={customer}",
        402,
        "card_declined",
        "",
        "Your card was declined.",
        type="card_error",
    ),
    Case(
        "POST /v1/subscriptions customer={cardless}&items[0][price]={monthly}",
        400,
        MISSING,
        None,
        "This customer has no attached payment source or default payment method. .*",
    ),
    Case(
        f"POST {SESSION} customer={{customer}}",
        400,
        None,
        None,
        "No configuration provided and your test mode default configuration has not been created. .*",
    ),
    Case(
        f"POST {SESSION} {FLOW.replace('{kind}', 'subscription_update')}"
        "&flow_data[subscription_update][subscription]={subscription}",
        400,
        None,
        "flow_data[type]",
        "This subscription cannot be updated because the subscription update feature in the portal configuration is "
        "disabled.",
    ),
    Case(
        f"POST {SESSION} {FLOW.replace('{configuration}', '{updates}').replace('{kind}', CONFIRM)}"
        f"&flow_data[{CONFIRM}][subscription]={{subscription}}&flow_data[{CONFIRM}][items][0][id]={{item}}"
        f"&flow_data[{CONFIRM}][items][0][price]={{monthly}}",
        400,
        None,
        "flow_data[subscription_update_confirm][items]",
        "This flow cannot update the subscription because there are no changes to confirm.",
    ),
    Case(
        f"POST {SESSION} {FLOW.replace('{configuration}', '{updates}').replace('{kind}', CONFIRM)}"
        f"&flow_data[{CONFIRM}][subscription]={{subscription}}&flow_data[{CONFIRM}][items][0][id]={{item}}"
        f"&flow_data[{CONFIRM}][items][0][price]={{yearly}}",
        400,
        None,
        "flow_data[subscription_update_confirm][items][0][price]",
        "The price .* is not among the products of the portal configuration.",
    ),
    Case("GET /v1/nothing", 404, None, None, r"Unrecognized request URL \(GET: /v1/nothing\)\. .*"),
    Case(
        "POST /v1/charges amount=1",
        501,
        "not_implemented",
        None,
        "POST /v1/charges is part of Stripe's API but not implemented by this sandbox.",
        type="api_error",
    ),
    Case(
        "POST /v1/account_links account={account}&type=account_onboarding&collect=currently_due",
        501,
        "not_implemented",
        "collect",
        "The parameter collect is part of Stripe's API but not implemented by this sandbox.",
        type="api_error",
    ),
    Case("POST /v1/customers metadata[" + "k" * 41 + "]=v", 400, None, "metadata", "Invalid metadata key .*40 .*"),
    Case("POST /v1/customers metadata[k]=" + "v" * 501, 400, None, "metadata[k]", "Invalid metadata value: .*500 .*"),
    Case(
        "POST /v1/customers " + "&".join(f"metadata[k{i}]=v" for i in range(51)),
        400,
        None,
        "metadata",
        "Metadata can have at most 50 keys",
    ),
    Case("POST /v1/customers name=a&name=b", 400, None, "name", "Invalid request: name was given more than once."),
    Case("POST /v1/customers?name=a name=b", 400, None, "name", "Invalid request: name was given more than once."),
    Case(
        "POST /v1/customers address=a&address[city]=b", 400, None, "address[city]", "Invalid request: .*contradicts.*"
    ),
]


@pytest.fixture
async def ids(wire: Wire, shop: Shop) -> dict[str, str]:
    """The shop's ids, and what the table needs besides."""
    known = asdict(shop)
    known["cardless"] = (await wire.post("/v1/customers", "name=Bob")).body["id"]
    known["configuration"] = (await wire.post(CONFIGURATION, CANCEL_ONLY)).body["id"]
    known["updates"] = (await wire.post(CONFIGURATION, UPDATES.format(**known))).body["id"]
    wanted = f"customer={shop.customer}&items[0][price]={shop.monthly}"
    subscription = (await wire.post("/v1/subscriptions", wanted)).body
    known |= {"subscription": subscription["id"], "item": subscription["items"]["data"][0]["id"]}
    return known


async def test_the_table_of_errors(wire: Wire, ids: dict[str, str]) -> None:
    for case in TABLE:
        method, path, body = [*re.sub(r"{(\w+)}", lambda found: ids[found[1]], case.call).split(" "), ""][:3]
        headers = {"Stripe_Account": case.account} if case.account else {}
        reply = await wire.send(method, path, body, **headers)
        found = reply.status, reply.error["type"], reply.error.get("code"), reply.error.get("param")
        assert found == (case.status, case.type, case.code, case.param), case.call
        assert re.fullmatch(case.message, reply.error["message"]), (case.call, reply.error["message"])
        expected = {"message", "type", "request_log_url"} | ({"code", "doc_url"} if case.code else set())
        assert set(reply.error) - {"decline_code", "param"} == expected, case.call
        assert reply.headers["request-id"].startswith("req_")


@pytest.mark.parametrize("version", ["2025-01-27.acacia", "2024-06-20", "2023-08-16", "2026-03-25.dahlia"])
async def test_versions_that_stripe_had_are_taken_and_echoed(wire: Wire, version: str) -> None:
    reply = await wire.get("/v1/customers", Stripe_Version=version)
    assert (reply.status, reply.headers["stripe-version"]) == (200, version)


@pytest.mark.parametrize("version", ["1", "2024-02-31", "2099-01-01.acacia", "2025-01-27", "2025-01-27.zebra"])
async def test_other_versions_are_refused(wire: Wire, version: str) -> None:
    reply = await wire.get("/v1/customers", Stripe_Version=version)
    assert (reply.status, reply.error["message"]) == (400, f"Invalid Stripe API version: {version}")


async def test_too_many_parameters_are_refused(wire: Wire) -> None:
    reply = await wire.post("/v1/customers", "&".join(f"a{i}=1" for i in range(5001)))
    assert (reply.status, reply.error["message"]) == (400, "Invalid request: at most 5000 parameters are taken.")
