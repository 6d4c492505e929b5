"""Tax ids: forms, the check that follows, whose they are."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Wire, connected_account


async def types_of(sdk: Any, customer: str) -> list[str]:
    events = await sdk.events.list_async({"type": "customer.tax_id.*"})
    return [event.type for event in events.data if event.data.object.customer == customer]


CHECKS = [
    ("eu_vat", "DE123456789", "verified"),
    ("eu_vat", "DE111111111", "unverified"),
    ("gb_vat", "GB222222222", "pending"),
    ("au_abn", "33333333333", "unavailable"),
]


@pytest.mark.parametrize(("kind", "value", "status"), CHECKS)
async def test_a_number_is_checked_a_moment_later(sdk: Any, wire: Wire, kind: str, value: str, status: str) -> None:
    customer = (await sdk.customers.create_async({"name": "Ann"})).id
    made = await sdk.customers.tax_ids.create_async(customer, {"type": kind, "value": value})
    assert (made.verification.status, made.value, made.owner.customer) == ("pending", value, customer)
    await wire.control("advance", {"seconds": 5})
    found = await sdk.customers.tax_ids.retrieve_async(customer, made.id)
    assert found.verification.status == status
    assert (found.verification.verified_name is not None) is (status == "verified")
    updated = [] if status == "pending" else ["customer.tax_id.updated"]
    assert await types_of(sdk, customer) == [*updated, "customer.tax_id.created"]


async def test_what_nobody_checks_is_unavailable(sdk: Any) -> None:
    customer = (await sdk.customers.create_async({"name": "Ann"})).id
    made = await sdk.customers.tax_ids.create_async(customer, {"type": "us_ein", "value": "12-3456789"})
    assert (made.verification.status, made.country) == ("unavailable", "US")


WRONG = [("eu_vat", "123456789"), ("us_ein", "123456789"), ("gb_vat", "GB12"), ("ch_vat", "CH123"), ("au_abn", "x")]


@pytest.mark.parametrize(("kind", "value"), WRONG)
async def test_a_number_of_the_wrong_form_is_refused(sdk: Any, kind: str, value: str) -> None:
    customer = (await sdk.customers.create_async({"name": "Ann"})).id
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.customers.tax_ids.create_async(customer, {"type": kind, "value": value})
    assert (refused.value.code, refused.value.param) == ("tax_id_invalid", "value")
    assert (await sdk.customers.tax_ids.list_async(customer)).data == []
    with pytest.raises(stripe.InvalidRequestError) as whole:
        await sdk.customers.create_async({"email": "b@example.com", "tax_id_data": [{"type": kind, "value": value}]})
    assert whole.value.param == "tax_id_data[0][value]"
    assert (await sdk.customers.list_async({"email": "b@example.com"})).data == []


async def test_tax_ids_are_listed_expanded_and_deleted(sdk: Any) -> None:
    data = [{"type": "eu_vat", "value": f"DE12345678{digit}"} for digit in range(5)]
    customer = (await sdk.customers.create_async({"name": "Ann", "tax_id_data": data})).id
    rows = (await sdk.customers.tax_ids.list_async(customer)).data
    assert [row.value for row in rows] == [each["value"] for each in data[::-1]]
    with pytest.raises(stripe.InvalidRequestError, match="at most 5"):
        await sdk.customers.tax_ids.create_async(customer, {"type": "eu_vat", "value": "DE999999999"})
    assert (await sdk.customers.tax_ids.delete_async(customer, rows[0].id)).deleted
    expanded = await sdk.customers.retrieve_async(customer, {"expand": ["tax_ids"]})
    assert [row.id for row in expanded.tax_ids.data] == [row.id for row in rows[1:]]
    assert (await types_of(sdk, customer))[0] == "customer.tax_id.deleted"
    other = (await sdk.customers.create_async({"name": "Bob"})).id
    with pytest.raises(stripe.InvalidRequestError) as foreign:
        await sdk.customers.tax_ids.retrieve_async(other, rows[1].id)
    assert foreign.value.http_status == 404


async def test_an_account_has_tax_ids_of_its_own(sdk: Any) -> None:
    own = await sdk.tax_ids.create_async({"type": "eu_vat", "value": "DE123456789"})
    assert (own.owner.type, own.customer) == ("self", None)
    customer = (await sdk.customers.create_async({"name": "Ann"})).id
    owner = {"type": "customer", "customer": customer}
    theirs = await sdk.tax_ids.create_async({"type": "eu_vat", "value": "DE123456780", "owner": owner})
    assert [row.id for row in (await sdk.tax_ids.list_async()).data] == [own.id]
    assert [row.id for row in (await sdk.tax_ids.list_async({"owner": owner})).data] == [theirs.id]
    assert (await sdk.customers.tax_ids.retrieve_async(customer, theirs.id)).id == theirs.id
    account = await connected_account(sdk)
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.tax_ids.retrieve_async(own.id, options={"stripe_account": account})
    assert (await sdk.tax_ids.delete_async(own.id)).deleted


async def test_a_deleted_customer_leaves_a_stub_and_nothing_else(sdk: Any) -> None:
    data = [{"type": "eu_vat", "value": "DE123456789"}]
    given = {"payment_method": "pm_card_visa", "tax_id_data": data, "business_name": "Ann Ltd"}
    customer = await sdk.customers.create_async(given)
    assert customer.business_name == "Ann Ltd"
    method = (await sdk.payment_methods.list_async({"customer": customer.id})).data[0]
    await sdk.customers.delete_async(customer.id)
    stub = await sdk.customers.retrieve_async(customer.id)
    assert stub.to_dict() == {"id": customer.id, "object": "customer", "deleted": True}
    assert (await sdk.customers.list_async()).data == []
    assert (await sdk.payment_methods.retrieve_async(method.id)).customer is None
    for refused in (
        sdk.customers.update_async(customer.id, {"name": "x"}),
        sdk.customers.tax_ids.list_async(customer.id),
        sdk.customers.delete_async(customer.id),
    ):
        with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
            await refused
