"""One event with its journey; release, ignore and replay of many; retention; the backlog in metrics and readiness."""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from colonnade.commands.events import _pruned
from colonnade.commands.services import opened
from colonnade.database.connections import connect
from colonnade.database.roles import Duty
from colonnade.observability import metrics_server
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks import retention
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.extensions import Extensions
from colonnade.webhooks.retention import prune
from colonnade_tenants.handlers import HANDLERS
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import SETTINGS, Admin, Running, admin, environment, event, free_port, web
from tests.platform.test_cli import colonnade
from tests.platform.test_webhooks_events import listed, seeded, settle, tenant_key

pytestmark = pytest.mark.slow


async def work(database: ScratchDatabase, handlers: Mapping[str, Any] = HANDLERS) -> None:
    """Process what is due."""
    gateway = StripeGateway(SETTINGS)
    try:
        async with asyncpg.create_pool(
            database.service_url, min_size=1, max_size=1, server_settings={"role": str(Duty.WORKER)}
        ) as pool:
            while await Dispatcher(gateway, handlers, Extensions(gateway)).batch(pool):
                pass
    finally:
        await gateway.close()


async def handled(event: Any, tenant: Any, stripe: Any) -> None:
    """Finds the event good."""


async def broken(event: Any, tenant: Any, stripe: Any) -> None:
    raise ValueError("not this one")


async def test_an_event_is_shown_with_its_payload_and_journey(
    running: Running, shared_database: ScratchDatabase
) -> None:
    client, db = running
    tenant = await db.tenant("acct_anna")
    sent = event("customer.updated", {"id": "cus_1", "object": "customer", "on_behalf_of": "acct_anna"})
    await client.deliver(sent)
    waiting = (await client.call("GET", f"/v1/events/{sent['id']}")).json()
    assert [step["what"] for step in waiting["journey"]] == ["received", "waiting"]
    await work(shared_database, {"customer.updated": handled})
    await client.call("POST", f"/v1/events/{sent['id']}/replay")
    await work(shared_database, {"customer.updated": handled})
    answer = await client.call("GET", f"/v1/events/{sent['id']}")
    assert answer.status_code == 200
    shown = answer.json()
    assert shown["payload"] == sent
    assert (shown["state"], shown["tenant"], shown["effects"]) == ("done", "ten_acct_anna", [])
    assert [step["what"] for step in shown["journey"]] == ["received", "replayed", "attributed", "handled"]
    received, replayed, attributed, _ = shown["journey"]
    assert (received["by"], attributed["by"], attributed["detail"]) == ("platform", "on_behalf_of", "ten_acct_anna")
    assert replayed["by"].startswith("key_")
    assert shown["evidence"] == [
        {"rung": "on_behalf_of", "key": "acct_anna", "tenant": "ten_acct_anna"},
        {"rung": "customer", "key": "cus_1", "tenant": "ten_acct_anna"},
    ]
    key = await tenant_key(db, tenant)
    seen = (await client.call("GET", f"/v1/tenants/ten_acct_anna/events/{sent['id']}", key)).json()
    journey = [received, replayed | {"by": None}, *shown["journey"][2:]]
    assert seen == shown | {"evidence": None, "journey": journey}


async def test_effects_are_the_entitlements_that_the_event_changed(running: Running) -> None:
    client, db = running
    ids, anna, _ = await seeded(client, db)
    await db.connection.execute(
        """
        with customer as (
            insert into customers (tenant_id, id, public_id, reference)
            overriding system value values ($1, 7, 'ecu_effects', 'ada') returning id
        )
        insert into entitlement_changes (tenant_id, customer_id, sequence, feature, before, after, cause)
        select $1, id, 1, 'seats', null, '[{"value": 3}]'::jsonb, $2 from customer
        """,
        anna,
        ids["done"],
    )
    try:
        shown = (await client.call("GET", f"/v1/events/{ids['done']}")).json()
        (effect,) = shown["effects"]
        assert (effect["customer"], effect["feature"], effect["after"]) == ("ada", "seats", [{"value": 3}])
        assert (await client.call("GET", f"/v1/events/{ids['dead']}")).json()["effects"] == []
    finally:
        await db.connection.execute("delete from entitlement_changes; delete from customers")


async def test_another_tenants_key_sees_no_event_of_the_first(running: Running) -> None:
    client, db = running
    ids, anna, bert = await seeded(client, db)
    of_anna, of_bert = await tenant_key(db, anna), await tenant_key(db, bert)
    assert (await client.call("GET", f"/v1/tenants/ten_acct_anna/events/{ids['done']}", of_anna)).status_code == 200
    for path in (f"/v1/tenants/ten_acct_anna/events/{ids['done']}", f"/v1/tenants/ten_acct_bert/events/{ids['done']}"):
        assert (await client.call("GET", path, of_bert)).status_code == 404
    # One that was attributed to nobody is no tenant's.
    assert (
        await client.call("GET", f"/v1/tenants/ten_acct_bert/events/{ids['quarantined']}", of_bert)
    ).status_code == 404
    for method, path in [
        ("GET", f"/v1/events/{ids['done']}"),
        ("POST", f"/v1/events/{ids['quarantined']}/release"),
        ("POST", f"/v1/events/{ids['dead']}/ignore"),
        ("POST", "/v1/events/replay"),
    ]:
        assert (await client.call(method, path, of_bert, {} if path.endswith("/replay") else None)).status_code == 403


async def test_a_tenant_sees_no_traceback_and_the_platform_team_does(
    running: Running, shared_database: ScratchDatabase
) -> None:
    client, db = running
    tenant = await db.tenant("acct_anna")
    sent = event("customer.updated", {"id": "cus_1", "on_behalf_of": "acct_anna"})
    await client.deliver(sent)
    await work(shared_database, {"customer.updated": broken})
    assert "not this one" in (await client.call("GET", f"/v1/events/{sent['id']}")).json()["error"]
    key = await tenant_key(db, tenant)
    shown = (await client.call("GET", f"/v1/tenants/ten_acct_anna/events/{sent['id']}", key)).json()
    assert (shown["state"], shown["error"]) == ("pending", None)


async def test_release_attributes_anew_once_the_tenant_is_there(
    running: Running, shared_database: ScratchDatabase
) -> None:
    client, db = running
    sent = event("customer.updated", {"id": "cus_1", "on_behalf_of": "acct_later"})
    await client.deliver(sent)
    await work(shared_database, {"customer.updated": handled})
    assert (await db.row(sent["id"]))["state"] == "quarantined"
    tenant = await db.tenant("acct_later")
    released = await client.call("POST", f"/v1/events/{sent['id']}/release")
    assert (released.status_code, released.json()["state"]) == (202, "pending")
    await work(shared_database, {"customer.updated": handled})
    row = await db.row(sent["id"])
    assert (row["state"], row["tenant_id"]) == ("done", tenant)
    assert [each["action"] for each in json.loads(row["actions"])] == ["released"]
    assert (await client.call("POST", f"/v1/events/{sent['id']}/release")).status_code == 409


@pytest.mark.parametrize(("endpoint", "account"), [("platform", "acct_anna"), ("connect", None)])
async def test_the_secret_that_verified_bounds_which_accounts_may_be_named(
    running: Running, shared_database: ScratchDatabase, endpoint: str, account: str | None
) -> None:
    client, db = running
    await db.tenant("acct_anna")
    sent = event("customer.updated", {"id": "cus_1", "on_behalf_of": "acct_anna"})
    await client.deliver(sent | ({"account": account} if account else {}), endpoint)
    await work(shared_database, {"customer.updated": handled})
    row = await db.row(sent["id"])
    shown = (await client.call("GET", f"/v1/events/{sent['id']}")).json()
    assert {"rung": "on_behalf_of", "key": "acct_anna", "tenant": "ten_acct_anna"} in shown["evidence"]
    assert (row["state"], row["tenant_id"]) == ("quarantined", None)
    assert f"{endpoint.title() if endpoint == 'connect' else endpoint} endpoint" in row["reason"]


async def test_what_is_ignored_stays_out_until_it_is_replayed(running: Running) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    for state in ("quarantined", "dead", "pending"):
        ignored = await client.call("POST", f"/v1/events/{ids[state]}/ignore")
        assert (ignored.status_code, ignored.json()["state"]) == (200, "ignored")
    for state in ("done", "ignored", "dead"):
        assert (await client.call("POST", f"/v1/events/{ids[state]}/ignore")).status_code == 409
    shown = (await client.call("GET", f"/v1/events/{ids['dead']}")).json()
    assert [step["what"] for step in shown["journey"]] == ["received", "ignored", "attributed"]
    assert (await client.call("POST", f"/v1/events/{ids['dead']}/replay")).status_code == 202
    assert (await db.row(ids["dead"]))["state"] == "pending"


@pytest.mark.parametrize("action", ["release", "ignore", "replay"])
async def test_an_action_on_an_unknown_event_is_404(running: Running, action: str) -> None:
    client, _ = running
    answer = await client.call("POST", f"/v1/events/evt_nobody/{action}")
    assert (answer.status_code, answer.json()["param"]) == (404, "event")
    assert (await client.call("GET", "/v1/events/evt_nobody")).status_code == 404


async def test_a_dead_letter_of_unknown_shape_is_read_anew_when_replayed(running: Running) -> None:
    client, db = running
    sent = event(livemode="true")
    await client.deliver(sent)
    refused = await client.call("POST", f"/v1/events/{sent['id']}/replay")
    assert refused.status_code == 409
    assert "`$.livemode`" in refused.json()["detail"]
    # As if a newer version could read it: the same bytes, but readable.
    good = event(id=sent["id"], type="customer.updated", thing={"id": "cus_9"})
    await db.connection.execute("update inbox set body = $1", json.dumps(good).encode())
    assert (await client.call("POST", f"/v1/events/{sent['id']}/replay")).status_code == 202
    row = await db.row(sent["id"])
    assert (row["state"], row["type"], row["object_id"]) == ("pending", "customer.updated", "cus_9")
    assert row["created"] == datetime.fromtimestamp(good["created"], UTC)


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"state": "dead"}, {"dead"}),
    ({"type": "test.ignored"}, {"ignored"}),
    ({"tenant": "ten_acct_anna"}, {"done", "dead"}),
    ({"tenant": "ten_acct_anna", "state": "done"}, {"done"}),
    ({"from": "2000-01-01T00:00:00Z"}, {"done", "dead", "ignored", "quarantined"}),
    ({"to": "2000-01-01T00:00:00Z"}, set()),
]


@pytest.mark.parametrize(("chosen", "states"), FILTERS)
async def test_many_are_replayed_by_filter_and_a_dry_run_only_counts(
    running: Running, chosen: dict[str, Any], states: set[str]
) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    before = await db.inbox()
    counted = await client.call("POST", "/v1/events/replay", body=chosen | {"dry_run": True})
    assert counted.status_code == 202, counted.text
    assert counted.json() == {
        "dry_run": True,
        "events": len(states),
        "by_type": {f"test.{state}": 1 for state in states},
        "by_state": dict.fromkeys(states, 1),
    }
    assert await db.inbox() == before
    done = (await client.call("POST", "/v1/events/replay", body=chosen)).json()
    assert (done["dry_run"], done["events"]) == (False, len(states))
    for state, event_id in ids.items():
        row = await db.row(event_id)
        assert row["state"] == ("pending" if state in states else state)
        assert [each["action"] for each in json.loads(row["actions"])] == (["replayed"] if state in states else [])


async def test_replaying_many_goes_on_over_batches(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    client, db = running
    monkeypatch.setattr("colonnade.webhooks.actions.BATCH", 3)
    for _ in range(8):
        sent = event("test.many")
        await client.deliver(sent)
        await settle(db, sent["id"], "dead", None, "no")
    assert (await client.call("POST", "/v1/events/replay", body={"state": "dead"})).json()["events"] == 8
    assert {row["state"] for row in await db.inbox()} == {"pending"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "type"),
        ({"dry_run": True}, "type"),
        ({"tenant": "ten_nobody"}, "tenant"),
        ({"state": "lost"}, "state"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-01-01T00:00:00"}, "from"),
        ({"until": "2026-01-01T00:00:00Z"}, "until"),
    ],
)
async def test_a_replay_that_makes_no_sense_is_refused_and_changes_nothing(
    running: Running, body: dict[str, Any], param: str
) -> None:
    client, db = running
    await seeded(client, db)
    before = await db.inbox()
    answer = await client.call("POST", "/v1/events/replay", body=body)
    assert (answer.status_code, answer.json()["param"]) == (400, param)
    assert await db.inbox() == before


async def test_lists_are_filtered_by_stripes_time(running: Running) -> None:
    client, _ = running
    old = event("test.old", created=1_700_000_000)
    new = event("test.new", created=1_700_000_100)
    for sent in (old, new):
        await client.deliver(sent)
    assert await listed(client, "/v1/events?from=2023-11-14T22:15:00Z") == [new["id"]]
    assert await listed(client, "/v1/events?to=2023-11-14T22:15:00Z") == [old["id"]]
    assert await listed(client, "/v1/events?from=2023-11-14T22:13:20%2B00:00&to=2023-11-14T22:15:00Z") == [old["id"]]
    for query, param in (("from=soon", "from"), ("to=2026-01-01T00:00", "to")):
        answer = await client.call("GET", f"/v1/events?{query}")
        assert (answer.status_code, answer.json()["param"]) == (400, param)


async def age(db: Admin, days: float) -> None:
    await db.connection.execute("update inbox set received_at = now() - $1::interval", timedelta(days=days))


async def test_retention_deletes_what_is_settled_and_old_alone(
    running: Running, shared_database: ScratchDatabase
) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    worker = await connect(shared_database.service_url, Duty.WORKER)
    try:
        await age(db, 89)
        assert await prune(worker, 90) == 0
        await age(db, 91)
        assert await prune(worker, 90, batch=1) == 2
    finally:
        await worker.close()
    left = {row["event_id"] for row in await db.inbox()}
    assert left == {ids[state] for state in ("quarantined", "dead", "pending")}


async def test_an_event_is_known_as_a_repetition_for_as_long_as_stripe_may_send_it(
    running: Running, shared_database: ScratchDatabase
) -> None:
    client, db = running
    sent = event("test.twice")
    await client.deliver(sent)
    await settle(db, sent["id"], "done")
    await age(db, 30.5)
    worker = await connect(shared_database.service_url, Duty.WORKER)
    try:
        await prune(worker, 31)  # the least that settings allow
    finally:
        await worker.close()
    assert (await client.deliver(sent)).status_code == 200
    (row,) = await db.inbox()
    assert row["state"] == "done"


def gauge(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


async def test_metrics_show_the_backlog_and_its_age(running: Running) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    await db.connection.execute("update inbox set not_before = now() - interval '100 s' where state = 'pending'")
    text = (await client.client.get("/metrics")).text
    for state in ("pending", "quarantined", "dead"):
        assert gauge(text, f'colonnade_inbox_events{{state="{state}"}}') == 1
    assert 100 <= gauge(text, "colonnade_inbox_oldest_seconds") < 130
    assert gauge(text, 'colonnade_inbox_events{state="retrying"}') == 0
    # What waits for its next try is not due.
    await settle(db, ids["pending"], "pending")
    text = (await client.client.get("/metrics")).text
    assert gauge(text, "colonnade_inbox_oldest_seconds") == 0
    assert gauge(text, 'colonnade_inbox_events{state="retrying"}') == 1


async def test_types_without_a_handler_share_a_label(running: Running, shared_database: ScratchDatabase) -> None:
    client, db = running
    await db.tenant("acct_anna")
    await client.deliver(event("never.heard.of.1"))
    handled_type = sorted(HANDLERS)[0]
    await client.deliver(event(handled_type, {"id": "x_1", "on_behalf_of": "acct_anna"}))
    await work(shared_database, {handled_type: handled})
    text = (await client.client.get("/metrics")).text
    assert "never.heard.of" not in text
    assert gauge(text, 'colonnade_events_stored_total{endpoint="platform",type="other"}') >= 1
    assert gauge(text, f'colonnade_events_stored_total{{endpoint="platform",type="{handled_type}"}}') >= 1
    assert gauge(text, f'colonnade_event_lag_seconds_count{{type="{handled_type}"}}') >= 1


@pytest.mark.parametrize(("limit", "overdue", "status"), [(60, 100, 503), (200, 100, 200), (None, 10_000, 200)])
async def test_readiness_turns_red_at_the_configured_age(
    shared_database: ScratchDatabase, limit: int | None, overdue: int, status: int
) -> None:
    settings = Settings(
        stripe_api_key="sk_test_1",
        stripe_platform_webhook_secrets=SETTINGS.stripe_platform_webhook_secrets,
        ready_backlog_seconds=limit,
    )
    async with admin(shared_database) as db, web(shared_database, settings) as client:
        await db.clear()
        await client.deliver(event())
        await db.connection.execute("update inbox set not_before = now() - make_interval(secs => $1)", overdue)
        answer = await client.client.get("/health/ready")
        assert answer.status_code == status
        if status == 503:
            assert "worker" in answer.json()["checks"]["inbox"]
            assert {answer.json()["checks"][name] for name in ("database", "migrations")} == {"ok"}


def test_the_worker_shows_its_own_metrics() -> None:
    port = free_port()
    with metrics_server("127.0.0.1", port):
        assert "colonnade_events_processed" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    with metrics_server("127.0.0.1", None), pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)


@pytest.mark.slow
async def test_the_command_line_lists_shows_and_acts(
    running: Running, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    settings = {name.removeprefix("COLONNADE_"): text for name, text in environment(shared_database, tmp_path).items()}

    async def events(*arguments: str) -> Any:
        return await asyncio.to_thread(colonnade, "events", *arguments, **settings)

    said = await events("list", "--state", "dead", "--json")
    assert said.returncode == 0, said.stderr
    assert [each["id"] for each in json.loads(said.stdout)["data"]] == [ids["dead"]]
    table = await events("list", "--tenant", "ten_acct_anna")
    assert (ids["done"] in table.stdout, ids["ignored"] in table.stdout) == (True, False)
    shown = json.loads((await events("show", ids["dead"], "--json")).stdout)
    assert shown["payload"]["id"] == ids["dead"]
    assert ids["dead"] in (await events("show", ids["dead"])).stdout
    assert json.loads((await events("release", ids["quarantined"], "--json")).stdout)["state"] == "pending"
    assert "is ignored" in (await events("ignore", ids["dead"])).stderr
    counted = json.loads((await events("replay", "--type", "test.done", "--dry-run", "--json")).stdout)
    assert (counted["events"], (await db.row(ids["done"]))["state"]) == (1, "done")
    assert (await events("replay", ids["done"])).returncode == 0
    row = await db.row(ids["done"])
    assert (row["state"], json.loads(row["actions"])[0]["by"]) == ("pending", "command line")
    logged = await db.connection.fetch("select * from audit_log where by_id = 'command line' order by id")
    assert [(line["action"], line["target"]) for line in logged] == [
        ("event.released", f"events/{ids['quarantined']}/release"),
        ("event.ignored", f"events/{ids['dead']}/ignore"),
        ("event.replayed", f"events/{ids['done']}/replay"),
    ]
    for wrong, code in ((("replay",), 2), (("replay", ids["done"], "--state", "dead"), 2), (("show", "evt_nobody"), 1)):
        ended = await events(*wrong)
        assert (ended.returncode, "Traceback" in ended.stderr) == (code, False)
    await age(db, 100)
    assert "2 events" in (await events("prune")).stderr
    pruned = await db.connection.fetch("select by_id, after from audit_log where action = 'events.pruned'")
    assert [(line["by_id"], json.loads(line["after"])["deleted"]) for line in pruned] == [("command line", 2)]


async def test_what_was_pruned_before_an_error_is_in_the_audit_log(
    running: Running, shared_database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, db = running
    ids, *_ = await seeded(client, db)
    await age(db, 100)
    younger = "update inbox set received_at = received_at + interval '1 day' where event_id = $1"
    await db.connection.execute(younger, ids["ignored"])
    await db.connection.execute(
        f"""
        create function keep() returns trigger language plpgsql as $$ begin raise 'kept'; end $$;
        create trigger keep before delete on inbox for each row
            when (old.event_id = '{ids["ignored"]}') execute function keep();
        """
    )
    monkeypatch.setitem(retention.batches.__kwdefaults__, "batch", 1)
    settings = Settings(stripe_api_key="sk_test_any", secret_key="k" * 32)
    try:
        async with opened(settings, shared_database.service_url) as services:
            with pytest.raises(asyncpg.RaiseError, match="kept"):
                await _pruned(services, 90)
    finally:
        await db.connection.execute("drop trigger keep on inbox; drop function keep()")
    (line,) = await db.connection.fetch(
        "select after from audit_log where action = 'events.pruned' order by id desc limit 1"
    )
    assert json.loads(line["after"]) == {"deleted": 1, "older_than_days": 90, "whole": False}
