"""Customers on test clocks, and moving those."""

import asyncio
import time
from typing import Any

DAY = 24 * 3600
HOUR = 3600
NOW = int(time.time())


async def on_a_clock(sdk: Any, card: str | None = "pm_card_visa", at: int = NOW) -> tuple[str, str]:
    """A clock, and a customer on it, with a card unless that is None."""
    clock = await sdk.test_helpers.test_clocks.create_async({"frozen_time": at, "name": "ours"})
    paying = {"payment_method": card, "invoice_settings": {"default_payment_method": card}} if card else {}
    customer = await sdk.customers.create_async({"test_clock": clock.id, **paying})
    return clock.id, customer.id


async def advance(sdk: Any, clock: str, to: int) -> None:
    """Move the clock and wait until it has arrived."""
    moving = await sdk.test_helpers.test_clocks.advance_async(clock, {"frozen_time": to})
    assert (moving.status, moving.status_details.advancing.target_frozen_time) == ("advancing", to)
    async with asyncio.timeout(10):
        while (found := await sdk.test_helpers.test_clocks.retrieve_async(clock)).status == "advancing":
            await asyncio.sleep(0.01)
    assert (found.status, found.frozen_time) == ("ready", to)


async def types_of(sdk: Any, *wanted: str) -> list[str]:
    """Types of the account's events, oldest first."""
    rows = (await sdk.events.list_async({"limit": 100, "types": list(wanted)})).data
    return [row.type for row in reversed(rows)]


async def use_card(sdk: Any, customer: str, card: str) -> str:
    """Attach a test card and make it the customer's default."""
    method = await sdk.payment_methods.attach_async(card, {"customer": customer})
    await sdk.customers.update_async(customer, {"invoice_settings": {"default_payment_method": method.id}})
    return str(method.id)


async def set_billing(wire: Any, **settings: Any) -> None:
    headers = {"Authorization": f"Bearer {wire.key}"}
    async with wire.session.post(f"{wire.url}/_sandbox/billing", json=settings, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
