"""A block that takes too long ends with `TimeoutError`, and nothing else does."""

import asyncio

import pytest

from colonnade.time_limit import TimeLimit


async def test_only_the_block_that_takes_too_long_is_ended() -> None:
    limit = TimeLimit(0.2)

    async def block(wait: asyncio.Event) -> None:
        with limit.block():
            await wait.wait()

    soon = asyncio.Event()
    quick, slow = asyncio.create_task(block(soon)), asyncio.create_task(block(asyncio.Event()))
    await asyncio.sleep(0)
    soon.set()
    async with asyncio.timeout(20):
        with pytest.raises(TimeoutError):
            await slow
    await quick
    assert slow.cancelling() == 0


async def test_who_is_cancelled_by_another_stays_cancelled() -> None:
    limit = TimeLimit(60)

    async def block() -> None:
        with limit.block():
            await asyncio.sleep(60)

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_may_enter_its_block_again_and_again() -> None:
    block = TimeLimit(0.2).block()
    for _ in range(2):
        async with asyncio.timeout(20):
            with pytest.raises(TimeoutError), block:
                await asyncio.sleep(60)
    with block:
        await asyncio.sleep(0)
