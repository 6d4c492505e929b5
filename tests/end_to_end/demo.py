"""Running the demo as a user does, and talking to it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Answer:
    """Status, headers and decoded body of one reply."""

    def __init__(self, status: int, headers: Any, content: bytes) -> None:
        self.status, self.headers, self.content = status, headers, content

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def call(
    method: str, url: str, body: Any = None, *, key: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One HTTP request; JSON unless *body* is bytes."""
    sent = dict(headers or {})
    if key:
        sent["Authorization"] = f"Bearer {key}"
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    if data is not None:
        sent.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(url, data, sent, method=method)  # noqa: S310
    try:
        with _OPENER.open(request, timeout=30) as reply:
            return Answer(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as reply:
        with reply:
            return Answer(reply.code, reply.headers, reply.read())


class Demo:
    """A running demo: what its one line of JSON said."""

    def __init__(self, process: "subprocess.Popen[str]", said: dict[str, Any], data_dir: Path) -> None:
        self.process = process
        self.said = said
        self.data_dir = data_dir
        self.url: str = said["base_url"]
        self.sandbox: str = said["sandbox_url"]

    def tenant(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = self.said["tenants"][index]
        return found

    def api(
        self, method: str, path: str, body: Any = None, *, tenant: int | None = None, key: str | None = None
    ) -> Answer:
        """A call to Colonnade; *path* is below the tenant where one is given, with that tenant's key."""
        if tenant is not None:
            found = self.tenant(tenant)
            return call(method, f"{self.url}/v1/tenants/{found['id']}{path}", body, key=key or found["key"])
        return call(method, self.url + path, body, key=key or self.said["platform_key"])

    def stripe(self, method: str, path: str, form: str = "") -> Any:
        """A call to the local Stripe with the platform's key."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = call(method, self.sandbox + path, form.encode() or None, key=self.said["sandbox_key"], headers=headers)
        assert answer.status == 200, answer.content
        return answer.json

    def entitlements(self, tenant: int, reference: str) -> dict[str, Any]:
        """What the customer may use now: feature to value."""
        answer = self.api("GET", f"/customers/{reference}/entitlements", tenant=tenant)
        assert answer.status == 200, answer.content
        return {row["feature"]: row["value"] for row in answer.json["data"]}

    def new_customer(self, tenant: int, reference: str, plan: int = 0, quantity: int = 1) -> str:
        """A customer with a subscription to the tenant's plan; the subscription's id."""
        answer = self.api("PUT", f"/customers/{reference}", {"name": "E", "email": "e@example.com"}, tenant=tenant)
        assert answer.status in {200, 201}, answer.content
        price = self.tenant(tenant)["plans"][plan]["price"]
        body = {"price": price, "quantity": quantity, "payment_method": "pm_card_visa"}
        answer = self.api("POST", f"/customers/{reference}/subscriptions", body, tenant=tenant)
        assert answer.status == 201, answer.content
        return str(answer.json["id"])


def until(check: Callable[[], T], seconds: float = 15) -> T:
    """Call *check* until it answers something true, or fail with its last answer."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"still {found!r} after {seconds} s"
        time.sleep(0.05)
    return found


@contextmanager
def running_demo(data_dir: Path, *arguments: str) -> Iterator[Demo]:
    """`colonnade demo --json` with data in *data_dir*, stopped as by Ctrl-C at the end."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COLONNADE_")}
    with (data_dir.parent / f"{data_dir.name}.err").open("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "colonnade", "demo", "--json", "--data-dir", str(data_dir), *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environ,
        )
        assert process.stdout is not None
        with process.stdout:
            try:
                line = process.stdout.readline()
                errors.seek(0)
                assert line, errors.read()
                yield Demo(process, json.loads(line), data_dir)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=60)
