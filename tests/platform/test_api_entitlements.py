"""Overrides, history and explanations by API: now, as believed, as corrected, and in future."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade_tenants.events import Event
from colonnade_tenants.handlers import HANDLERS
from colonnade_tenants.partition import tenant_connection
from tests.platform.api import TenantApi, problem
from tests.tenants.billing import phase, schedule
from tests.tenants.conftest import StripeReads
from tests.tenants.payloads import MONTH, PERIOD_END, START, changed, event, item, moment, subscription

SEATS = {"kind": "quantity", "name": "Seats", "unit": "seats"}
BASIC = {"name": "Basic", "price": "price_basic", "grants": [{"feature": "seats", "value": 1, "per_unit": True}]}
PRO = {"name": "Pro", "product": "prod_pro", "grants": [{"feature": "seats", "value": 10}]}
DENY = {"feature": "seats", "effect": "deny", "reason": "Abuse", "author": "Grace"}


class Shop:
    """A tenant whose customer `ada` is the Stripe customer `cus_1`; its events are stored and handled."""

    def __init__(self, api: TenantApi, tenant: int, worker: Any) -> None:
        self.api, self.tenant, self._worker = api, tenant, worker

    async def hear(self, *events: Event, handled: bool = True) -> None:
        """What receiving and a worker do with each event."""
        for each in events:
            body = {"data": {"object": each.object, "previous_attributes": each.previous_attributes}}
            await self.api.api.sql(
                "insert into inbox (event_id, endpoint, type, object_id, created, livemode, body, state, tenant_id)"
                " values ($1, 'platform', $2, $3, $4, false, $5, 'done', $6)",
                f"{each.id}_{self.tenant}",
                each.type,
                msgspec.json.decode(each.object)["id"],
                each.created,
                msgspec.json.encode(body),
                self.tenant,
            )
            if handled:
                async with tenant_connection(self._worker, self.tenant) as connection:
                    await HANDLERS[each.type](each, connection, StripeReads())

    async def explain(self, **query: Any) -> dict[str, Any]:
        params = "&".join(f"{name}={_text(value)}" for name, value in query.items())
        found: dict[str, Any] = await self.api.get(f"/customers/ada/entitlements/explain?{params}")
        return found

    async def seats(self, **query: Any) -> tuple[str, Any]:
        """On what basis, and how many."""
        found = await self.explain(feature="seats", **query)
        return found["basis"], found["data"][0]["value"]

    async def now(self) -> datetime:
        (row,) = await self.api.api.sql("select clock_timestamp() as now")
        at: datetime = row["now"]
        return at


def _text(value: Any) -> str:
    return value.isoformat().replace("+", "%2B") if isinstance(value, datetime) else str(value).lower()


@pytest.fixture
async def shop(fern: TenantApi) -> AsyncIterator[Shop]:
    await fern.put("/features/seats", SEATS)
    await fern.put("/plans/basic", BASIC)
    await fern.put("/plans/pro", PRO)
    await fern.customer("ada")
    (row,) = await fern.api.sql("select id from tenants where public_id = $1", fern.id)
    await fern.api.sql("update plan_versions set effective_from = null where tenant_id = $1", row["id"])
    await fern.api.sql("update customers set stripe_customer = 'cus_1' where tenant_id = $1", row["id"])
    worker = await create_pool(fern.api.database.service_url, Duty.WORKER, size=1)
    yield Shop(fern, row["id"], worker)
    await worker.close()


def due(status: str, **changes: Any) -> Mapping[str, Any]:
    return subscription(status, item(quantity=3), **changes)


async def test_now_every_value_names_its_item_plan_version_rule_and_event(shop: Shop) -> None:
    await shop.hear(event("created", START, due("active", cancel_at=PERIOD_END + 10**9)))
    found = await shop.explain()
    assert (found["basis"], found["unknown"], len(found["data"])) == ("now", [], 1)
    (seats,) = found["data"]
    (reason,) = seats["because"]
    assert (seats["value"], seats["granted"], seats["combine"], seats["idle"]) == (3, True, "sum", [])
    assert {name: reason[name] for name in ("item", "subscription", "price", "plan", "plan_version", "matched")} == {
        "item": "si_1",
        "subscription": "sub_1",
        "price": "price_basic",
        "plan": "basic",
        "plan_version": 1,
        "matched": "price",
    }
    assert (reason["rule"], reason["ends_by"], reason["event"]) == ("active", "cancel_at", f"evt_created_{START}")
    assert (seats["last_change"]["sequence"], seats["last_change"]["cause"]) == (1, f"evt_created_{START}")


async def test_an_override_is_put_seen_everywhere_and_revoked(shop: Shop) -> None:
    await shop.hear(event("created", START, due("active")))
    first = await shop.api.call("POST", "/customers/ada/overrides", DENY, idempotency_key="once")
    assert first.status_code == 201
    denial = first.json()
    again = await shop.api.call("POST", "/customers/ada/overrides", DENY, idempotency_key="once")
    assert again.json() == denial
    assert denial["author_key"].startswith("key_")
    assert not (await shop.api.get("/customers/ada/entitlements/seats"))["granted"]
    (seats,) = (await shop.explain())["data"]
    assert [reason["source"] for reason in seats["because"]] == [denial["id"]]
    assert [reason["source"] for reason in seats["overruled"]] == ["si_1"]
    assert (await shop.api.get("/customers/ada/overrides"))["data"] == [denial]
    assert await shop.api.get(f"/customers/ada/overrides/{denial['id']}") == denial
    assert (await shop.api.call("DELETE", f"/customers/ada/overrides/{denial['id']}")).status_code == 204
    assert (await shop.api.get(f"/customers/ada/overrides/{denial['id']}"))["state"] == "revoked"
    history = (await shop.api.get("/customers/ada/entitlements/changes?limit=2"))["data"]
    assert [(row["sequence"], row["cause"]) for row in history] == [(n, f"override:{denial['id']}") for n in (3, 2)]


async def test_the_history_goes_page_by_page(shop: Shop) -> None:
    states = [due("active"), due("active", items=None), due("unpaid")]
    states[1] = subscription("active", item(quantity=4))
    await shop.hear(event("created", START, states[0]))
    await shop.hear(changed(START + 1, states[0], states[1]), changed(START + 2, states[1], states[2]))
    first = await shop.api.get("/customers/ada/entitlements/changes?limit=2")
    rest = await shop.api.get(f"/customers/ada/entitlements/changes?limit=2&after={first['next']}")
    found = first["data"] + rest["data"]
    assert [row["sequence"] for row in found] == [3, 2, 1]
    assert [row["before"] for row in found] == [found[1]["after"], found[2]["after"], []]
    assert found[1]["reasons"][0]["quantity"] == 4
    assert rest["next"] is None


async def test_the_past_is_what_was_believed_or_what_is_known_by_now(shop: Shop) -> None:
    active, unpaid = due("active"), due("unpaid")
    await shop.hear(event("created", START, active))
    believing = await shop.now()
    await shop.hear(changed(START + 60, active, unpaid))  # it was so long ago; we hear of it now
    assert (await shop.seats())[1] == 0
    assert await shop.seats(at=believing) == ("believed", 3)
    assert await shop.seats(at=believing, corrected=True) == ("corrected", 0)
    assert await shop.seats(at=moment(START + 59), corrected=True) == ("corrected", 3)
    assert await shop.seats(at=moment(START + 60), corrected=True) == ("corrected", 0)
    assert await shop.seats(at=moment(START + 59)) == ("believed", 0)  # nothing had been heard of then
    assert await shop.seats(at=moment(START - 1), corrected=True) == ("corrected", 0)
    (seats,) = (await shop.explain(at=believing))["data"]
    assert [reason["plan"] for reason in seats["because"]] == ["basic"]


async def test_a_correction_does_not_depend_on_the_order_in_which_events_came(shop: Shop) -> None:
    active, dues, ended = due("active"), due("past_due"), due("canceled", ended_at=START + 90)
    await shop.hear(changed(START + 60, active, dues))
    await shop.hear(event("deleted", START + 90, ended))
    found = await shop.explain(at=moment(START + 30), corrected=True)
    assert (found["unknown"], found["data"][0]["value"]) == (["sub_1"], 0), "its beginning is not known yet"
    await shop.hear(event("created", START, active))
    for at, seats in ((START + 30, 3), (START + 60, 3), (START + 89, 3), (START + 90, 0)):
        found = await shop.explain(at=moment(at), corrected=True)
        assert (found["unknown"], found["data"][0]["value"]) == ([], seats)
    (grace,) = (await shop.explain(at=moment(START + 60), corrected=True))["data"][0]["because"]
    assert (grace["rule"], grace["status"]) == ("grace", "past_due")
    assert grace["grace_until"] == moment(START + 60 + 7 * 86_400).isoformat().replace("+00:00", "Z")


async def test_the_future_is_what_will_hold_if_nothing_changes(shop: Shop) -> None:
    later = START + 10**9
    pro = subscription("active", item(price="price_pro", quantity=1), schedule="sub_sched_1")
    await shop.hear(event("created", START, pro))
    deferred = schedule(phases=[phase(START, later, "price_pro"), phase(later, later + MONTH, "price_basic", 2)])
    planned = Event(
        "evt_s", "subscription_schedule.created", moment(START), None, msgspec.Raw(msgspec.json.encode(deferred))
    )
    await shop.hear(planned)
    assert await shop.seats() == ("now", 10)
    assert await shop.seats(at=moment(later - 1)) == ("foreseen", 10)
    assert await shop.seats(at=moment(later)) == ("foreseen", 2)
    (seats,) = (await shop.explain(at=moment(later)))["data"]
    assert (seats["because"][0]["item"], seats["because"][0]["plan"]) == ("sub_sched_1", "basic")
    await shop.hear(changed(START + 5, pro, dict(pro) | {"cancel_at": later - 9}))
    assert await shop.seats(at=moment(later)) == ("foreseen", 0)


async def test_a_policy_is_put_read_and_guarded(shop: Shop) -> None:
    first = await shop.api.call("GET", "/policy")
    assert first.json() == {
        "grace": 7,
        "trials": True,
        "pause_collection": "grants",
        "version": 0,
        "effective_from": None,
    }
    trialing = due("trialing", trial_end=PERIOD_END + 10**9)
    await shop.hear(event("created", START, trialing))
    assert (await shop.seats())[1] == 3
    put = await shop.api.call("PUT", "/policy", {"trials": False}, if_match=first.headers["etag"])
    assert (put.status_code, put.json()["version"]) == (200, 1)
    problem(await shop.api.call("PUT", "/policy", {"grace": 1}, if_match=first.headers["etag"]), 412, "If-Match")
    (seats,) = (await shop.explain())["data"]
    assert (seats["value"], [idle["why"] for idle in seats["idle"]]) == (0, ["trial"])
    assert await shop.seats(at=moment(PERIOD_END + 10**9)) == ("foreseen", 3)
    assert [row["version"] for row in (await shop.api.get("/policy/versions"))["data"]] == [1, 0]
    assert (await shop.api.get("/recomputations"))["data"] == []


async def test_versions_of_plans_are_listed_and_a_stale_edit_is_refused(shop: Shop) -> None:
    read = await shop.api.call("GET", "/plans/basic")
    grants = [{"feature": "seats", "value": 2, "per_unit": True}]
    edited = await shop.api.call("PUT", "/plans/basic", BASIC | {"grants": grants}, if_match=read.headers["etag"])
    assert (edited.status_code, edited.json()["version"]) == (200, 2)
    problem(await shop.api.call("PUT", "/plans/basic", BASIC, if_match=read.headers["etag"]), 412, "If-Match")
    problem(await shop.api.call("DELETE", "/plans/basic", if_match=read.headers["etag"]), 412, "If-Match")
    versions = (await shop.api.get("/plans/basic/versions"))["data"]
    assert [(row["version"], row["grants"][0]["value"]) for row in versions] == [(2, 2), (1, 1)]
    assert versions[0]["effective_from"] is not None
    past = (datetime.fromisoformat(versions[0]["effective_from"]) - timedelta(days=1)).isoformat()
    problem(await shop.api.call("PUT", "/plans/basic", BASIC | {"effective_from": past}), 400, "effective_from")


BAD: list[tuple[str, str, Any, int, str | None]] = [
    ("POST", "/customers/ada/overrides", DENY | {"effect": "bless"}, 400, "effect"),
    ("POST", "/customers/ada/overrides", DENY | {"reason": ""}, 400, "reason"),
    ("POST", "/customers/ada/overrides", DENY | {"value": 1}, 400, "value"),
    ("POST", "/customers/ada/overrides", DENY | {"feature": "nope"}, 400, "feature"),
    ("POST", "/customers/ada/overrides", DENY | {"ends_at": "2020-01-01T00:00:00Z"}, 400, "ends_at"),
    ("POST", "/customers/ada/overrides", DENY | {"surprise": 1}, 400, "surprise"),
    ("POST", "/customers/nobody/overrides", DENY, 404, "reference"),
    ("GET", "/customers/ada/overrides/ovr_1", None, 404, "override"),
    ("DELETE", "/customers/ada/overrides/ovr_1", None, 404, "override"),
    ("GET", "/customers/ada/entitlements/explain?feature=nope", None, 404, "feature"),
    ("GET", "/customers/ada/entitlements/explain?at=yesterday", None, 400, "at"),
    ("GET", "/customers/ada/entitlements/explain?at=2026-01-01T00:00:00", None, 400, "at"),
    ("GET", "/customers/ada/entitlements/explain?corrected=true", None, 400, "corrected"),
    ("GET", "/customers/nobody/entitlements/explain", None, 404, "reference"),
    ("GET", "/customers/ada/entitlements/changes?after=eA", None, 400, "after"),
    ("PUT", "/policy", {"grace": -1}, 400, "grace"),
    ("PUT", "/policy", {"grace": "never"}, 400, "grace"),
    ("PUT", "/policy", {"pause_collection": "maybe"}, 400, "pause_collection"),
    ("PUT", "/policy", {"effective_from": "2020-01-01T00:00:00Z"}, 400, "effective_from"),
    ("PUT", "/features/explain", SEATS, 400, "key"),
    ("PUT", "/features/seats", SEATS | {"combine": "or"}, 400, "combine"),
    ("PUT", "/features/seats", SEATS | {"fallback": -1}, 400, "fallback"),
    ("GET", "/recomputations/rec_1", None, 404, "recomputation"),
]


async def test_bad_input_is_named_and_writes_nothing(shop: Shop) -> None:
    tables = ("entitlement_overrides", "entitlement_policies", "entitlement_changes", "feature_versions")
    counts = [f"(select count(*) from {table} where tenant_id = $1)" for table in tables]
    before = await shop.api.api.sql(f"select {', '.join(counts)}", shop.tenant)
    for method, path, body, status, param in BAD:
        problem(await shop.api.call(method, path, body), status, param)
    assert await shop.api.api.sql(f"select {', '.join(counts)}", shop.tenant) == before


async def test_another_tenant_sees_and_changes_nothing(shop: Shop, kiln: TenantApi) -> None:
    await shop.hear(event("created", START, due("active")))
    denial = (await shop.api.call("POST", "/customers/ada/overrides", DENY)).json()
    await kiln.customer("ada")
    paths = ["policy", "overrides", f"overrides/{denial['id']}", "entitlements/changes", "entitlements/explain"]
    for path in paths:
        whole = f"/{path}" if path == "policy" else f"/customers/ada/{path}"
        problem(await shop.api.call("GET", whole, key=kiln.key), 404, "tenant")
    problem(await shop.api.call("PUT", "/policy", {"grace": 0}, key=kiln.key), 404, "tenant")
    problem(await shop.api.call("POST", "/customers/ada/overrides", DENY, key=kiln.key), 404, "tenant")
    problem(await kiln.call("GET", f"/customers/ada/overrides/{denial['id']}"), 404, "override")
    problem(await kiln.call("DELETE", f"/customers/ada/overrides/{denial['id']}"), 404, "override")
    problem(await kiln.call("POST", "/customers/ada/overrides", DENY), 400, "feature")
    assert (await kiln.get("/customers/ada/entitlements/changes"))["data"] == []
    assert (await kiln.get("/customers/ada/entitlements/explain"))["data"] == []
    assert (await kiln.get("/policy"))["version"] == 0
    assert (await shop.api.get(f"/customers/ada/overrides/{denial['id']}"))["state"] == "active"
