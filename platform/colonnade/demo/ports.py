"""Free ports for the demo's servers."""

import asyncio
import fcntl
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from colonnade.demo.errors import PortTaken


class Ports(NamedTuple):
    """Where the demo's three servers listen."""

    web: int
    sandbox: int
    site: int

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox}"

    @property
    def site_url(self) -> str:
        return f"http://127.0.0.1:{self.site}"


@asynccontextmanager
async def picking_ports() -> AsyncIterator[None]:
    """Let one demo at a time pick ports, until its servers hold them: two that start at once would pick the same."""
    path = Path(tempfile.gettempdir(), f"colonnade-demo-{os.geteuid()}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        while not _locked(descriptor):
            await asyncio.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def pick_port(wanted: int | None, default: int) -> int:
    """*wanted* if it is free, else an error; without a wish *default*, or any free port. Raises `PortTaken`."""
    for port in (wanted or default, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if wanted:
                    raise PortTaken(wanted) from error
                continue
            number: int = probe.getsockname()[1]
            return number
    raise PortTaken(default)
