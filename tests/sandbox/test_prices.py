"""What prices cost: tiers, packs, several currencies."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade_sandbox.resources import price_amounts
from tests.sandbox.conftest import Shop, Wire, connected_account
from tests.sandbox.hosted import Portal, portal, subscribe

__all__ = ["portal"]

FIRST, LAST = "tiers[0][up_to]=5&tiers[0][unit_amount]=1000", "tiers[1][up_to]=inf&tiers[1][unit_amount]=800"
TIERS = f"{FIRST}&{LAST}&tiers[1][flat_amount]=50"
TIERED = f"currency=usd&recurring[interval]=month&billing_scheme=tiered&{TIERS}"
CARD = "payment_method=pm_card_visa&invoice_settings[default_payment_method]=pm_card_visa"


async def price(wire: Wire, shop: Shop, terms: str) -> Any:
    reply = await wire.post("/v1/prices", f"product={shop.product}&{terms}")
    assert reply.status == 200, reply.body
    return reply.body


async def bought(wire: Wire, price_: str, quantity: int, more: str = "") -> Any:
    customer = (await wire.post("/v1/customers", CARD)).body["id"]
    body = f"customer={customer}&items[0][price]={price_}&items[0][quantity]={quantity}&expand[]=latest_invoice{more}"
    return (await wire.post("/v1/subscriptions", body)).body


@pytest.mark.parametrize(
    ("mode", "quantity", "amount"),
    [("graduated", 5, 5000), ("graduated", 7, 6650), ("volume", 5, 5000), ("volume", 7, 5650), ("graduated", 0, 0)],
)
async def test_tiers_decide_what_a_quantity_costs(
    wire: Wire, shop: Shop, mode: str, quantity: int, amount: int
) -> None:
    made = await price(wire, shop, f"{TIERED}&tiers_mode={mode}")
    assert (made["unit_amount"], made["billing_scheme"], made["tiers_mode"]) == (None, "tiered", mode)
    subscription = await bought(wire, made["id"], quantity)
    (line,) = subscription["latest_invoice"]["lines"]["data"]
    assert (line["amount"], subscription["latest_invoice"]["amount_paid"]) == (amount, amount)


async def test_tiers_are_shown_where_they_are_asked_for(wire: Wire, shop: Shop) -> None:
    made = await price(wire, shop, f"{TIERED}&tiers_mode=volume")
    assert "tiers" not in made
    shown = (await wire.get(f"/v1/prices/{made['id']}?expand[]=tiers")).body["tiers"]
    assert [(tier["up_to"], tier["unit_amount"], tier["flat_amount"]) for tier in shown] == [
        (5, 1000, None),
        (None, 800, 50),
    ]
    subscription = await bought(wire, made["id"], 2)
    assert "tiers" not in subscription["items"]["data"][0]["price"]
    path = f"/v1/subscriptions/{subscription['id']}"
    nested = (await wire.get(f"{path}?expand[]=items.data.price.tiers")).body["items"]["data"][0]["price"]
    assert nested["tiers"] == shown
    (event,) = (await wire.get("/v1/events?type=customer.subscription.created")).body["data"]
    assert "tiers" not in event["data"]["object"]["items"]["data"][0]["price"]


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        ("billing_scheme=tiered&tiers_mode=volume", "tiers"),
        ("billing_scheme=tiered&tiers[0][up_to]=inf&tiers[0][unit_amount]=1", "tiers_mode"),
        (f"unit_amount=5&{TIERS}", "tiers"),
        (f"billing_scheme=tiered&tiers_mode=volume&unit_amount=5&{TIERS}", "unit_amount"),
        ("billing_scheme=tiered&tiers_mode=volume&tiers[0][up_to]=5&tiers[0][unit_amount]=1", "tiers[0][up_to]"),
        ("billing_scheme=tiered&tiers_mode=volume&tiers[0][up_to]=inf", "tiers[0][unit_amount]"),
        (
            f"billing_scheme=tiered&tiers_mode=volume&{TIERS}&tiers[2][up_to]=inf&tiers[2][unit_amount]=1",
            "tiers[1][up_to]",
        ),
        ("unit_amount=5&unit_amount_decimal=5", "unit_amount"),
        ("unit_amount=-5", "unit_amount"),
        ("unit_amount=5&currency_options[eur][tax_behavior]=exclusive", "currency_options[eur][unit_amount]"),
        ("unit_amount=5&currency_options[euro][unit_amount]=4", "currency_options[euro]"),
        (
            f"billing_scheme=tiered&tiers_mode=volume&{TIERS}&transform_quantity[divide_by]=2&transform_quantity[round]=up",
            "transform_quantity",
        ),
    ],
)
async def test_what_does_not_fit_together_is_refused_and_nothing_written(
    wire: Wire, shop: Shop, terms: str, param: str
) -> None:
    before = (await wire.get("/v1/prices")).body["data"]
    reply = await wire.post("/v1/prices", f"product={shop.product}&currency=usd&{terms}")
    assert (reply.status, reply.error["param"]) == (400, param)
    assert (await wire.get("/v1/prices")).body["data"] == before


async def test_a_price_is_charged_in_the_currency_that_is_asked_for(wire: Wire, shop: Shop) -> None:
    terms = "currency=usd&unit_amount=1000&recurring[interval]=month&currency_options[eur][unit_amount]=900"
    made = await price(wire, shop, terms)
    assert "currency_options" not in made
    shown = (await wire.get(f"/v1/prices/{made['id']}?expand[]=currency_options")).body["currency_options"]
    assert {name: option["unit_amount"] for name, option in shown.items()} == {"usd": 1000, "eur": 900}
    subscription = await bought(wire, made["id"], 2, "&currency=eur")
    invoice = subscription["latest_invoice"]
    assert (subscription["currency"], invoice["currency"], invoice["amount_paid"]) == ("eur", "eur", 1800)
    item, half = subscription["items"]["data"][0], "&proration_behavior=always_invoice&expand[]=latest_invoice"
    body = f"items[0][id]={item['id']}&items[0][quantity]=3{half}"
    changed = (await wire.post(f"/v1/subscriptions/{subscription['id']}", body)).body
    assert changed["latest_invoice"]["amount_due"] == 900
    refused = await wire.post(
        "/v1/subscriptions", f"customer={subscription['customer']}&items[0][price]={shop.monthly}&currency=eur"
    )
    assert refused.status == 400


async def test_a_currency_can_be_added_later(wire: Wire, shop: Shop) -> None:
    path = f"/v1/prices/{shop.monthly}"
    body = "currency_options[gbp][unit_amount]=800&expand[]=currency_options"
    assert (await wire.post(path, body)).body["currency_options"]["gbp"]["unit_amount"] == 800
    assert (await bought(wire, shop.monthly, 1, "&currency=gbp"))["latest_invoice"]["amount_paid"] == 800


async def test_a_pack_is_paid_for_once_begun(wire: Wire, shop: Shop) -> None:
    terms = "currency=usd&unit_amount=500&recurring[interval]=month&transform_quantity[divide_by]=10"
    up, down = [(await price(wire, shop, f"{terms}&transform_quantity[round]={way}"))["id"] for way in ("up", "down")]
    paid = [(await bought(wire, name, 11))["latest_invoice"]["amount_paid"] for name in (up, down)]
    assert paid == [1000, 500]


async def test_another_accounts_tiers_are_out_of_reach(wire: Wire, shop: Shop, sdk: Any) -> None:
    account, made = await connected_account(sdk), await price(wire, shop, f"{TIERED}&tiers_mode=volume")
    reply = await wire.get(f"/v1/prices/{made['id']}?expand[]=tiers", Stripe_Account=account)
    assert (reply.status, reply.error["code"]) == (404, "resource_missing")


async def test_the_portal_shows_what_the_tiers_make_of_a_quantity(portal: Portal, wire: Wire) -> None:
    made = await price(wire, portal.shop, f"{TIERED}&tiers_mode=volume")
    adjustable = {"enabled": True, "minimum": 1, "maximum": 9}
    listed = {"product": portal.shop.product, "prices": [portal.shop.monthly, made["id"]]}
    products = [listed | {"adjustable_quantity": adjustable}]
    await portal.configure(subscription_update={"products": products})
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    assert "Price by quantity" in choose.text
    confirm = await portal.browser.submit(choose, "Continue", price=made["id"], quantity="7")
    assert "$56.50 per month" in confirm.text
    await portal.browser.submit(confirm, "Confirm")
    item = (await portal.current())["items"].data[0]
    assert (item.price.id, item.quantity) == (made["id"], 7)


async def test_the_portal_offers_prices_in_the_subscriptions_own_currency(portal: Portal, wire: Wire) -> None:
    for name, amount in ((portal.shop.monthly, 900), (portal.shop.yearly, 8000)):
        await wire.post(f"/v1/prices/{name}", f"currency_options[eur][unit_amount]={amount}")
    customer = (await wire.post("/v1/customers", CARD)).body["id"]
    await subscribe(portal.sdk, portal.shop, customer=customer, currency="eur")
    page = await portal.open(customer=customer)
    assert "€9.00 per month" in page.text
    choose = await portal.browser.follow(page, "Update plan")
    assert "€80.00 per year" in choose.text
    assert "$" not in choose.text


AMOUNTS = st.integers(0, 100_000).map(lambda n: str(Decimal(n) / 100))
TIER = st.tuples(st.integers(1, 50), AMOUNTS, AMOUNTS)


@given(steps=st.lists(TIER, min_size=1, max_size=5), quantity=st.integers(0, 300))
def test_tiers_agree_with_counting_unit_by_unit(steps: list[tuple[int, str, str]], quantity: int) -> None:
    tiers, reached = [], 0
    for index, (width, unit, flat) in enumerate(steps):
        reached += width
        end = None if index == len(steps) - 1 else reached
        tiers.append({"up_to": end, "unit_amount_decimal": unit, "flat_amount_decimal": flat})

    def place(unit: int) -> int:
        return next(index for index, tier in enumerate(tiers) if tier["up_to"] is None or unit <= tier["up_to"])

    units = [Decimal(steps[place(unit)][1]) for unit in range(1, quantity + 1)]
    flats = [Decimal(flat) for _, _, flat in steps[: place(quantity) + 1]]
    expected = {
        "graduated": sum(units, Decimal(0)) + sum(flats),
        "volume": Decimal(steps[place(quantity)][1]) * quantity + Decimal(steps[place(quantity)][2]),
    }
    for mode, exact in expected.items():
        found = price_amounts.total({"billing_scheme": "tiered", "tiers_mode": mode, "tiers": tiers}, quantity)
        assert found == int(exact.quantize(Decimal(1), ROUND_HALF_UP)), mode
