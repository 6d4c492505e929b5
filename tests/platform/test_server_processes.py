"""The web server's processes: one that dies is replaced, and none outlives the one that started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ScratchDatabase
from tests.platform.deliveries import environment, free_port
from tests.platform.test_webhooks_server import exchange, serving

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

ASK = b"GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def children(pid: int) -> set[int]:
    """The server processes that *pid* started."""
    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return {each for each in found if b"resource_tracker" not in Path(f"/proc/{each}/cmdline").read_bytes()}


def runs(pid: int) -> bool:
    """Whether it does, as more than an entry that nobody has waited for."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_told_to_stop_while_it_starts_does_not_wait_for_its_child(
    database: ScratchDatabase, tmp_path: Path, number: signal.Signals
) -> None:
    """SIGINT as a terminal sends it, to both at once."""
    port = {"COLONNADE_PORT": str(free_port())}
    process = subprocess.Popen(
        [sys.executable, "-m", "colonnade", "serve"],
        env={**os.environ, **environment(database, tmp_path), **port},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Spawning worker-1" in line:
            break
    os.killpg(process.pid, number) if number is signal.SIGINT else process.send_signal(number)
    _, said = process.communicate(timeout=90)
    assert "Granian shutdown completed" in said
    assert "refused" not in said
    assert process.returncode == 0


@pytest.mark.parametrize("kind", ["granian", "uvicorn"])
def test_a_killed_process_is_replaced_and_none_outlives_the_first(
    database: ScratchDatabase, tmp_path: Path, kind: str
) -> None:
    with serving(database, tmp_path, kind, COLONNADE_WEB_WORKERS="2") as (process, port):
        until(lambda: len(children(process.pid)) == 2)
        killed, left = sorted(children(process.pid))
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(children(process.pid) - {killed}) == 2)
        assert left in children(process.pid)
        until(lambda: exchange(port, ASK)[0] == 200)
        assert process.poll() is None
        now = children(process.pid)
        process.kill()
        until(lambda: not any(map(runs, now)))
        assert exchange(port, ASK)[0] == 0
