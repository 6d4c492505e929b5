"""One event, followed through a web and a worker process to the tenant's server, by what they send a collector."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.conftest import ScratchDatabase
from tests.platform.api import Sandbox
from tests.platform.collector import Collector, collecting
from tests.platform.consumer import consuming
from tests.platform.deliveries import environment, event, headers_for
from tests.platform.notifying import Notified, notified
from tests.platform.test_webhooks_server import serving
from tests.platform.test_worker_process import worker_process
from tests.tenants import payloads

pytestmark = pytest.mark.slow

SERVER, CLIENT, CONSUMER = 2, 3, 5
EMAIL = "ada@shop.example"


async def catalogue(fern: Notified) -> None:
    for path, body in (
        ("/features/export", {"kind": "flag", "name": "Export"}),
        ("/plans/basic", {"name": "Basic", "price": "price_basic", "grants": [{"feature": "export", "value": True}]}),
    ):
        reply = await fern.call("PUT", path, body)
        assert reply.status_code == 200, reply.text


async def test_an_event_is_one_trace_from_its_receipt_to_the_notification(
    database: ScratchDatabase, sandbox_url: str, tmp_path: Path
) -> None:
    sandbox = Sandbox(sandbox_url)
    async with notified(database) as fern, collecting() as collector, consuming() as shop:
        await catalogue(fern)
        await fern.listen(shop)
        account = fern.name.removeprefix("ten_")
        thing = payloads.subscription(on_behalf_of=account, transfer_data={"destination": account})
        thing["metadata"] = {"email": EMAIL}
        sent = event("customer.subscription.created", thing, created=payloads.START)
        body = json.dumps(sent).encode()
        environ = environment(database, tmp_path) | {
            "COLONNADE_NOTIFICATION_LOOPBACK": "true",
            "COLONNADE_STRIPE_API_KEY": sandbox.key,
            "COLONNADE_STRIPE_API_BASE": sandbox_url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        with (
            serving(database, tmp_path, "granian", **environ) as (web, port),
            worker_process(environ) as worker,
        ):
            url = f"http://127.0.0.1:{port}/webhooks/stripe/platform"
            async with httpx.AsyncClient(trust_env=False) as stripe:
                for _ in range(2):  # Stripe repeats what it has delivered
                    assert (await stripe.post(url, content=body, headers=headers_for(body))).status_code == 200
            await shop.until(2, within=60)
            for process in (web, worker):  # which send what is left before they end
                process.terminate()
                await asyncio.to_thread(process.wait, 30)
        check_trace(collector, str(sent["id"]), fern)


def check_trace(collector: Collector, event_id: str, fern: Notified) -> None:
    (root,) = [each for each in collector.spans if each.name == "event customer.subscription.created"]
    spans = [each for each in collector.spans if each.trace == root.trace]
    names = {each.id: each.name for each in spans}
    assert root.parent == ""
    assert len(names) == len(spans)
    assert Counter((each.service, names.get(each.parent, ""), each.name) for each in spans) == {
        ("colonnade-worker", "", "event customer.subscription.created"): 1,
        ("colonnade-web", root.name, "POST /webhooks/stripe/platform"): 2,
        ("colonnade-web", "POST /webhooks/stripe/platform", "store"): 2,
        ("colonnade-worker", root.name, "handle customer.subscription.created"): 1,
        ("colonnade-worker", "handle customer.subscription.created", "recompute"): 1,
        ("colonnade-worker", root.name, "notify subscription.changed"): 1,
        ("colonnade-worker", root.name, "notify entitlements.changed"): 1,
    }
    assert root.attributes["colonnade.event"] == event_id
    assert root.attributes["colonnade.outcome"] == "done"
    assert root.attributes["colonnade.tenant"] == fern.name
    (handled,) = [each for each in spans if each.kind == CONSUMER]
    assert handled.attributes["colonnade.attempt"] == 1
    assert handled.attributes["colonnade.rung"] == "on_behalf_of"
    assert {each.attributes["http.response.status_code"] for each in spans if each.kind in (SERVER, CLIENT)} == {200}
    assert all(each.start <= each.end for each in spans)
    assert not any(each.failed for each in spans)
    for secret in (EMAIL, "whsec_", "sk_test_", fern.key, "cus_", "price_basic"):
        assert secret.encode() not in collector.raw
