"""Bodies that mean the same are the same content; what was written is what Stripe has, whatever was there before."""

import asyncio
from typing import Any

import msgspec
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from colonnade.portals import stripe_state
from colonnade.portals.canonical import canonical
from colonnade.portals.configurations import PutConfiguration
from colonnade.portals.content import content_of
from colonnade.portals.differences import differences
from colonnade.portals.offers import Offer
from colonnade.portals.settings import PortalSettings
from colonnade.portals.states import State
from tests.platform.api import TenantApi
from tests.platform.configurations import bodies, said_otherwise
from tests.platform.portals import OPEN, at_stripe, writes

PRODUCTS = [{"product": f"prod_{n}", "prices": [f"price_{n}{m}" for m in range(3)]} for n in range(3)]


def read(body: dict[str, Any]) -> PortalSettings:
    return msgspec.convert(body, PutConfiguration).settings


def digest(settings: PortalSettings) -> bytes:
    products = canonical(settings).features.subscription_update.products
    offered = [Offer(each.product, each.prices, each.adjustable_quantity) for each in products]
    return content_of(settings, offered, {}).digest()


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_means_the_same_is_the_same(data: st.DataObject) -> None:
    body = data.draw(bodies(PRODUCTS))
    first, again = read(body), read(said_otherwise(data.draw, body))
    assert canonical(first) == canonical(again)
    assert canonical(canonical(first)) == canonical(first)
    assert digest(first) == digest(again)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_differs_is_told_and_has_another_hash(data: st.DataObject) -> None:
    one, two = (canonical(read(data.draw(bodies(PRODUCTS)))) for _ in range(2))
    told = differences(State(True, one), State(True, two))
    assert (told == []) == (one == two) == (digest(one) == digest(two))
    back = differences(State(True, two), State(True, one))
    assert [(each.field, each.before, each.after) for each in back] == [
        (each.field, each.after, each.before) for each in told
    ]


async def test_stripe_has_what_was_written_and_twice_writes_nothing(fern: TenantApi) -> None:
    products = []
    for _ in range(2):
        price = await fern.api.sandbox.price()
        other = await fern.api.sandbox.price(product=price["product"], amount=9000)
        products.append({"product": price["product"], "prices": [price["id"], other["id"]]})
    loop = asyncio.get_running_loop()

    async def written(body: dict[str, Any], otherwise: dict[str, Any]) -> None:
        made = await fern.put(OPEN, body)
        assert made["state"] == "applied"
        assert stripe_state.read(await at_stripe(fern, made)) == State(True, canonical(read(body)))
        before = await writes(fern)
        assert await fern.put(OPEN, otherwise) == made
        assert await writes(fern) == before

    @hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        # Each is an update of the one before, so that what shall be off or empty has to be cleared.
        body = data.draw(bodies(products))
        otherwise = said_otherwise(data.draw, body)
        asyncio.run_coroutine_threadsafe(written(body, otherwise), loop).result(60)

    await asyncio.to_thread(holds)
