"""How fast the sandbox is: customer retrieves per second, start time, idle memory.

    python benchmarks/sandbox.py [--seconds 5] [--connections 16]

The same client measures a bare ASGI route in a server of its own, so that the ratio says what the sandbox costs
wherever this runs. The client is a process apart and needs a core of its own.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

BARE = """
import sys, uvicorn, socket
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}" * 600})
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.bind(("127.0.0.1", 0))
listener.listen()
print(f"ready at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
uvicorn.Server(config).run(sockets=[listener])
"""
HEADERS = {"Authorization": "Bearer sk_test_benchmark"}


@contextmanager
def server(*arguments: str) -> Iterator[tuple[str, int, float]]:
    """A server's URL, process id and seconds from its start to its first line."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    if process.stdout is None:
        raise RuntimeError("the server has no output")
    url = process.stdout.readline().split()[-1]
    try:
        yield url, process.pid, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


async def rate(url: str, seconds: float, connections: int) -> float:
    """Requests per second over connections that stay open."""
    count, end = 0, time.perf_counter() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal count
        while time.perf_counter() < end:
            async with session.get(url, headers=HEADERS) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{answer.status} from {url}")
            count += 1

    async with aiohttp.ClientSession() as session:
        await ask_once(session, url)
        started = time.perf_counter()
        end = started + seconds
        await asyncio.gather(*(ask(session) for _ in range(connections)))
        return count / (time.perf_counter() - started)


async def ask_once(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url, headers=HEADERS) as answer:
        await answer.read()


async def customer(url: str) -> str:
    given = {"name": "Ann", "email": "ann@example.com", "payment_method": "pm_card_visa"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/customers", data=given, headers=HEADERS) as a,
    ):
        return str((await a.json())["id"])


def import_time() -> float:
    """Seconds that a process needs to start Python and import the server."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import colonnade_sandbox.server"], check=True)
    return time.perf_counter() - started


def memory(pid: int) -> float:
    """Resident MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=16)
    wanted = parser.parse_args()
    with server("-c", BARE) as (url, _, _):
        bare = asyncio.run(rate(url, wanted.seconds, wanted.connections))
    imported = import_time()
    with server("-m", "colonnade_sandbox", "--port", "0") as (url, pid, started):
        idle = memory(pid)
        path = asyncio.run(customer(url))
        retrieves = asyncio.run(rate(f"{url}/v1/customers/{path}", wanted.seconds, wanted.connections))
        print(f"bare ASGI route       {bare:8.0f} /s")
        print(f"customer retrieve     {retrieves:8.0f} /s   {retrieves / bare:.2f} of the bare route (target 1,500 /s)")
        print(f"start after import    {max(started - imported, 0):8.2f} s   (target 1 s; import {imported:.2f} s)")
        print(f"idle memory           {idle:8.1f} MiB (target 60 MiB)")
        print(f"memory afterwards     {memory(pid):8.1f} MiB")


if __name__ == "__main__":
    main()
