"""The endpoints behind each real server, over real sockets: what no client library would send."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ScratchDatabase
from tests.platform.deliveries import admin, environment, event, free_port, signature

pytestmark = pytest.mark.slow


@contextmanager
def serving(
    database: ScratchDatabase, data_dir: Path, server: str, **more: str
) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "colonnade", "serve"],
        env={
            **os.environ,
            **environment(database, data_dir),
            **more,
            "COLONNADE_PORT": str(port),
            "COLONNADE_SERVER": server,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while exchange(port, b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0] != 200:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process, port
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def exchange(port: int, sent: bytes) -> tuple[int, bytes]:
    """The status, 0 for none, and all that came back until the server closed."""
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(sent)
            answer = b""
            while received := connection.recv(65536):
                answer += received
    except (ConnectionError, BrokenPipeError):
        answer = b""
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


def request(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    lines = [
        b"POST /webhooks/stripe/platform HTTP/1.1",
        b"Host: x",
        b"Connection: close",
        b"Content-Length: %d" % (len(body) if length is None else length),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize("web_server", ["granian", "uvicorn"])
async def test_a_real_server_stores_what_is_signed_and_survives_the_rest(
    database: ScratchDatabase, tmp_path: Path, web_server: str
) -> None:
    sent = event()
    body = json.dumps(sent).encode()
    header = b"Stripe-Signature: " + signature(body).encode()
    chunked = (
        b"POST /webhooks/stripe/platform HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        + header
        + b"\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])
    )
    with serving(database, tmp_path, web_server) as (process, port):

        async def status(raw: bytes) -> int:
            return (await asyncio.to_thread(exchange, port, raw))[0]

        assert await status(request(body, header)) == 200
        assert await status(chunked) == 200
        assert await status(request(body)) == 400
        assert await status(request(body, b"Stripe-Signature: t=\xff\xfe,v1=\x80")) == 400
        assert await status(request(body, header, header)) == 400
        assert await status(request(body, b"Stripe-Signature: " + b"v1=00," * 1000)) in {400, 431}
        assert await status(request(b"", header, length=10**9)) == 413
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(request(body[:50], header, length=len(body)))  # and then it goes away
        assert await status(request(body, header)) == 200
        process.send_signal(signal.SIGTERM)
        said, _ = await asyncio.to_thread(process.communicate, None, 30)
    assert "Traceback" not in said
    assert "status=500" not in said
    assert process.returncode in {0, -signal.SIGTERM}, said  # uvicorn ends by the signal that it was told to stop with
    async with admin(database) as db:
        assert [row["event_id"] for row in await db.inbox()] == [sent["id"]]
