"""Runs the sandbox: `python -m colonnade_sandbox --port 12111`."""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn

from colonnade_sandbox.app import App
from colonnade_sandbox.deliveries import SCHEDULES, TIMEOUT
from colonnade_sandbox.sandbox import Sandbox

PORT = 12111
# Named, so that a missing package is told at the start and not when `stripe listen` connects.
WEBSOCKETS = "websockets-sansio"
# For sandboxes that another program starts, such as the demo's.
RECORD = "STRIPE_SANDBOX_RECORD"


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"Stripe sandbox ready at {self._url}", flush=True)  # noqa: T201


def serve(
    host: str = "127.0.0.1",
    port: int = PORT,
    data: Path | None = None,
    *,
    base_url: str | None = None,
    **options: Any,
) -> None:
    """Serve until SIGINT or SIGTERM. Port 0 takes a free one; `base_url` is what hosted links begin with.

    The other options are those of `Sandbox`. Raises OSError where the port is taken.
    """
    listener = _listen(host, port)
    url = base_url or f"http://{host}:{listener.getsockname()[1]}"
    asyncio.run(_serve(listener, url, data, options))


async def _serve(listener: socket.socket, url: str, data: Path | None, options: dict[str, Any]) -> None:
    sandbox = Sandbox(data, **options)
    sandbox.base_url = url.rstrip("/")
    config = uvicorn.Config(
        App(sandbox),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
        ws=WEBSOCKETS,
        date_header=False,  # the answers have the sandbox's
    )
    await _Server(config, sandbox.base_url).serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sends without delay only on sockets that say they are TCP: 40 ms a reply.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; answers the exit status."""
    parser = argparse.ArgumentParser(prog="colonnade-sandbox", description="A local Stripe for Connect and the portal.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=PORT, help=f"port, 0 for a free one (default: {PORT})")
    parser.add_argument("--data", type=Path, metavar="FILE", help="SQLite file that keeps everything (default: memory)")
    parser.add_argument("--base-url", metavar="URL", help="what links to hosted pages begin with")
    parser.add_argument("--retry-scale", type=float, default=0.005, help="scales the delays between delivery tries")
    parser.add_argument(
        "--retries", choices=sorted(SCHEDULES), default="test", help="whose delays between tries (default: test mode's)"
    )
    parser.add_argument(
        "--delivery-timeout", type=float, default=TIMEOUT, help="seconds that a webhook endpoint has to answer"
    )
    parser.add_argument(
        "--check-replies", action="store_true", help="fail on a reply that differs from the SDK's class"
    )
    parser.add_argument(
        "--record-replies",
        type=Path,
        default=os.environ.get(RECORD),
        metavar="FILE",
        help=f"append every reply of the API to FILE, a line each (default: what {RECORD} names)",
    )
    wanted = parser.parse_args(argv)
    try:
        serve(
            wanted.host,
            wanted.port,
            wanted.data,
            base_url=wanted.base_url,
            retry_scale=wanted.retry_scale,
            retries=wanted.retries,
            delivery_timeout=wanted.delivery_timeout,
            check_replies=wanted.check_replies,
            record=wanted.record_replies,
        )
    except OSError as problem:
        print(f"Cannot listen on {wanted.host}:{wanted.port}: {problem.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
