"""Starting it, and its own routes."""

import subprocess
import sys

from tests.sandbox.conftest import Shop, Wire


def test_a_taken_port_is_named(url: str) -> None:
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "colonnade_sandbox", "--port", port]
    failed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"Cannot listen on 127.0.0.1:{port}: ")


def test_the_sdk_is_read_and_never_imported() -> None:
    program = (
        "import sys, colonnade_sandbox.app as a, colonnade_sandbox.contract.routes as r; "
        "r.match('POST', '/v1/customers'); "
        "print(sorted({'stripe', 'colonnade', 'colonnade_tenants'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert found.stdout.strip() == "[]"


async def test_the_request_log_tells_what_was_called(wire: Wire) -> None:
    made = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
    async with wire.session.get(f"{wire.url}/_sandbox/requests?id={made.headers['request-id']}") as answer:
        (row,) = (await answer.json())["data"]
    assert (row["method"], row["path"], row["status"], row["body"]) == ("POST", "/v1/customers", 200, "name=Ann")
    assert (row["idempotency_key"], row["replayed"]) == ("k", False)


async def test_faults_hit_the_next_calls_only(wire: Wire, shop: Shop) -> None:
    await wire.control("faults", {"api": {"next": 2, "status": 429}})
    first, second, third = [await wire.get(f"/v1/customers/{shop.customer}") for _ in range(3)]
    assert (first.status, second.status, third.status) == (429, 429, 200)
    assert first.headers["stripe-rate-limited-reason"] == "global-rate"
    assert first.error["code"] == "rate_limit"


async def test_control_routes_refuse_what_they_do_not_know(wire: Wire) -> None:
    for path, value, status in (
        ("faults", {"weather": {}}, 400),
        ("advance", {"seconds": -1}, 400),
        ("advance", {"seconds": "soon"}, 400),
        ("no_such_route", {}, 404),
    ):
        async with wire.session.post(f"{wire.url}/_sandbox/{path}", json=value) as answer:
            assert answer.status == status, path
