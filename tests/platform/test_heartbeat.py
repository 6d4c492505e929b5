"""The worker's container is healthy while the worker goes round."""

import os
import subprocess
import sys
import time
from pathlib import Path

from colonnade.heartbeat import LONGEST_SILENCE, age, beat


def check(data_dir: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "colonnade.heartbeat"]
    environment = os.environ | {"COLONNADE_DATA_DIR": str(data_dir)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_worker_that_never_went_round_is_unhealthy(tmp_path: Path) -> None:
    assert check(tmp_path).returncode == 1
    assert age(tmp_path) is None


def test_a_worker_is_healthy_until_it_falls_silent(tmp_path: Path) -> None:
    data_dir = tmp_path / "made by the worker"
    beat(data_dir)
    assert check(data_dir).returncode == 0
    long_ago = time.time() - LONGEST_SILENCE - 5
    for file in data_dir.iterdir():
        os.utime(file, (long_ago, long_ago))
    stale = check(data_dir)
    assert (stale.returncode, "ago" in stale.stderr) == (1, True)
    beat(data_dir)
    assert check(data_dir).returncode == 0
