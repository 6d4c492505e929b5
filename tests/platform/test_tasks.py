"""Tasks beside others end before the one that began them goes on."""

import asyncio

from colonnade.tasks import end


async def test_ending_waits_for_what_a_cancelled_task_still_does_and_says_what_became_of_each() -> None:
    done: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            done.append("tidied")

    async def fail() -> None:
        raise ValueError

    async def finish() -> int:
        return 1

    tasks = [asyncio.create_task(each) for each in (tidy(), fail(), finish())]
    await asyncio.sleep(0)
    cancelled, failed, finished = await end(tasks[0], None, *tasks[1:])
    assert done == ["tidied"]
    assert isinstance(cancelled, asyncio.CancelledError)
    assert (type(failed), finished) == (ValueError, 1)
    assert await end() == []
