"""Applying snapshots: what is news, what is read again, and what it grants, on the real database."""

from typing import Any

import msgspec
import pytest

from colonnade_tenants import subscriptions
from colonnade_tenants.errors import NotFound
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import (
    MONTH,
    PERIOD_END,
    START,
    changed,
    event,
    item,
    item_list,
    moment,
    subscription,
)

DAY = 86_400


async def mirrored(tenant: Tenant) -> dict[str, Any]:
    (row,) = await tenant.rows("subscriptions")
    return row


async def test_a_subscription_grants_what_its_plan_says_and_an_immediate_cancellation_takes_it(mine: Tenant) -> None:
    await mine.sell(flag_export=True, limit_projects=None)
    await mine.has_customer()
    await mine.handle(event("created", START, subscription()))
    assert await mine.granted() == {"flag_export": True, "limit_projects": None}
    await mine.handle(event("deleted", START + 9, subscription("canceled", ended_at=START + 9)))
    assert await mine.granted() == {}
    assert [row["valid_until"] for row in await mine.rows("entitlements")] == []
    history = [(row["sequence"], row["feature"], row["cause"]) for row in await mine.rows("entitlement_changes")]
    assert sorted(history) == [
        (1, "flag_export", f"evt_created_{START}"),
        (2, "limit_projects", f"evt_created_{START}"),
        (3, "flag_export", f"evt_deleted_{START + 9}"),
        (4, "limit_projects", f"evt_deleted_{START + 9}"),
    ]


async def test_stripe_may_tell_of_a_customer_first(mine: Tenant) -> None:
    await mine.sell(flag_export=True)
    await mine.handle(event("created", START, subscription()))
    (row,) = await mine.rows("customers")
    assert (row["reference"], row["stripe_customer"]) == (None, "cus_1")
    assert len(await mine.rows("entitlements")) == 1


async def test_an_event_that_is_no_news_says_so(mine: Tenant) -> None:
    created = event("created", START, subscription())
    moved = event("updated", START + 5, subscription(latest_invoice="in_2"), {"latest_invoice": "in_1"})
    answers = []
    for one in (created, created, moved, created):
        async with mine.connection() as connection:
            snapshot = subscriptions.decode(one.object)
            answers.append(await subscriptions.apply(connection, mine.stripe, snapshot, one) is not None)
    assert answers == [True, False, False, False]
    row = await mirrored(mine)
    assert (row["source_created"], row["source_event"]) == (moved.created, moved.id)


async def test_what_has_ended_stays_ended(mine: Tenant) -> None:
    await mine.handle(
        event("deleted", START + 5, subscription("canceled", ended_at=START + 5)),
        event("updated", START + 9, subscription("active"), {"status": "trialing"}),
    )
    assert (await mirrored(mine))["status"] == "canceled"
    await mine.handle(event("updated", START + 10, subscription("canceled", ended_at=START + 6), {}))
    assert (await mirrored(mine))["ended_at"] == moment(START + 6)


async def test_events_of_one_second_that_do_not_tell_are_settled_by_one_read(mine: Tenant) -> None:
    second = subscription("active", item(quantity=2))
    last = subscription("active", item(quantity=4))
    events = [
        changed(START + 5, subscription("active", item(quantity=1)), second, "a"),
        changed(START + 5, second, subscription("active", item(quantity=3)), "b"),
        changed(START + 5, subscription("active", item(quantity=3)), last, "c"),
    ]
    for order in ([0, 2, 1], [2, 0, 1], [1, 0, 2], [0, 1, 2]):
        tenant = mine.sibling()
        tenant.stripe.replies["/v1/subscriptions/sub_1"] = last
        await tenant.handle(*(events[index] for index in order))
        (row,) = await tenant.rows("subscription_items")
        assert row["quantity"] == 4
        assert (await mirrored(tenant))["source_event"] == "evt_c"
        assert bool(tenant.stripe.asked) == (order[:2] in ([0, 2], [2, 0]))


async def test_what_was_read_keeps_the_time_that_it_settled(mine: Tenant) -> None:
    mine.stripe.replies["/v1/subscriptions/sub_1"] = subscription(cancel_at=PERIOD_END)
    paused = subscription("paused")
    await mine.handle(event("paused", START + 5, paused), event("resumed", START + 5, subscription()))
    row = await mirrored(mine)
    assert (row["cancel_at"], row["source_created"], row["source_event"]) == (
        moment(PERIOD_END),
        moment(START + 5),
        "read",
    )
    await mine.handle(changed(START + 6, subscription(), subscription(cancel_at=PERIOD_END + 1)))
    assert (await mirrored(mine))["cancel_at"] == moment(PERIOD_END + 1)


async def test_a_read_that_fails_leaves_everything_as_it_was(mine: Tenant) -> None:
    await mine.handle(event("paused", START + 5, subscription("paused")))
    before = await mirrored(mine)
    with pytest.raises(NotFound):
        await mine.handle(event("resumed", START + 5, subscription()))
    assert await mirrored(mine) == before


def pages(*listed: dict[str, Any]) -> Any:
    """Stripe's list of subscription items, two on a page."""

    def reply(params: dict[str, Any]) -> dict[str, Any]:
        assert params["subscription"] == "sub_1"
        ids = [one["id"] for one in listed]
        start = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
        return item_list(*listed[start : start + 2], has_more=start + 2 < len(listed))

    return reply


async def test_a_list_that_goes_on_is_read_to_its_end_before_anything_is_removed(mine: Tenant) -> None:
    items = [item(str(number)) for number in range(5)]
    mine.stripe.replies["/v1/subscription_items"] = pages(*items)
    partial = item_list(*items[:2], has_more=True)
    await mine.handle(event("created", START, subscription(items=partial)))
    assert [row["id"] for row in await mine.rows("subscription_items")] == [one["id"] for one in items]
    assert [params.get("starting_after") for _, params in mine.stripe.asked] == [None, "si_1", "si_3"]

    mine.stripe.asked.clear()
    await mine.handle(event("updated", START - 5, subscription(items=partial), {}))
    assert mine.stripe.asked == [], "what is no news needs no read"

    mine.stripe.replies["/v1/subscription_items"] = pages(*items[1:4])
    await mine.handle(event("updated", START + 5, subscription(items=partial), {}))
    assert [row["id"] for row in await mine.rows("subscription_items")] == ["si_1", "si_2", "si_3"]


async def test_partial_lists_of_one_second_are_settled_by_a_read(mine: Tenant) -> None:
    items = [item(str(number)) for number in range(3)]
    partial = subscription(items=item_list(*items[:2], has_more=True))
    mine.stripe.replies = {"/v1/subscription_items": pages(*items), "/v1/subscriptions/sub_1": partial}
    await mine.handle(event("created", START, partial), event("updated", START, partial, {}))
    assert len(await mine.rows("subscription_items")) == 3
    assert ("/v1/subscriptions/sub_1", {}) in mine.stripe.asked


async def test_grace_counts_from_the_event_that_brought_past_due(mine: Tenant) -> None:
    await mine.sell(flag_export=True)
    await mine.has_customer()
    due = subscription("past_due")
    late = changed(START + 2 * DAY, due, due | {"schedule": "sub_sched_1"})
    for arriving, days in ((late, 2), (changed(START + DAY, subscription(), due), 1)):
        await mine.handle(arriving)
        (row,) = await mine.rows("entitlements")
        assert row["valid_until"] == moment(START + (days + 7) * DAY)
    (before, after) = [row["after"] for row in await mine.rows("entitlement_changes")]
    assert before != after


async def test_scheduled_cancellation_and_reactivation(mine: Tenant) -> None:
    await mine.sell(flag_export=True)
    await mine.has_customer()
    flexible, classic = subscription(cancel_at=PERIOD_END), subscription(cancel_at_period_end=True)
    steps = [(subscription(), None), (flexible, PERIOD_END), (subscription(), None), (classic, PERIOD_END)]
    for number, (body, end) in enumerate(steps):
        await mine.handle(event("updated", START + number * MONTH, body, {}))
        (row,) = await mine.rows("entitlements")
        assert row["valid_until"] == (end and moment(end))
        assert row["valid_from"] == moment(START)


async def test_an_object_of_another_shape_changes_nothing(mine: Tenant) -> None:
    body = subscription("active", {key: value for key, value in item().items() if key != "current_period_end"})
    with pytest.raises(msgspec.ValidationError, match=r"\$\.items\.data\[0\]"):
        await mine.handle(event("created", START, body))
    assert await mine.rows("customers") == []
