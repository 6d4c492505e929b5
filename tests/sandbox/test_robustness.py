"""No request, however odd, makes the sandbox fail or answer what Stripe's classes do not have."""

import random
from typing import Any

import pytest

from colonnade_sandbox import resources
from colonnade_sandbox.contract import parameters, routes, source
from colonnade_sandbox.contract.annotations import (
    Choice,
    Either,
    Many,
    Mapping,
    Maybe,
    Node,
    Omittable,
    Record,
    Scalar,
)
from colonnade_sandbox.operations import OPERATIONS
from tests.sandbox.conftest import Shop, Wire

ODD = ["", "x", "0", "-1", "true", "99999999999", "2000000000", "now", "ünï\u0000", "usd", "pm_card_visa", "{}"]
ROUNDS = 3
PREFIXES = {
    "accounts": "acct",
    "customers": "cus",
    "invoices": "in_",
    "payment_methods": "pm",
    "prices": "price",
    "products": "prod",
    "subscription_items": "si",
    "subscriptions": "sub",
}


def made_up(node: Node, ids: list[str], chance: random.Random) -> Any:
    """A value that mostly fits `node`, seldom not."""
    if chance.random() < 0.06:
        return chance.choice(ODD)
    match node:
        case Omittable(of) | Maybe(of):
            return made_up(of, ids, chance)
        case Choice(values):
            return str(chance.choice(values or ("",)))
        case Either(options):
            return made_up(chance.choice(options), ids, chance)
        case Many(of):
            return [made_up(of, ids, chance) for _ in range(chance.randint(1, 2))]
        case Mapping(of):
            return {"key": made_up(of, ids, chance)}
        case Record(declaration):
            return tree(declaration, ids, chance)
        case Scalar("int"):
            return str(chance.choice([1, 2, 14, 500, 2_000_000_000]))
        case Scalar("bool"):
            return chance.choice(["true", "false"])
        case Scalar("float") | Scalar("Decimal"):
            return "12.5"
        case _:
            return chance.choice(ids) if chance.random() < 0.7 else chance.choice(ODD)


def tree(declaration: source.Class, ids: list[str], chance: random.Random) -> dict[str, Any]:
    return {
        name: made_up(node, ids, chance)
        for name, node in parameters.fields(declaration)
        if not isinstance(node, Omittable) or chance.random() < 0.25
    }


def pairs(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(name, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [pair for key, inner in items for pair in pairs(f"{name}[{key}]", inner)]


async def some_ids(wire: Wire, shop: Shop) -> list[str]:
    subscription = await wire.post("/v1/subscriptions", f"customer={shop.customer}&items[0][price]={shop.monthly}")
    body = "features[subscription_cancel][enabled]=true"
    configuration = await wire.post("/v1/billing_portal/configurations", body)
    method = (await wire.get(f"/v1/payment_methods?customer={shop.customer}")).body["data"][0]["id"]
    items = subscription.body["items"]["data"]
    found = [shop.account, shop.product, shop.monthly, shop.yearly, shop.customer, method, items[0]["id"]]
    return [*found, subscription.body["id"], subscription.body["latest_invoice"], configuration.body["id"]]


def aimed(template: str, ids: list[str], chance: random.Random) -> str:
    """The path with an id in it, mostly one of the right kind."""
    noun = template.split("/")[2]
    fitting = [name for name in ids if name.startswith(PREFIXES.get(noun, "bpc"))]
    choices = fitting if fitting and chance.random() < 0.8 else ids
    return "/".join(chance.choice(choices) if part == "{}" else part for part in template.split("/"))


@pytest.mark.slow
async def test_made_up_requests_are_answered_or_refused(wire: Wire, shop: Shop) -> None:
    resources.load()
    chance = random.Random(7)
    ids = await some_ids(wire, shop)
    statuses: dict[int, int] = {}
    for _ in range(ROUNDS):
        for method, template in sorted(OPERATIONS):
            path = aimed(template, ids, chance)
            if method == "DELETE" and chance.random() < 0.7:
                continue
            match = routes.match(method, path)
            declaration = match.route.parameters if match else None
            given = tree(declaration, ids, chance) if declaration else {}
            form = [pair for name, value in given.items() for pair in pairs(name, value)]
            async with wire.session.request(
                method,
                wire.url + path,
                params=form if method != "POST" else None,
                data=form if method == "POST" else None,
                headers={"Authorization": f"Bearer {wire.key}"},
            ) as answer:
                text = await answer.text()
                assert answer.status in (200, 400, 402, 403, 404, 501), (method, path, form, text)
                statuses[answer.status] = statuses.get(answer.status, 0) + 1
    assert statuses[200] > 20, statuses
    assert statuses[400] > 20, statuses
