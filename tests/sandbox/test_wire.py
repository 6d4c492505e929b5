"""What goes over the wire: form encoding, keys, headers, expansion, lists, metadata."""

import base64
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade_sandbox import forms
from colonnade_sandbox.errors import StripeError
from tests.sandbox.conftest import Shop, Wire, customer_with_card, start


@pytest.mark.parametrize(
    "text",
    [
        "items[0][price]=a&items[0][quantity]=2&items[1][price]=b",
        "items[1][price]=b&items[0][quantity]=2&items[0][price]=a",
        "items%5B0%5D%5Bprice%5D=a&items%5B0%5D%5Bquantity%5D=2&items%5B1%5D%5Bprice%5D=b",
        "items[][price]=a&items[][quantity]=2&items[][price]=b",
    ],
)
def test_arrays_may_be_written_in_every_way(text: str) -> None:
    assert forms.parse(text) == {"items": [{"price": "a", "quantity": "2"}, {"price": "b"}]}


def test_digits_are_keys_in_metadata_and_places_elsewhere() -> None:
    assert forms.parse("metadata[0]=a&expand[]=x&expand[]=y") == {"metadata": {"0": "a"}, "expand": ["x", "y"]}


@pytest.mark.parametrize("text", ["a=1&a=2", "a=1&a[b]=2", "a[b]=1&a=2"])
def test_contradicting_keys_are_refused(text: str) -> None:
    with pytest.raises(StripeError) as refused:
        forms.parse(text)
    assert refused.value.status == 400


TREES = st.recursive(
    st.text(max_size=5),
    lambda inner: (
        st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, min_size=1, max_size=3)
        | st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def flatten(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(name, value)]
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return [pair for key, inner in pairs for pair in flatten(f"{name}[{key}]", inner)]


@settings(max_examples=50)
@given(TREES, st.randoms())
def test_any_order_of_pairs_parses_to_the_same_tree(tree: Any, random: Any) -> None:
    pairs = flatten("root", tree)
    random.shuffle(pairs)
    assert forms.nest(pairs) == {"root": tree}


async def test_get_takes_parameters_although_it_says_it_sends_a_form(wire: Wire) -> None:
    assert (await wire.get("/v1/customers?limit=3")).status == 200
    assert (await wire.get("/v1/customers?limit=0")).error["param"] == "limit"
    assert (await wire.get("/v1/customers?limit=101")).status == 400


async def test_bearer_and_basic_name_the_same_account(wire: Wire) -> None:
    basic = base64.b64encode(f"{wire.key}:".encode()).decode()
    bearer = await wire.get("/v1/account")
    assert bearer.status == 200
    assert (await wire.get("/v1/account", Authorization=f"Basic {basic}")).body["id"] == bearer.body["id"]
    restricted = wire.key.replace("sk_test_", "rk_test_")
    assert (await wire.get("/v1/account", Authorization=f"Bearer {restricted}")).body["id"] == bearer.body["id"]


@pytest.mark.parametrize("authorization", ["", "Bearer sk_live_x", "Bearer rk_live_x", "Bearer nonsense", "Basic %%"])
async def test_other_keys_are_refused(wire: Wire, authorization: str) -> None:
    reply = await wire.get("/v1/account", Authorization=authorization)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == 'Bearer realm="Stripe"'
    assert set(reply.error) == {"message", "type"}
    assert "request-id" not in reply.headers


async def test_headers_are_echoed(wire: Wire) -> None:
    headers = {"Stripe_Version": "2025-01-27.acacia", "Idempotency_Key": "k1"}
    reply = await wire.post("/v1/customers", "name=Ann", **headers)
    assert reply.headers["stripe-version"] == "2025-01-27.acacia"
    assert reply.headers["idempotency-key"] == "k1"
    assert reply.headers["request-id"].startswith("req_")
    assert (await wire.get("/v1/customers")).headers["stripe-version"] == stripe.api_version


async def test_json_bodies_are_refused(wire: Wire) -> None:
    reply = await wire.post("/v1/customers", '{"name": "Ann"}', Content_Type="application/json")
    assert reply.status == 400


async def test_an_error_body_has_stripes_fields(wire: Wire) -> None:
    reply = await wire.get("/v1/customers/cus_none")
    assert reply.status == 404
    assert set(reply.error) == {"code", "doc_url", "message", "param", "request_log_url", "type"}
    assert reply.error["message"] == "No such customer: 'cus_none'"
    assert reply.error["doc_url"] == "https://stripe.com/docs/error-codes/resource-missing"


async def test_expand_reaches_four_levels(sdk: Any, shop: Shop) -> None:
    subscription = await sdk.subscriptions.create_async(
        {
            "customer": shop.customer,
            "items": [{"price": shop.monthly}],
            "expand": [
                "customer.invoice_settings.default_payment_method",
                "items.data.price.product",
                "latest_invoice",
            ],
        }
    )
    assert subscription.customer.invoice_settings.default_payment_method.card.last4 == "4242"
    assert subscription["items"].data[0].price.product.name == "Gold"
    assert subscription.latest_invoice.total == 1000
    listed = await sdk.subscriptions.list_async({"expand": ["data.customer"]})
    assert listed.data[0].customer.email == "ann@example.com"


@pytest.mark.parametrize("path", ["email", "no_field", "a.b.c.d.e"])
async def test_what_cannot_be_expanded_is_refused_and_nothing_is_written(sdk: Any, path: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="expand"):
        await sdk.customers.create_async({"email": "x@example.com", "expand": [path]})
    assert (await sdk.customers.list_async()).data == []


async def test_portal_products_are_there_only_when_expanded(sdk: Any, shop: Shop) -> None:
    created = await sdk.billing_portal.configurations.create_async(
        {
            "features": {
                "subscription_update": {
                    "enabled": True,
                    "default_allowed_updates": ["price"],
                    "products": [{"product": shop.product, "prices": [shop.monthly, shop.yearly]}],
                }
            }
        }
    )
    assert "products" not in created.features.subscription_update
    path = "features.subscription_update.products"
    expanded = await sdk.billing_portal.configurations.retrieve_async(created.id, {"expand": [path]})
    assert expanded.features.subscription_update.products[0].prices == [shop.monthly, shop.yearly]
    listed = await sdk.billing_portal.configurations.list_async({"expand": [f"data.{path}"]})
    assert listed.data[0].features.subscription_update.products[0].product == shop.product


async def test_lists_page_both_ways(sdk: Any) -> None:
    made = [(await sdk.customers.create_async({"name": str(i)})).id for i in range(5)]
    newest = made[::-1]
    page = await sdk.customers.list_async({"limit": 2})
    assert ([row.id for row in page.data], page.has_more, page.url) == (newest[:2], True, "/v1/customers")
    assert [row.id async for row in page.auto_paging_iter()] == newest
    before = await sdk.customers.list_async({"limit": 2, "ending_before": newest[4]})
    assert ([row.id for row in before.data], before.has_more) == (newest[2:4], True)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.customers.list_async({"starting_after": "cus_none"})
    assert refused.value.param == "starting_after"


async def test_list_filters(sdk: Any, shop: Shop) -> None:
    await sdk.prices.update_async(shop.yearly, {"active": False})
    assert [row.id for row in (await sdk.prices.list_async({"active": True})).data] == [shop.monthly]
    other = await customer_with_card(sdk)
    assert len((await sdk.customers.list_async({"email": "ann@example.com"})).data) == 2
    first = (await sdk.customers.retrieve_async(other)).created
    assert (await sdk.customers.list_async({"created": {"gt": first}})).data == []
    assert len((await sdk.customers.list_async({"created": {"lte": first}})).data) == 2


async def test_metadata_merges_and_empties(sdk: Any) -> None:
    customer = await sdk.customers.create_async({"metadata": {"a": "1", "b": "2"}})
    merged = await sdk.customers.update_async(customer.id, {"metadata": {"b": "", "c": "3"}})
    assert merged.metadata.to_dict() == {"a": "1", "c": "3"}
    kept = await sdk.customers.update_async(customer.id, {"name": "Ann"})
    assert kept.metadata.to_dict() == {"a": "1", "c": "3"}
    housed = await sdk.customers.update_async(customer.id, {"address": {"city": "Oslo"}})
    assert housed.address.city == "Oslo"
    emptied = await sdk.customers.update_async(customer.id, {"metadata": "", "address": ""})
    assert (emptied.metadata.to_dict(), emptied.address) == ({}, None)


async def test_the_date_of_an_answer_and_the_time_of_an_event_are_of_one_clock(wire: Wire) -> None:
    own = start()
    try:
        wire.url = own.url
        for seconds in (0, 40 * 86400):
            await wire.control("advance", {"seconds": seconds})
            await wire.post("/v1/products", "name=Plan")
            reply = await wire.get("/v1/events")
            answered = parsedate_to_datetime(reply.headers["date"]).timestamp()
            assert 0 <= answered - reply.body["data"][0]["created"] <= 60
    finally:
        own.stop()
