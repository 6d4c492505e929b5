"""How fast events are received: the whole product's endpoint, against a bare route in an otherwise empty app.

    python benchmarks/receive.py [--events 1000] [--rounds 20] [--connections 32]

Both are granian with one worker on one embedded PostgreSQL with durable commits, and take signed events of 5 KB that
differ, in many short rounds that alternate: a machine's speed drifts, and each round is compared with its neighbour.
Fails where the median of these ratios is below 0.9 of the bare route, and where receiving makes the process grow by
more than 16 MiB. The ratio of processor times is printed too: it says the same with less noise.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks._receive_load import SECRET
from benchmarks.backlog import Scratch, scratch_database

from colonnade.demo.ports import pick_port

WANTED = 0.9
GROWTH = 16 * 1024
"""KiB that the process may grow while it receives."""
_TICKS = os.sysconf("SC_CLK_TCK")


class Server(NamedTuple):
    """A running one: the process that serves, and its port."""

    pid: int
    port: int

    @property
    def memory(self) -> int:
        """KiB that are resident."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    @property
    def cpu(self) -> float:
        """Seconds, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


class Round(NamedTuple):
    """What was measured of one."""

    rate: float
    p50: float
    p99: float
    cpu: float
    """Microseconds of the server's, per event."""


@contextmanager
def serving(command: list[str], environ: dict[str, str], log: Path) -> Iterator[Server]:
    """A server that answers; *command* ends in the option that takes its port."""
    port = pick_port(None, 0)
    environ = {**os.environ, **environ, "COLONNADE_PORT": str(port), "GRANIAN_PORT": str(port)}
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Server(int(children[-1]), port)
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    """Whether something serves there."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except OSError:
        return False
    return True


def product(scratch: Scratch, folder: Path) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "colonnade", "serve"], {
        "COLONNADE_DATABASE_URL": scratch.service,
        "COLONNADE_SECRET_KEY": "k" * 32,
        "COLONNADE_DATA_DIR": str(folder),
        "COLONNADE_STRIPE_API_KEY": "sk_test_1",
        "COLONNADE_STRIPE_PLATFORM_WEBHOOK_SECRETS": SECRET,
    }


def bare(scratch: Scratch, _folder: Path) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--factory", "--no-access-log"]
    return [*command, "benchmarks._receive_bare:application"], {
        "BARE_DATABASE_URL": scratch.service.replace("colonnade_service", "postgres"),
        "BARE_SECRET": SECRET,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
    }


def measure(server: Server, number: int, events: int, connections: int) -> Round:
    arguments = [str(each) for each in (server.port, number, events, connections)]
    before = server.cpu
    command = [sys.executable, str(Path(__file__).with_name("_receive_load.py")), *arguments]
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return Round(events / said["seconds"], said["p50"], said["p99"], (server.cpu - before) / events * 1e6)


async def emptied(scratch: Scratch) -> int:
    """How many events were stored; none is now."""
    connection = await asyncpg.connect(scratch.admin)
    stored: int = await connection.fetchval("select count(*) from inbox")
    await connection.execute("truncate inbox cascade")
    await connection.execute("checkpoint")
    await connection.close()
    return stored


def compare(servers: dict[str, Server], scratch: Scratch, wanted: argparse.Namespace) -> dict[str, list[Round]]:
    found: dict[str, list[Round]] = {name: [] for name in servers}
    for number in range(wanted.rounds):
        for name in sorted(servers, reverse=number % 2 == 1):
            measured = measure(servers[name], number, wanted.events, wanted.connections)
            if asyncio.run(emptied(scratch)) != wanted.events:
                raise SystemExit(f"{name} answered 200 for events that it did not store")
            found[name].append(measured)
    return found


def report(rounds: dict[str, list[Round]]) -> float:
    """Print what was found; how many events a second the product takes for each of the bare route's."""
    for name, found in rounds.items():
        rate, p50, p99, cpu = map(statistics.median, zip(*found, strict=True))
        print(f"{name:8} {rate:6.0f} events/s, p50 {p50:5.1f} ms, p99 {p99:5.1f} ms, server {cpu:4.0f} µs/event")
    pairs = list(zip(rounds["product"], rounds["bare"], strict=True))
    walls = [product.rate / bare.rate for product, bare in pairs]
    wall, cpu = statistics.median(walls), statistics.median(product.cpu / bare.cpu for product, bare in pairs)
    low, _, high = statistics.quantiles(walls)
    print(
        f"events a second: {wall:.2f} of a bare route that stores the same row, wanted {WANTED} "
        f"(half of {len(walls)} rounds: {low:.2f} to {high:.2f})"
    )
    print(f"processor time for an event: {cpu:.2f} of its")
    return wall


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    for name, default in {"events": 1_000, "rounds": 20, "connections": 32}.items():
        options.add_argument(f"--{name}", type=int, default=default)
    wanted = options.parse_args()
    with scratch_database() as scratch, tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        asyncio.run(scratch.migrate())
        folder = Path(name)
        sides = {"product": product(scratch, folder), "bare": bare(scratch, folder)}
        servers = {
            side: stack.enter_context(serving(command, environ, folder / f"{side}.log"))
            for side, (command, environ) in sides.items()
        }
        for server in servers.values():  # the first requests of a process are slow
            measure(server, wanted.rounds, 500, wanted.connections)
            asyncio.run(emptied(scratch))
        before = servers["product"].memory
        rounds = compare(servers, scratch, wanted)
        growth = servers["product"].memory - before
    ratio = report(rounds)
    print(f"memory: {growth / 1024:+.1f} MiB over {wanted.events * wanted.rounds} events")
    return 0 if ratio >= WANTED and growth <= GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
