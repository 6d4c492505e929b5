"""What a statement may raise that is no fault of its own."""

import asyncpg

LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""When the database is away, comes back, or gives up: work in the background tries again."""
