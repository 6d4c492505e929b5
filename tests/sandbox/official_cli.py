"""The official Stripe CLI as a client of the sandbox."""

import asyncio
import json
import os
import shutil
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# Where the CLI is, and whether a test may be skipped without it.
PROGRAM, REQUIRE = "STRIPE_CLI", "REQUIRE_STRIPE_CLI"
PATIENCE = 60


def program() -> str:
    """The CLI that a variable names, npm put beside the repository's code, or the system has."""
    local = Path(__file__).parents[2] / "node_modules" / ".bin" / "stripe"
    found = os.environ.get(PROGRAM) or (str(local) if local.exists() else shutil.which("stripe"))
    if not found:
        text = f"no Stripe CLI: install @stripe/cli with npm, or name one in {PROGRAM}"
        if os.environ.get(REQUIRE):
            pytest.fail(text)
        pytest.skip(text)
    return found


@dataclass
class Listening:
    """A running `stripe listen`."""

    secret: str
    lines: list[str] = field(default_factory=list)


@dataclass
class Cli:
    """Commands against one sandbox with one key; nothing of the user's own configuration is read."""

    path: str
    url: str
    key: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        own = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home), "STRIPE_CLI_TELEMETRY_OPTOUT": "1"}
        return kept | own | {"STRIPE_API_KEY": self.key}

    async def run(self, *arguments: str, status: int = 0) -> str:
        """What a command printed; its exit status must be `status`."""
        running = await self._start(*arguments)
        async with asyncio.timeout(PATIENCE):
            printed, _ = await running.communicate()
        assert running.returncode == status, printed.decode()
        return printed.decode()

    async def call(self, *arguments: str) -> Any:
        """The object that a command printed."""
        printed = await self.run(*arguments)
        return json.loads(printed[printed.index("{") :])

    @asynccontextmanager
    async def listen(self, *arguments: str) -> AsyncIterator[Listening]:
        """`stripe listen`, once it is ready."""
        running = await self._start("listen", *arguments)
        assert running.stdout is not None
        found = Listening("")
        reader = asyncio.create_task(_read(running.stdout, found.lines))
        try:
            async with asyncio.timeout(PATIENCE):
                while not any("webhook signing secret is" in line for line in found.lines):
                    assert running.returncode is None, found.lines
                    await asyncio.sleep(0.05)
            ready = next(line for line in found.lines if "webhook signing secret is" in line)
            found.secret = next(word for word in ready.split() if word.startswith("whsec_"))
            yield found
        finally:
            # The whole group: npm's launcher would leave the program itself behind.
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
            await reader
            await running.wait()

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        command = [self.path, *arguments, "--api-base", self.url, "--color", "off"]
        return await asyncio.create_subprocess_exec(
            *command, stdout=PIPE, stderr=STDOUT, env=self.environment, start_new_session=True
        )


async def _read(stream: asyncio.StreamReader, lines: list[str]) -> None:
    while line := await stream.readline():
        lines.append(line.decode().rstrip())
