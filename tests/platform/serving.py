"""The API as a server of its own, with two tenants that have a little of everything."""

import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn

from colonnade.app import create_app
from colonnade.settings import Settings
from tests.conftest import ScratchDatabase
from tests.platform.api import ORIGIN, PLENTY, SECRET_KEY, Sandbox
from tests.platform.cli import colonnade, external
from tests.platform.openapi_calls import operations


class Served(NamedTuple):
    url: str
    document: dict[str, Any]
    keys: list[str]
    tenants: list[str]


@pytest.fixture(scope="module")
def served(shared_database: ScratchDatabase, sandbox_url: str) -> Iterator[Served]:
    settings = Settings(
        stripe_api_key=Sandbox(sandbox_url).key, stripe_api_base=sandbox_url, stripe_budget_percent=PLENTY
    )
    app = create_app(settings, database_url=shared_database.service_url, secret_key=SECRET_KEY)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield _filled(f"http://127.0.0.1:{port}", shared_database)
    finally:
        server.should_exit = True
        thread.join()


def _filled(url: str, database: ScratchDatabase) -> Served:
    """Two tenants, each with a little of everything."""
    platform = colonnade("keys", "create", **external(database.service_url)).stdout.strip()
    keys, tenants = [platform], []
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        document = client.get("/docs/openapi.json").json()
        for name in ("Fern", "Kiln"):
            body = {"name": name, "country": "DE", "return_origins": [ORIGIN, "https://shop.example"]}
            made = client.post("/v1/tenants", json=body, headers={"Authorization": f"Bearer {platform}"}).json()
            keys.append(made["key"])
            tenants.append(made["id"])
            for operation in operations(document):
                if operation.method == "put" and operation.body is not None:
                    path = operation.filled({"tenant": made["id"]})
                    client.put(path, json=operation.body, headers={"Authorization": f"Bearer {made['key']}"})
    return Served(url, document, keys, tenants)
