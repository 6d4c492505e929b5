"""The demo's child processes: started together, watched, and stopped together."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from colonnade.demo.errors import ChildEnded

_STOP_SECONDS = 15
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, even by SIGKILL."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Processes:
    """The children, by name. Their output goes to one log file each in *log_dir*."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._children: dict[str, asyncio.subprocess.Process] = {}
        log_dir.mkdir(parents=True, exist_ok=True)

    async def start(self, name: str, module: str, *arguments: str, environ: Mapping[str, str]) -> None:
        """Start `python -m module arguments…` in a session of its own, so that Ctrl-C reaches it only through us."""
        with (self._log_dir / f"{name}.log").open("ab") as log:
            self._children[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                env={**os.environ, **environ},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    async def wait_ready(self, name: str, url: str, seconds: float = 60) -> None:
        """Wait until *url* answers 200. Raises `ChildEnded`."""
        child = self._children[name]
        async with aiohttp.ClientSession() as http:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while child.returncode is None:
                        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                            async with http.get(url, timeout=aiohttp.ClientTimeout(total=2)) as reply:
                                if reply.status == 200:
                                    return
                        await asyncio.sleep(0.05)
        raise ChildEnded(self._ended(name, "did not become ready"))

    async def watch(self) -> None:
        """Return never; raises `ChildEnded` as soon as a child ends."""
        waits = {asyncio.create_task(child.wait()): name for name, child in self._children.items()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            raise ChildEnded(self._ended(waits[done.pop()], "ended"))
        finally:
            for task in waits:
                task.cancel()

    async def stop(self) -> None:
        """Ask every child to end, the last started first, and end those that do not."""
        for name in reversed(self._children):
            child = self._children[name]
            if child.returncode is None:
                child.send_signal(signal.SIGTERM)
        for child in self._children.values():
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await child.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()

    def _ended(self, name: str, what: str) -> str:
        log = self._log_dir / f"{name}.log"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        return f"The demo's {name} process {what}. The end of {log}:\n{tail}"
