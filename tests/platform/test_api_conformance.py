"""What the API answers is what its document says: to its own examples, and to whatever schemathesis makes up.

Streams are left out, which do not end; `test_notification_stream` has them.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
import pytest_asyncio

from tests.conftest import ScratchDatabase
from tests.platform.api import Api, Sandbox, TenantApi, running_api
from tests.platform.openapi_calls import Operation, operations

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(shared_database: ScratchDatabase, sandbox_url: str) -> AsyncIterator[Api]:
    async with running_api(shared_database, Sandbox(sandbox_url)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = (await api.client.get("/docs/openapi.json")).json()
    return found


def strays(document: dict[str, Any], operation: Operation, answer: httpx.Response) -> str | None:
    """How *answer* differs from what the document says of *operation*; None: not at all."""
    said = operation.said["responses"].get(str(answer.status_code))
    if said is None or answer.status_code >= 500:
        return f"{operation}: {answer.status_code} {answer.text[:300]}"
    if "$ref" in said:
        said = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
    kind = answer.headers.get("content-type", "").replace("; charset=utf-8", "")
    contents = {name.partition(";")[0]: content for name, content in said.get("content", {}).items()}
    if (kind or answer.content) and kind not in contents and not answer.is_redirect:
        return f"{operation}: {answer.status_code} with {kind!r}"
    if kind.endswith(("/json", "+json")):
        schema = contents[kind]["schema"] | {"components": document["components"]}
        found = [error.message for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(answer.json())]
        return f"{operation}: {answer.status_code} {found}" if found else None
    return None


async def send(api: Api, operation: Operation, tenant: TenantApi, key: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    path = operation.filled({"tenant": tenant.id})
    body = operation.body
    if operation.path == "/portal":
        return await api.client.post(path, data=body, headers=headers)
    return await api.client.request(operation.method, path, json=body, headers=headers)


@pytest.mark.slow
async def test_each_example_is_answered_as_the_document_says(api: Api, document: dict[str, Any]) -> None:
    fern, kiln = await api.tenant(), await api.tenant()
    await fern.customer()
    wrong, worked = [], set()
    for operation in operations(document):
        own = fern.key if "{tenant}" in operation.path else api.key
        answer = await send(api, operation, fern, own)
        wrong.append(strays(document, operation, answer))
        if answer.status_code < 400:
            worked.add(operation.name)
        if operation.path.startswith("/v1/"):
            refused = await send(api, operation, fern, kiln.key)
            wrong.append(strays(document, operation, refused))
            assert refused.status_code == (404 if "{tenant}" in operation.path else 403), operation
    assert [each for each in wrong if each] == []
    total = len(operations(document))
    assert len(worked) > total * 0.6, f"{len(worked)} of {total} examples did something"
