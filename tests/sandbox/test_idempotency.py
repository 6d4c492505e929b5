"""Idempotency keys."""

import asyncio

from tests.sandbox.conftest import Wire


async def test_a_repeated_key_replays_the_first_answer(wire: Wire) -> None:
    first = await wire.post("/v1/customers", "name=Ann&email=a@example.com", Idempotency_Key="k")
    again = await wire.post("/v1/customers", "email=a%40example.com&name=Ann", Idempotency_Key="k")
    assert again.body == first.body
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert again.headers["request-id"] != first.headers["request-id"]
    assert "idempotent-replayed" not in first.headers
    assert len((await wire.get("/v1/customers")).body["data"]) == 1


async def test_a_key_with_other_parameters_or_path_is_refused(wire: Wire) -> None:
    await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
    other = await wire.post("/v1/customers", "name=Bob", Idempotency_Key="k")
    assert (other.status, other.error["type"]) == (400, "idempotency_error")
    assert "can only be used with the same parameters" in other.error["message"]
    elsewhere = await wire.post("/v1/products", "name=Ann", Idempotency_Key="k")
    assert "for the same endpoint" in elsewhere.error["message"]


async def test_a_refused_request_leaves_its_key_free(wire: Wire) -> None:
    assert (await wire.post("/v1/customers", "nom=Ann", Idempotency_Key="k")).status == 400
    assert (await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")).status == 200


async def test_an_executed_failure_is_replayed(wire: Wire) -> None:
    body = "payment_method=pm_card_chargeDeclined"
    first = await wire.post("/v1/customers", body, Idempotency_Key="k")
    again = await wire.post("/v1/customers", body, Idempotency_Key="k")
    assert (first.status, first.error["code"]) == (402, "card_declined")
    assert (again.status, again.headers["idempotent-replayed"]) == (402, "true")
    assert (await wire.get("/v1/customers")).body["data"] == []


async def test_a_key_in_flight_is_a_conflict(wire: Wire) -> None:
    await wire.control("faults", {"api": {"next": 1, "status": 0, "delay": 0.5}})
    slow = asyncio.create_task(wire.post("/v1/customers", "name=Ann", Idempotency_Key="k"))
    await asyncio.sleep(0.2)
    busy = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
    assert (busy.status, busy.error["code"]) == (409, "idempotency_key_in_use")
    assert (await slow).status == 200
    assert (await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")).status == 200


async def test_keys_belong_to_an_account(wire: Wire) -> None:
    account = (await wire.post("/v1/accounts", "type=express")).body["id"]
    own = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
    theirs = await wire.post("/v1/customers", "name=Bob", Idempotency_Key="k", Stripe_Account=account)
    assert (own.status, theirs.status) == (200, 200)


async def test_an_answer_lost_after_the_work_is_found_again_by_its_key(wire: Wire) -> None:
    await wire.control("faults", {"api": {"next": 1, "status": 500, "after": True}})
    lost = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
    found = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
    assert (lost.status, found.status) == (500, 200)
    assert found.headers["idempotent-replayed"] == "true"
    assert len((await wire.get("/v1/customers")).body["data"]) == 1


async def test_a_key_may_have_255_characters(wire: Wire) -> None:
    assert (await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k" * 255)).status == 200
    longer = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k" * 256)
    assert (longer.status, longer.error["type"]) == (400, "idempotency_error")


async def test_a_key_is_forgotten_after_a_day(wire: Wire) -> None:
    first = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
    await wire.control("advance", {"seconds": 24 * 3600 - 60})
    kept = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
    await wire.control("advance", {"seconds": 120})
    new = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
    assert kept.body["id"] == first.body["id"] != new.body["id"]
    assert "idempotent-replayed" not in new.headers


async def test_get_has_no_idempotency(wire: Wire) -> None:
    before = await wire.get("/v1/customers", Idempotency_Key="k")
    await wire.post("/v1/customers", "name=Ann")
    after = await wire.get("/v1/customers", Idempotency_Key="k")
    assert (len(before.body["data"]), len(after.body["data"])) == (0, 1)
