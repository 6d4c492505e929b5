"""The local Stripe, once for all tests; and the web application over it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import ScratchDatabase
from tests.openapi_replies import recorded
from tests.platform.api import Api, Sandbox, TenantApi, running_api
from tests.platform.deliveries import Running, admin, web


@pytest.fixture(scope="session")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [sys.executable, "-m", "colonnade_sandbox", "--port", "0", "--check-replies"]
    with recorded(tmp_path_factory.mktemp("sandbox")) as file:
        command += ["--record-replies", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = process.stdout.readline()
            try:
                assert "ready at " in said, said
                yield said.split("ready at ")[1].strip()
            finally:
                process.terminate()


@pytest.fixture(scope="module")
def module_sandbox(sandbox_url: str) -> Sandbox:
    return Sandbox(sandbox_url)


@pytest.fixture(scope="module")
async def module_api(shared_database: ScratchDatabase, module_sandbox: Sandbox) -> AsyncIterator[Api]:
    async with running_api(shared_database, module_sandbox) as running:
        yield running


@pytest.fixture
async def sandbox(request: pytest.FixtureRequest, sandbox_url: str, module_sandbox: Sandbox) -> AsyncIterator[Sandbox]:
    """A platform account of the local Stripe that has seen no request: the module's, or one of the test's own."""
    found = Sandbox(sandbox_url) if request.node.get_closest_marker("alone") else module_sandbox
    await found.forget_requests()
    yield found
    await found.fail()


@pytest.fixture
async def api(
    request: pytest.FixtureRequest, shared_database: ScratchDatabase, sandbox: Sandbox, module_api: Api
) -> AsyncIterator[Api]:
    """The application over `sandbox`. A module's tests share one: warm connections answer in a tenth of the time."""
    if request.node.get_closest_marker("alone"):
        async with running_api(shared_database, sandbox) as running:
            yield running
    else:
        yield module_api


@pytest.fixture
async def fern(api: Api) -> TenantApi:
    return await api.tenant(name="Fern")


@pytest.fixture
async def kiln(api: Api) -> TenantApi:
    return await api.tenant(name="Kiln")


@pytest.fixture(scope="module")
async def application(shared_database: ScratchDatabase) -> AsyncIterator[Running]:
    async with admin(shared_database) as db, web(shared_database) as client:
        yield client, db


@pytest.fixture
async def running(application: Running) -> Running:
    """One application for a module's tests, which run in the module's event loop; its inbox is empty."""
    await application[1].clear()
    return application
