"""What a statement may raise that is no fault of its own."""

import asyncpg

LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""When the database is away, comes back, or gives up: work in the background tries again.

asyncpg's `InternalClientError` is one of them: it comes where the server goes away within a statement (measured).
"""
