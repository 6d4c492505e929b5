"""The service's own processes, as benchmarks start and watch them."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECRET = "whsec_benchmark"


@contextmanager
def _process(database_url: str, arguments: list[str], **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "COLONNADE_DATABASE_URL": database_url,
            "COLONNADE_SECRET_KEY": "k" * 32,
            "COLONNADE_DATA_DIR": folder,
            "COLONNADE_STRIPE_API_KEY": "sk_test_1",
            "COLONNADE_STRIPE_API_BASE": "http://127.0.0.1:9",
            "COLONNADE_STRIPE_PLATFORM_WEBHOOK_SECRETS": SECRET,
            "COLONNADE_SWEEP_SECONDS": "0",
            "COLONNADE_LOG_LEVEL": "WARNING",
            **settings,
        }
        process = subprocess.Popen([sys.executable, "-m", "colonnade", *arguments], env={**os.environ, **environ})
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def worker_process(database_url: str, tasks: int = 4) -> Iterator["subprocess.Popen[bytes]"]:
    """`colonnade worker`, until the end of the block."""
    with _process(database_url, ["worker", "--concurrency", str(tasks)]) as process:
        yield process


@contextmanager
def web_process(database_url: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`colonnade serve` on 127.0.0.1, until the end of the block."""
    with _process(database_url, ["serve"], COLONNADE_HOST="127.0.0.1", COLONNADE_PORT=str(port)) as process:
        yield process


def resident_mebibytes(pid: int) -> float:
    """What the process has in memory (VmRSS)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
