"""Tasks that run beside others."""

import asyncio
from typing import Any


async def end(*tasks: asyncio.Task[Any] | None) -> list[Any]:
    """Cancel *tasks* and wait until they are over; what each returned or raised. One that never began is None."""
    begun = [task for task in tasks if task is not None]
    for task in begun:
        task.cancel()
    return await asyncio.gather(*begun, return_exceptions=True)
