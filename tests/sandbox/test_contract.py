"""The contract is read from the SDK's source: routes, parameters, reply shapes."""

import re

import pytest

from colonnade_sandbox import resources
from colonnade_sandbox.contract import former, parameters, routes, shapes, source
from colonnade_sandbox.errors import StripeError
from colonnade_sandbox.operations import OPERATIONS, Operation, key
from tests.sandbox.conftest import Shop, Wire

# Lists have the filter and the cursors wherever Stripe has them, so their table names them throughout.
ALWAYS = {"created", "ending_before", "limit", "page", "starting_after"}


def every_route() -> list[routes.Route]:
    nouns: set[tuple[str, str]] = set()
    for path in source.package().rglob("*_service.py"):
        nouns |= set(re.findall(r'"/(v[12])/(\w+)', path.read_text("utf-8")))
    return [route for version, noun in sorted(nouns) for route in routes.of_noun(noun, version)]


@pytest.mark.slow
def test_every_route_of_the_sdk_is_known_and_refuses_an_unknown_parameter() -> None:
    found = every_route()
    assert len(found) > 500
    for route in found:
        assert route.parameters is not None, route
        with pytest.raises(StripeError) as refused:
            parameters.validate(route.parameters, {"no_such_parameter": "1"})
        assert refused.value.error["code"] == "parameter_unknown", route
        assert refused.value.error["param"] == "no_such_parameter"


def test_every_operation_answers_a_route_that_exists() -> None:
    resources.load()
    known = {key(route.method, route.template) for route in (*every_route(), *resources.EXTRA)}
    assert set(OPERATIONS) <= known


def test_no_operation_takes_a_parameter_that_stripe_never_had() -> None:
    resources.load()
    for route in every_route():
        operation = OPERATIONS.get(key(route.method, route.template))
        if operation is None or route.parameters is None:
            continue
        names = {name for name, _ in parameters.fields(route.parameters)} - {"expand"}
        names |= {each.path[0] for each in former.FORMER.get(key(route.method, route.template), ())}
        surplus = {name.partition("[")[0] for name in operation.takes} - names - ALWAYS
        assert surplus == set(), (route.method, route.template)


def test_the_pinned_version_is_the_sdks() -> None:
    import stripe

    assert source.api_version() == stripe.api_version


def test_an_empty_object_of_every_resource_fits_its_own_class() -> None:
    for kind in source.resources():
        if not kind.startswith("v2.") and kind not in ("list", "search_result", "file_upload"):
            value = shapes.complete(kind, {"object": kind})
            assert shapes.differences(value) == [], kind


def test_a_missing_or_surplus_field_is_a_difference() -> None:
    customer = shapes.complete("customer", {"id": "cus_1", "object": "customer"})
    assert shapes.differences(customer) == []
    assert shapes.differences(customer | {"extra": 1}) == ["customer.extra: not in the pinned version"]
    assert shapes.differences({k: v for k, v in customer.items() if k != "created"}) == ["customer.created: missing"]
    assert shapes.differences(customer | {"livemode": "no"}) != []


CONFIGURATION = "/v1/billing_portal/configurations"
REFUSALS = [
    ("/v1/customers", "colour=red", "parameter_unknown", "colour"),
    ("/v1/customers", "address[planet]=earth", "parameter_unknown", "address[planet]"),
    ("/v1/customers", "email=", "parameter_invalid_empty", "email"),
    ("/v1/products", "description=x", "parameter_missing", "name"),
    ("/v1/products", "name=", "parameter_invalid_empty", "name"),
    (CONFIGURATION, "name=x", "parameter_missing", "features"),
    (CONFIGURATION, "features[subscription_cancel][enabled]=maybe", None, "features[subscription_cancel][enabled]"),
    (
        CONFIGURATION,
        "features[subscription_cancel][enabled]=true&features[subscription_cancel][mode]=later",
        None,
        "features[subscription_cancel][mode]",
    ),
    (
        CONFIGURATION,
        "features[customer_update][enabled]=true&features[customer_update][allowed_updates][0]=shoe_size",
        None,
        "features[customer_update][allowed_updates][0]",
    ),
    (
        CONFIGURATION,
        "features[subscription_update][enabled]=true&features[subscription_update][products][0][prices][0]=x",
        "parameter_missing",
        "features[subscription_update][products][0][product]",
    ),
    ("/v1/prices", "currency=usd&unit_amount=ten&product=p", "parameter_invalid_integer", "unit_amount"),
    ("/v1/subscriptions", "items[0][price]=x", "parameter_missing", "customer"),
    ("/v1/billing_portal/sessions", "customer=c&locale=tlh", None, "locale"),
]


@pytest.mark.parametrize(("path", "body", "code", "param"), REFUSALS)
async def test_bad_parameters_are_refused_by_name(
    wire: Wire, path: str, body: str, code: str | None, param: str
) -> None:
    reply = await wire.post(path, body)
    assert reply.status == 400
    assert reply.error["type"] == "invalid_request_error"
    assert (reply.error.get("code"), reply.error["param"]) == (code, param)


async def test_an_enum_refusal_lists_the_values(wire: Wire) -> None:
    reply = await wire.get("/v1/subscriptions?status=sleeping")
    assert reply.status == 400
    assert reply.error["message"].startswith("Invalid status: must be one of active, all, canceled")


async def test_a_route_that_only_stripe_has_says_so(wire: Wire) -> None:
    reply = await wire.post("/v1/charges", "amount=1")
    assert (reply.status, reply.error["type"]) == (501, "api_error")
    assert "not implemented by this sandbox" in reply.error["message"]
    assert (await wire.get("/v1/customers/search?query=x")).status == 501


async def test_a_parameter_that_the_sandbox_would_ignore_is_refused(wire: Wire, shop: Shop) -> None:
    body = f"customer={shop.customer}&items[0][price]={shop.monthly}&add_invoice_items[0][price]=x"
    reply = await wire.post("/v1/subscriptions", body)
    assert (reply.status, reply.error["param"]) == (501, "add_invoice_items")


async def test_an_unknown_url_is_stripes_404(wire: Wire) -> None:
    reply = await wire.get("/v1/no_such_thing")
    assert reply.status == 404
    assert reply.error["message"].startswith("Unrecognized request URL (GET: /v1/no_such_thing).")


def test_a_part_of_a_parameter_may_be_all_that_is_taken() -> None:
    operation = Operation(lambda call: {}, frozenset({"a", "b[c]", "items[price]"}))
    assert operation.untaken({"a": {"x": "1"}, "b": {"c": "1"}, "items": [{"price": "1"}]}) is None
    assert operation.untaken({"b": {"c": "1", "d": "1"}}) == "b[d]"
    assert operation.untaken({"items": [{"price": "1"}, {"discounts": []}]}) == "items[1][discounts]"
    assert operation.untaken({"e": "1"}) == "e"


def test_every_former_parameter_is_one_that_the_pinned_version_lacks() -> None:
    known = {key(route.method, route.template): route for route in every_route()}
    for template, formers in former.FORMER.items():
        declaration = known[template].parameters
        assert declaration is not None
        for each in formers:
            assert each.path[0] == "phases" or each.path[0] not in dict(parameters.fields(declaration)), template
