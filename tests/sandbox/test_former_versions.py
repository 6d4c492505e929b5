"""Parameters that older API versions take, and newer ones refuse."""

from typing import Any

import pytest

from tests.sandbox.conftest import Shop, Wire, connected_account

ACACIA, BASIL, CLOVER, DAHLIA = "2025-02-24.acacia", "2025-03-31.basil", "2025-09-30.clover", "2026-07-29.dahlia"


async def coupon(wire: Wire, terms: str = "percent_off=20&duration=once") -> str:
    return str((await wire.post("/v1/coupons", terms)).body["id"])


async def types(wire: Wire, kind: str) -> list[str]:
    return [row["type"] for row in reversed((await wire.get(f"/v1/events?type={kind}")).body["data"])]


@pytest.mark.parametrize(
    ("path", "name", "last", "first"),
    [
        ("/v1/customers", "coupon", ACACIA, BASIL),
        ("/v1/subscriptions", "coupon", ACACIA, BASIL),
        ("/v1/promotion_codes", "coupon", "2025-08-27.basil", CLOVER),
    ],
)
async def test_a_parameter_is_taken_up_to_its_last_version(
    wire: Wire, shop: Shop, path: str, name: str, last: str, first: str
) -> None:
    rest = f"&customer={shop.customer}&items[0][price]={shop.monthly}" if path == "/v1/subscriptions" else ""
    body = f"{name}={await coupon(wire)}{rest}"
    reply = await wire.post(path, body, Stripe_Version=last)
    assert (reply.status, reply.headers["stripe-version"]) == (200, last)
    for version in ({"Stripe_Version": first}, {}):
        refused = await wire.post(path, body, **version)
        assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "parameter_unknown", name)


async def test_a_customers_coupon_comes_off_its_next_invoice_and_is_told_of(wire: Wire, shop: Shop) -> None:
    body = (
        f"payment_method=pm_card_visa&invoice_settings[default_payment_method]=pm_card_visa&coupon={await coupon(wire)}"
    )
    customer = (await wire.post("/v1/customers", body, Stripe_Version=ACACIA)).body
    assert customer["discount"]["customer"] == customer["id"]
    path, other = f"/v1/customers/{customer['id']}", await coupon(wire, "percent_off=30&duration=once")
    switched = (await wire.post(path, f"coupon={other}", Stripe_Version=ACACIA)).body
    assert switched["discount"]["source"]["coupon"] == other
    subscription = f"customer={customer['id']}&items[0][price]={shop.monthly}&expand[]=latest_invoice"
    made = (await wire.post("/v1/subscriptions", subscription)).body
    assert made["latest_invoice"]["amount_paid"] == 700
    assert (await wire.get(path)).body["discount"] is None
    assert await types(wire, "customer.discount.*") == [
        f"customer.discount.{w}" for w in ("created", "updated", "deleted")
    ]


async def test_an_empty_coupon_takes_the_customers_discount_away(wire: Wire) -> None:
    body = f"coupon={await coupon(wire)}"
    customer = (await wire.post("/v1/customers", body, Stripe_Version=ACACIA)).body
    path = f"/v1/customers/{customer['id']}"
    assert (await wire.post(path, "coupon=", Stripe_Version=ACACIA)).body["discount"] is None
    assert await types(wire, "customer.discount.*") == ["customer.discount.created", "customer.discount.deleted"]


async def test_another_accounts_coupon_cannot_be_used(wire: Wire, sdk: Any) -> None:
    account = await connected_account(sdk)
    body = f"coupon={await coupon(wire)}"
    reply = await wire.post("/v1/customers", body, Stripe_Version=ACACIA, Stripe_Account=account)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "resource_missing", "coupon")
    assert (await wire.get("/v1/customers", Stripe_Account=account)).body["data"] == []


async def test_a_phase_lasts_its_iterations(wire: Wire, shop: Shop) -> None:
    phase = f"phases[0][items][0][price]={shop.monthly}&phases[0][iterations]="
    body = f"customer={shop.customer}&start_date=now&{phase}"
    made = (await wire.post("/v1/subscription_schedules", body + "1", Stripe_Version=ACACIA)).body
    longer = (await wire.post("/v1/subscription_schedules", body + "3", Stripe_Version=ACACIA)).body
    spans = [each["phases"][0]["end_date"] - each["phases"][0]["start_date"] for each in (made, longer)]
    assert 28 <= spans[0] // 86400 <= 31
    assert 89 <= spans[1] // 86400 <= 92
    wrong = await wire.post("/v1/subscription_schedules", body + "many", Stripe_Version=ACACIA)
    assert (wrong.status, wrong.error["param"]) == (400, "phases[0][iterations]")
    newer = await wire.post("/v1/subscription_schedules", body + "1")
    assert newer.error["message"] == "Received unknown parameter: phases[0][iterations]"


async def test_means_of_payment_are_named_up_to_dahlia(wire: Wire) -> None:
    path, body = "/v1/setup_intents", "payment_method_types[]=card"
    assert (await wire.post(path, body, Stripe_Version=DAHLIA)).body["status"] == "requires_payment_method"
    reply = await wire.post(path, body)
    assert (reply.status, reply.error["code"]) == (400, "payment_method_types_no_longer_supported")
    other: Any = await wire.post(path, "payment_method_types[]=sepa_debit", Stripe_Version=DAHLIA)
    assert (other.status, other.error["code"]) == (501, "not_implemented")


async def test_a_key_remembers_the_call_as_it_was_sent(wire: Wire) -> None:
    body, headers = f"coupon={await coupon(wire)}", {"Stripe_Version": ACACIA, "Idempotency_Key": "once"}
    made = await wire.post("/v1/customers", body, **headers)
    again = await wire.post("/v1/customers", body, **headers)
    assert (again.body["id"], again.headers["idempotent-replayed"]) == (made.body["id"], "true")
