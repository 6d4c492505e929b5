"""`colonnade reencrypt`: after a new `COLONNADE_SECRET_KEY`."""

import sys
from typing import TYPE_CHECKING

import rich_click as click

from colonnade.commands.common import as_json_option, note, say_json
from colonnade.commands.services import run

if TYPE_CHECKING:
    from colonnade.reencrypting import Reencrypted
    from colonnade.services import Services


@click.command()
@as_json_option
def reencrypt(as_json: bool) -> None:
    """Encrypt what is stored anew with the newest COLONNADE_SECRET_KEY; exit 1 if some of it cannot be read."""

    async def work(services: "Services") -> "Reencrypted":
        from colonnade import reencrypting

        return await reencrypting.reencrypt(services)

    done = run(work)
    if as_json:
        say_json(done)
    else:
        note(f"{done.encrypted} rows are encrypted with the newest key.")
        for each in done.unreadable:
            note(f"{each} was stored under a key that is not among COLONNADE_SECRET_KEY's: roll or rotate it.")
    sys.exit(1 if done.unreadable else 0)
