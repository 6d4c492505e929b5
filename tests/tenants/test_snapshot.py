"""Stripe's subscription object at our border: what is taken over, and what is refused with its path."""

from typing import Any

import msgspec
import pytest

from colonnade_tenants.order import digest
from colonnade_tenants.subscriptions import decode
from colonnade_tenants.subscriptions.snapshot import before, facts
from tests.tenants.payloads import MONTH, PERIOD_END, START, changed, item, item_list, moment, subscription


def decoded(body: dict[str, Any]) -> Any:
    return facts(decode(msgspec.json.encode(body)))


def test_ids_and_expanded_objects_are_the_same() -> None:
    expanded = subscription(
        customer={"id": "cus_1", "object": "customer"},
        on_behalf_of={"id": "acct_1", "object": "account"},
        items=item_list(item() | {"price": item()["price"] | {"product": {"id": "prod_basic", "name": "Basic"}}}),
    )
    assert decoded(expanded) == decoded(subscription())


def test_a_metered_item_has_no_quantity_and_counts_as_one() -> None:
    (metered,) = decoded(subscription("active", item(quantity=None))).items
    assert metered.quantity == 1


def test_the_order_of_items_means_nothing() -> None:
    one, two = item("1"), item("2")
    assert decoded(subscription("active", one, two)) == decoded(subscription("active", two, one))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"cancel_at": "soon"}, "$.cancel_at"),
        ({"cancel_at": 1.5}, "$.cancel_at"),
        ({"ended_at": -1}, "$.ended_at"),
        ({"start_date": None}, "$.start_date"),
        ({"start_date": 10**15}, "$.start_date"),
        ({"status": 1}, "$.status"),
        ({"cancel_at_period_end": None}, "$.cancel_at_period_end"),
        ({"customer": None}, "$.customer"),
        ({"items": {"data": [item()]}}, "$.items"),
        ({"items": item_list(item(quantity=-1))}, "$.items.data[0].quantity"),
        ({"items": item_list(item(), {"id": "si_old_version", "price": item()["price"]})}, "$.items.data[1]"),
    ],
)
def test_what_is_not_as_documented_is_refused_with_its_path(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as error:
        decode(msgspec.json.encode(subscription() | changes))
    assert f"`{path}" in str(error.value)


@pytest.mark.parametrize("field", ["cancel_at", "ended_at", "schedule", "on_behalf_of", "status", "items"])
def test_a_field_left_out_is_not_taken_for_null(field: str) -> None:
    body = subscription()
    del body[field]
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{field}`"):
        decode(msgspec.json.encode(body))


def test_unix_seconds_become_moments() -> None:
    found = decoded(subscription(cancel_at=PERIOD_END))
    assert (found.started_at, found.cancel_at) == (moment(START), moment(PERIOD_END))


@pytest.mark.parametrize(
    "new",
    [
        subscription("past_due"),
        subscription(cancel_at=PERIOD_END),
        subscription("active", item(quantity=5)),
        subscription("active", item(price="price_pro"), item("2")),
        subscription("active", item(current_period_start=PERIOD_END, current_period_end=PERIOD_END + MONTH)),
        subscription(schedule="sub_sched_1", latest_invoice="in_2"),
    ],
)
def test_an_event_tells_what_was_before(new: dict[str, Any]) -> None:
    event = changed(START + 1, subscription(), new)
    assert event.previous_attributes
    assert before(decode(event.object), event.previous_attributes) == digest(decoded(subscription()))


def test_what_was_before_is_not_guessed_from_parts() -> None:
    whole, first_page = subscription(), subscription(items=item_list(item(), has_more=True))
    assert before(decode(msgspec.json.encode(whole)), {"items": {"data": [{"id": "si_1", "quantity": 2}]}}) is None
    assert before(decode(msgspec.json.encode(first_page)), {}) is None
