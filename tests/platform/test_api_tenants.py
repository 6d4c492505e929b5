"""Tenants are made once, with the account that Stripe made or that they had."""

from typing import Any

import pytest

from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, ORIGIN, Api, Sandbox, TenantApi, problem, running_api

NEW: dict[str, Any] = {"name": "Fern", "country": "DE"}


async def count(api: Api) -> int:
    return int((await api.sql("select count(*) from tenants"))[0]["count"])


async def test_a_tenant_gets_an_account_and_a_key(api: Api) -> None:
    reply = await api.call(
        "POST", "/v1/tenants", NEW | {"return_origins": [f"{ORIGIN}/"], "application_fee_percent": 2.5}
    )
    assert reply.status_code == 201
    made = reply.json()
    assert made["charge_type"] == "destination"
    assert made["account"].startswith("acct_")
    assert made["return_origins"] == [ORIGIN]
    assert made["application_fee_percent"] == 2.5
    shown = (await api.call("GET", f"/v1/tenants/{made['id']}", key=made["key"])).json()
    assert shown == {name: value for name, value in made.items() if name != "key"}
    account = await api.sandbox.call("GET", f"/v1/accounts/{made['account']}")
    assert account["metadata"] == {"colonnade_tenant": made["id"]}


async def test_repeating_a_creation_answers_the_same_and_makes_one(api: Api) -> None:
    first = await api.call("POST", "/v1/tenants", NEW, idempotency_key="fern-1")
    again = await api.call("POST", "/v1/tenants", NEW, idempotency_key="fern-1")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert (await api.call("GET", f"/v1/tenants/{first.json()['id']}", key=again.json()["key"])).status_code == 200
    same = await api.sql("select count(*) from tenants where idempotency_key = 'fern-1'")
    assert same[0]["count"] == 1


async def test_a_repeated_key_with_another_body_is_refused(api: Api) -> None:
    assert (await api.call("POST", "/v1/tenants", NEW, idempotency_key="fern-2")).status_code == 201
    before = await count(api)
    other = await api.call("POST", "/v1/tenants", NEW | {"name": "Other"}, idempotency_key="fern-2")
    problem(other, 409, "Idempotency-Key")
    assert await count(api) == before


@pytest.mark.alone
async def test_a_lost_answer_of_stripe_makes_no_second_account(api: Api) -> None:
    await api.sandbox.fail(next=3, status=500, after=True)
    problem(await api.call("POST", "/v1/tenants", NEW, idempotency_key="fern-3"), 503)
    await api.sandbox.fail()
    reply = await api.call("POST", "/v1/tenants", NEW, idempotency_key="fern-3")
    listed = await api.sandbox.call("GET", "/v1/accounts")
    assert reply.status_code == 201
    assert [account["id"] for account in listed["data"]] == [reply.json()["account"]]


@pytest.mark.alone
async def test_a_repeated_creation_expects_its_account_anew(api: Api) -> None:
    """Events of an account that nobody expects are put into quarantine at once."""
    await api.sandbox.fail(next=6, status=503)
    problem(await api.call("POST", "/v1/tenants", NEW, idempotency_key="fern-5"), 503)
    one = "where idempotency_key = 'fern-5'"
    await api.sql(f"update tenants set updated_at = now() - interval '2 hours' {one}")
    problem(await api.call("POST", "/v1/tenants", NEW, idempotency_key="fern-5"), 503)
    await api.sandbox.fail()
    (reserved,) = await api.sql(f"select updated_at > now() - interval '1 hour' as expected from tenants {one}")
    assert reserved["expected"]


async def test_a_tenant_whose_creation_stopped_halfway_is_finished_by_the_repeat(api: Api) -> None:
    await api.sandbox.fail(next=3, status=503)
    problem(await api.call("POST", "/v1/tenants", NEW, idempotency_key="fern-4"), 503)
    await api.sandbox.fail()
    (reserved,) = await api.sql("select public_id, stripe_account from tenants where idempotency_key = 'fern-4'")
    assert reserved["stripe_account"] is None
    reply = await api.call("POST", "/v1/tenants", NEW, idempotency_key="fern-4")
    assert reply.status_code == 201
    assert reply.json()["id"] == reserved["public_id"]


async def test_a_failed_creation_that_nobody_can_repeat_leaves_nothing(
    shared_database: ScratchDatabase, sandbox: Sandbox
) -> None:
    async with running_api(shared_database, sandbox, stripe=NOWHERE) as api:
        before = await count(api)
        reply = await api.call("POST", "/v1/tenants", NEW)
        problem(reply, 503)
        assert int(reply.headers["retry-after"]) > 0
        assert await count(api) == before


async def test_an_account_is_adopted_once(api: Api) -> None:
    account = (await api.sandbox.call("POST", "/v1/accounts", {"type": "standard", "country": "DE"}))["id"]
    body = {"name": "Kiln", "charge_type": "direct", "account": account}
    made = await api.call("POST", "/v1/tenants", body)
    assert made.status_code == 201
    assert made.json()["account"] == account
    before = await count(api)
    problem(await api.call("POST", "/v1/tenants", body), 409, "account")
    problem(await api.call("POST", "/v1/tenants", body, idempotency_key="another"), 409, "account")
    assert await count(api) == before
    assert await api.sandbox.requests(path=f"/v1/accounts/{account}") == []


async def test_a_repeated_adoption_answers_the_same(api: Api) -> None:
    account = (await api.sandbox.call("POST", "/v1/accounts", {"type": "standard", "country": "DE"}))["id"]
    body = {"name": "Kiln", "account": account}
    first = await api.call("POST", "/v1/tenants", body, idempotency_key="kiln-1")
    again = await api.call("POST", "/v1/tenants", body, idempotency_key="kiln-1")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()


async def test_an_account_that_is_not_connected_is_not_adopted(api: Api) -> None:
    before = await count(api)
    reply = await api.call("POST", "/v1/tenants", {"name": "Fern", "account": "acct_ofanotherplatform"})
    problem(reply, 400, "account")
    assert await count(api) == before


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 1}, "name"),
        ({"charge_type": "indirect"}, "charge_type"),
        ({"account": "cus_1"}, "account"),
        ({"country": "de"}, "country"),
        ({"email": "nobody"}, "email"),
        ({"connect": "oauth"}, "country"),
        ({"account": "acct_1"}, "country"),
        ({"country": None, "connect": "oauth", "email": "fern@shop.example"}, "email"),
        ({"application_fee_percent": 100.5}, "application_fee_percent"),
        ({"application_fee_percent": 1.234}, "application_fee_percent"),
        ({"return_origins": ["http://shop.example"]}, "return_origins[0]"),
        ({"return_origins": [ORIGIN, "https://shop.example/path"]}, "return_origins[1]"),
        ({"return_origins": ["https://shop.example?x"]}, "return_origins[0]"),
        ({"return_origins": ["*"]}, "return_origins[0]"),
        ({"return_origins": ["https://*.shop.example"]}, "return_origins[0]"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_bad_input_is_named_and_writes_nothing(api: Api, change: dict[str, Any], param: str) -> None:
    before = await count(api)
    problem(await api.call("POST", "/v1/tenants", NEW | change), 400, param)
    assert await count(api) == before
    assert await api.sandbox.requests() == []


async def test_a_missing_name_is_named(api: Api) -> None:
    problem(await api.call("POST", "/v1/tenants", {"country": "DE"}), 400, "name")


async def test_a_tenant_is_changed_field_by_field(api: Api, fern: TenantApi) -> None:
    changed = await fern.call("PATCH", "", {"return_origins": ["https://b.example", "https://a.example"]})
    assert changed.json() == await fern.get("")
    assert changed.json()["return_origins"] == ["https://a.example", "https://b.example"]
    assert changed.json()["name"] == "Fern"
    platform = api.key
    charged = (await fern.call("PATCH", "", {"application_fee_percent": 1.5, "event_weight": 5}, key=platform)).json()
    assert (charged["application_fee_percent"], charged["event_weight"]) == (1.5, 5)
    assert charged["return_origins"] == changed.json()["return_origins"]
    cleared = await fern.call("PATCH", "", {"application_fee_percent": None}, key=platform)
    assert (cleared.json()["application_fee_percent"], cleared.json()["event_weight"]) == (None, 5)
    for weight in (0, 101, None, 1.5):
        problem(await fern.call("PATCH", "", {"event_weight": weight}, key=platform), 400, "event_weight")
    problem(await fern.call("PATCH", "", {"charge_type": "direct"}), 400, "charge_type")
    problem(await fern.call("PATCH", "", {"name": ""}), 400, "name")
    problem(await fern.call("PATCH", "", {"name": "a\x00b"}), 400, "name")
    assert await fern.get("") == cleared.json()


@pytest.mark.parametrize("field", ["application_fee_percent", "event_weight"])
async def test_a_tenant_changes_neither_the_platforms_fee_nor_its_own_share(
    api: Api, fern: TenantApi, field: str
) -> None:
    set_by_platform = (await fern.call("PATCH", "", {field: 10}, key=api.key)).json()
    problem(await fern.call("PATCH", "", {"name": "Cheap", field: 1}), 403, field)
    if field == "application_fee_percent":
        problem(await fern.call("PATCH", "", {field: None}), 403, field)
    assert await fern.get("") == set_by_platform


async def test_tenants_are_listed_newest_first_page_by_page(api: Api) -> None:
    made = [(await api.tenant(name=f"T{number}")).id for number in range(3)]
    seen: list[str] = []
    after: str | None = None
    while len(seen) < 3:
        reply = (await api.call("GET", "/v1/tenants?limit=2" + (f"&after={after}" if after else ""))).json()
        seen += [row["id"] for row in reply["data"]]
        after = reply["next"]
    assert seen[:3] == made[::-1]
    problem(await api.call("GET", "/v1/tenants?after=nonsense!"), 400, "after")
    problem(await api.call("GET", "/v1/tenants?limit=0"), 400, "limit")
    problem(await api.call("GET", "/v1/tenants?limit=x"), 400, "limit")


async def test_an_onboarding_link_works_again_and_again(api: Api, fern: TenantApi) -> None:
    reply = await fern.call("POST", "/onboarding-links", {"return_url": f"{ORIGIN}/done"})
    assert reply.status_code == 201
    path = reply.json()["url"].removeprefix("http://127.0.0.1:8000")
    first, second = [await api.call("GET", path, key="") for _ in range(2)]
    assert first.status_code == second.status_code == 303
    assert first.headers["location"] != second.headers["location"]
    assert first.headers["location"].startswith(api.sandbox.url)


async def test_a_forged_onboarding_link_is_refused(api: Api, fern: TenantApi) -> None:
    url: str = (await fern.call("POST", "/onboarding-links", {"return_url": f"{ORIGIN}/done"})).json()["url"]
    path = url.removeprefix("http://127.0.0.1:8000")
    for forged in (path[:-6] + "AAAAAA", "/onboarding/x", "/onboarding/x/return"):
        reply = await api.call("GET", forged, key="")
        assert reply.status_code == 401
        assert "ask for a new one" in reply.text
    problem(await fern.call("POST", "/onboarding-links", {"return_url": "javascript:alert(1)"}), 400, "return_url")
    problem(await fern.call("POST", "/onboarding-links", {"return_url": "https://evil.example/"}), 400, "return_url")


async def test_readiness_says_in_words_what_is_due(api: Api, fern: TenantApi) -> None:
    ready = await fern.get("/readiness")
    assert ready["state"] == "onboarding"
    assert not ready["charges_enabled"]
    assert ready["requirements"]
    for requirement in ready["requirements"]:
        assert requirement["words"]
        assert requirement["due"] in {"past_due", "currently_due", "eventually_due"}


async def test_readiness_of_an_account_that_left_is_disconnected(api: Api, fern: TenantApi) -> None:
    await api.sandbox.call("DELETE", f"/v1/accounts/{fern.account}")
    assert (await fern.get("/readiness"))["state"] == "disconnected"


async def test_readiness_without_stripe_is_unavailable(shared_database: ScratchDatabase, fern: TenantApi) -> None:
    async with running_api(shared_database, fern.api.sandbox, stripe=NOWHERE) as down:
        reply = await down.call("GET", f"/v1/tenants/{fern.id}/readiness", key=fern.key)
        problem(reply, 503)
        assert int(reply.headers["retry-after"]) > 0
