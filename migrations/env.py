"""Alembic's entry: `colonnade migrate` passes a connection; `alembic …` by hand opens one itself."""

import asyncio

from alembic import context

from colonnade.database.migrate import configure, connected

connection = context.config.attributes.get("connection")
if context.is_offline_mode():
    raise SystemExit("Colonnade's migrations look at the database; run them online")
if connection is not None:
    configure(connection)
else:
    asyncio.run(connected(configure))
