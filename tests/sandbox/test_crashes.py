"""A bug of the sandbox looks to its caller as a failure of Stripe's own does."""

from typing import Any

import pytest

from colonnade_sandbox import operations
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import customers
from tests.sandbox.histories import Local


def crash(call: Call) -> Any:
    customers.create(call)
    raise RuntimeError("a bug")


def test_a_crash_is_undone_and_replayed_under_its_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local = Local()
    headers = {"authorization": "Bearer sk_test_crashes", "idempotency_key": "k"}
    route = operations.key("POST", "/v1/customers")
    broken = operations.Operation(crash, operations.OPERATIONS[route].takes)
    with monkeypatch.context() as patch:
        patch.setitem(operations.OPERATIONS, route, broken)
        first = local.send("POST", "/v1/customers", "name=Ann", **headers)
    again = local.send("POST", "/v1/customers", "name=Ann", **headers)
    rows = list(local.sandbox.store.everywhere("customer"))
    local.loop.close()
    assert (first[0], first[2]) == (again[0], again[2]) == (500, first[2])
    assert '"api_error"' in first[2]
    assert again[1]["idempotent-replayed"] == "true"
    assert again[1]["original-request"] == first[1]["request-id"] != again[1]["request-id"]
    assert "RuntimeError: a bug" in capsys.readouterr().err
    assert rows == []
