"""The load on the receiving benchmark, in a process of its own: signed events over connections that stay open.

Prints one line of JSON: seconds, and the 50th and 99th percentile of the answers' times in milliseconds.
"""

import asyncio
import hmac
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.backlog import Backlog, body

SECRET = "whsec_benchmark"


def requests(number: int, events: int) -> Iterator[bytes]:
    """Whole requests, each with an event that no other round has."""
    subscriptions = Backlog(events, 100).subscriptions
    at = str(int(time.time())).encode()
    for count in range(events):
        subscription = count % subscriptions
        content = body(subscription, subscription % 100, 1 + number * events + count // subscriptions)
        signature = hmac.digest(SECRET.encode(), at + b"." + content, "sha256").hex().encode()
        yield (
            b"POST /webhooks/stripe/platform HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\nAccept: */*\r\n"
            b"Stripe-Signature: t=%s,v1=%s\r\nContent-Length: %d\r\n\r\n%s" % (at, signature, len(content), content)
        )


async def deliver(port: int, waiting: Iterator[bytes], times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in waiting:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        times.append(time.perf_counter() - began)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(head.decode())
    writer.close()


async def main() -> None:
    port, number, events, connections = map(int, sys.argv[1:])
    prepared = iter(list(requests(number, events)))
    times: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(deliver(port, prepared, times) for _ in range(connections)))
    seconds = time.perf_counter() - began
    cuts = statistics.quantiles(times, n=100)
    print(json.dumps({"seconds": seconds, "p50": cuts[49] * 1000, "p99": cuts[98] * 1000}))


if __name__ == "__main__":
    uvloop.run(main())
