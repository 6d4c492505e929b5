"""What events tell of billing, mirrored: the same rows whatever order they arrive in, and nothing that is a secret."""

from itertools import permutations
from typing import Any

import msgspec
import pytest

from colonnade_tenants import customers
from colonnade_tenants.errors import Conflict
from colonnade_tenants.events import Event
from tests.tenants import billing
from tests.tenants.billing import changed, tell
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import START, moment

CUSTOMER = billing.customer()
MOVED = billing.customer(address={"city": "Köln", "country": "DE"}, email="ada@new.example", tax_exempt="reverse")
PAYS = MOVED | {"invoice_settings": {"custom_fields": None, "default_payment_method": "pm_1", "footer": None}}
CARD = billing.payment_method()
RENEWED = billing.payment_method(card={"exp_year": 2034})
PLANNED = billing.schedule()
BIGGER = billing.schedule(phases=[*PLANNED["phases"][:1], billing.phase(START + 9, START + 99, "price_basic", 5)])
FREE = billing.schedule("released", subscription=None, released_subscription="sub_1", current_phase=None)

HISTORIES: dict[str, tuple[str, list[Event], dict[str, Any]]] = {
    "details": (
        "billing_details",
        [
            tell("customer.created", START, CUSTOMER),
            changed("customer.updated", START, CUSTOMER, MOVED),
            changed("customer.updated", START + 5, MOVED, PAYS),
        ],
        {"email": "ada@new.example", "tax_exempt": "reverse", "default_payment_method": "pm_1", "gone": False},
    ),
    "deleted customer": (
        "billing_details",
        [
            tell("customer.created", START, CUSTOMER),
            tell("customer.deleted", START + 1, CUSTOMER),
            changed("customer.updated", START + 1, CUSTOMER, MOVED),
        ],
        {"gone": True, "email": "ada@example.com"},
    ),
    "tax id": (
        "tax_ids",
        [
            tell("customer.tax_id.created", START, billing.tax_id()),
            changed("customer.tax_id.updated", START, billing.tax_id(), billing.tax_id("verified")),
        ],
        {"type": "eu_vat", "value": "DE123456789", "verification": "verified", "gone": False},
    ),
    "removed tax id": (
        "tax_ids",
        [
            tell("customer.tax_id.created", START, billing.tax_id()),
            changed("customer.tax_id.updated", START + 1, billing.tax_id(), billing.tax_id("unverified")),
            tell("customer.tax_id.deleted", START + 1, billing.tax_id("unverified")),
        ],
        {"verification": "unverified", "gone": True},
    ),
    "card": (
        "payment_methods",
        [
            tell("payment_method.attached", START, CARD),
            changed("payment_method.automatically_updated", START + 1, CARD, RENEWED),
        ],
        {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034, "gone": False},
    ),
    "removed card": (
        "payment_methods",
        [
            tell("payment_method.attached", START, CARD),
            changed("payment_method.updated", START + 1, CARD, RENEWED),
            changed("payment_method.detached", START + 1, RENEWED, RENEWED | {"customer": None}),
        ],
        {"exp_year": 2034, "gone": True},
    ),
    "schedule": (
        "subscription_schedules",
        [
            tell("subscription_schedule.created", START, PLANNED),
            changed("subscription_schedule.updated", START + 1, PLANNED, BIGGER),
        ],
        {"pending_start": moment(START + 9), "pending_items": '[{"price": "price_basic", "quantity": 5}]'},
    ),
    "released schedule": (
        "subscription_schedules",
        [
            tell("subscription_schedule.created", START, PLANNED),
            changed("subscription_schedule.updated", START + 1, PLANNED, BIGGER),
            tell("subscription_schedule.released", START + 1, FREE),
        ],
        {"status": "released", "subscription": "sub_1", "pending_start": None, "pending_items": "[]"},
    ),
    "invoice of one second": (
        "invoices",
        [
            tell("invoice.created", START, billing.invoice()),
            tell("invoice.finalized", START, billing.invoice("open")),
            tell("invoice.paid", START, billing.invoice("paid")),
            tell("invoice.payment_succeeded", START, billing.invoice("paid")),
        ],
        {"status": "paid", "number": "A-0001", "amount_remaining": 0, "subscription": "sub_1", "currency": "eur"},
    ),
    "discarded invoice": (
        "invoices",
        [
            tell("invoice.created", START, billing.invoice()),
            tell("invoice.deleted", START + 3, billing.invoice()),
            changed("invoice.updated", START + 3, billing.invoice(), billing.invoice(total=5)),
        ],
        {"gone": True},
    ),
}
SURROGATES = ("tenant_id", "customer_id")


@pytest.mark.parametrize("name", HISTORIES)
async def test_every_order_ends_in_the_same_row(mine: Tenant, name: str) -> None:
    table, events, expected = HISTORIES[name]
    ends = set()
    for order in permutations(events):
        tenant = mine.sibling()
        await tenant.handle(*order, order[0])
        (row,) = await tenant.rows(table, *SURROGATES)
        assert {column: row[column] for column in expected} == expected
        assert tenant.stripe.asked == [], "these events decide by themselves"
        (owner,) = await tenant.rows("customers")
        assert (owner["stripe_customer"], owner["reference"]) == ("cus_1", None)
        ends.add(repr(row))
    assert len(ends) == 1


async def test_two_snapshots_that_do_not_tell_are_settled_by_one_read(mine: Tenant) -> None:
    first, second = billing.invoice("open", attempt_count=1), billing.invoice("open", attempt_count=2)
    mine.stripe.replies["/v1/invoices/in_1"] = second
    for order in (first, second), (second, first):
        tenant = mine.sibling()
        tenant.stripe.replies = mine.stripe.replies
        await tenant.handle(*(tell("invoice.payment_failed", START, each) for each in order))
        (row,) = await tenant.rows("invoices")
        assert (row["attempt_count"], len(tenant.stripe.asked)) == (2, 1)


async def test_what_stripe_no_longer_has_stays_as_it_was_heard(mine: Tenant) -> None:
    await mine.handle(tell("customer.updated", START, CUSTOMER, {}), tell("customer.updated", START, MOVED, {}))
    mine.stripe.replies["/v1/customers/cus_1"] = {"id": "cus_1", "object": "customer", "deleted": True}
    await mine.handle(tell("customer.updated", START, PAYS, {}))
    assert [row["email"] for row in await mine.rows("billing_details")] == ["ada@example.com"]
    assert len(mine.stripe.asked) == 2


async def test_the_billing_name_and_email_are_not_what_the_tenant_wrote(mine: Tenant) -> None:
    ours = await mine.has_customer("ref", "cus_1")
    await mine.handle(tell("customer.updated", START, MOVED, {}))
    (row,) = await mine.rows("customers")
    assert (row["id"], row["name"], row["email"]) == (ours.id, None, None)
    assert [(row["customer_id"], row["email"]) for row in await mine.rows("billing_details")] == [
        (ours.id, "ada@new.example")
    ]


async def test_two_customers_with_one_email_stay_two(mine: Tenant) -> None:
    await mine.handle(*(tell("customer.created", START, billing.customer(id=name)) for name in ("cus_1", "cus_2")))
    assert len({row["customer_id"] for row in await mine.rows("billing_details")}) == 2


async def test_nothing_else_of_a_card_and_no_session_url_is_kept(mine: Tenant) -> None:
    await mine.handle(
        tell("payment_method.attached", START, CARD),
        tell("billing_portal.session.created", START, billing.session()),
        tell("billing_portal.session.created", START, billing.session()),
    )
    (audit,) = await mine.rows("portal_sessions", *SURROGATES)
    assert (audit["id"], audit["configuration"], audit["flow"]) == ("bps_1", "bpc_1", "subscription_cancel")
    assert "SECRET" not in repr([await mine.rows(table) for table in ("payment_methods", "portal_sessions")])


async def test_a_payment_method_of_nobody_is_not_kept(mine: Tenant) -> None:
    await mine.handle(tell("payment_method.updated", START, billing.payment_method(customer=None), {}))
    assert await mine.rows("payment_methods") == []


async def test_a_detached_payment_method_is_known_by_its_row_where_the_event_does_not_say_whose_it_was(
    mine: Tenant,
) -> None:
    await mine.handle(
        tell("payment_method.attached", START, CARD),
        tell("payment_method.detached", START + 1, billing.payment_method(customer=None)),
    )
    assert [row["gone"] for row in await mine.rows("payment_methods")] == [True]


async def test_an_accounts_own_tax_id_is_no_customers(mine: Tenant) -> None:
    await mine.handle(tell("customer.tax_id.created", START, billing.tax_id(customer=None)))
    assert await mine.rows("tax_ids") == []


@pytest.mark.parametrize(
    ("thing", "pending"),
    [
        (PLANNED, (moment(START + 30 * 86_400), [{"price": "price_basic", "quantity": 1}])),
        (billing.schedule(current_phase={"start_date": PLANNED["phases"][1]["start_date"]}), (None, [])),
        (
            billing.schedule("not_started", current_phase=None),
            (moment(START), [{"price": "price_gold", "quantity": 3}]),
        ),
        (billing.schedule("canceled"), (None, [])),
    ],
    ids=["first phase", "last phase", "not started", "canceled"],
)
async def test_the_pending_phase_is_the_one_after_the_present(mine: Tenant, thing: Any, pending: Any) -> None:
    await mine.handle(tell("subscription_schedule.updated", START, thing, {}))
    (row,) = await mine.rows("subscription_schedules")
    assert (row["pending_start"], msgspec.json.decode(row["pending_items"])) == pending


async def test_an_edit_of_a_configuration_that_was_not_ours_is_noted_in_any_order(mine: Tenant) -> None:
    one, two = billing.configuration(START), billing.configuration(START + 60, default_return_url="https://x.example")
    three = billing.configuration(START + 90, active=False)
    events = [
        tell("billing_portal.configuration.created", START, one, idempotency_key="portal:ten_1:main:1:abc"),
        changed("billing_portal.configuration.updated", START + 60, one, two),
        tell("billing_portal.configuration.updated", START + 90, three, {}, idempotency_key="portal:ten_1:main:2:abc"),
    ]
    for order in permutations(events):
        tenant = mine.sibling()
        await tenant.handle(*order, order[0])
        (row,) = await tenant.rows("portal_configuration_states")
        assert (row["active"], row["updated_at"]) == (False, moment(START + 90))
        assert (row["applied_updated"], row["outside_updated"]) == (moment(START + 90), moment(START + 60))
        assert row["outside_event"] == events[1].id


async def test_checkout_binds_its_customer_to_the_one_it_was_made_for(mine: Tenant) -> None:
    async with mine.session() as session:
        reserved, _ = await customers.reserve(session, "ref", "Ada")
    done = {"id": "cs_1", "object": "checkout.session", "customer": "cus_1", "subscription": "sub_1"}
    mark = {"metadata": {"colonnade_customer": reserved.public_id}}
    for order in ("event first", "again"):
        if order == "event first":
            await mine.handle(tell("customer.created", START, CUSTOMER))
        await mine.handle(tell("checkout.session.completed", START, done | mark))
        (row,) = await mine.rows("customers")
        assert (row["public_id"], row["reference"], row["name"]) == (reserved.public_id, "ref", "Ada")
        assert row["stripe_customer"] == "cus_1"
    with pytest.raises(Conflict):
        await mine.handle(tell("checkout.session.completed", START, done | mark | {"customer": "cus_2"}))


async def test_checkout_of_nobody_known_makes_a_customer_without_reference(mine: Tenant) -> None:
    done = {"id": "cs_1", "object": "checkout.session", "customer": "cus_1", "metadata": {}}
    await mine.handle(
        tell("checkout.session.completed", START, done | {"customer": None}),
        tell("checkout.session.completed", START, done),
        tell("checkout.session.completed", START, done | {"metadata": {"colonnade_customer": "ecu_gone"}}),
    )
    assert [(row["stripe_customer"], row["reference"]) for row in await mine.rows("customers")] == [("cus_1", None)]


async def test_an_object_of_another_shape_fails_with_the_path(mine: Tenant) -> None:
    with pytest.raises(msgspec.ValidationError, match="period_end"):
        await mine.handle(tell("invoice.paid", START, {**billing.invoice("paid"), "period_end": "soon"}))
    assert await mine.rows("invoices") == []
