"""A unit's memory says at every moment what the database would, had each event written at once."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from colonnade_tenants.partition import Kind, Statement, TenantConnection
from colonnade_tenants.unit import Unit, Units
from tests.tenants.conftest import Tenant

_ALL = Statement(text("select subject, number from notification_counters where tenant_id = :tenant"))
_PUT = Statement(
    text("""
insert into notification_counters (tenant_id, subject, number) values (:tenant, :subject, :number)
on conflict (tenant_id, subject) do update set number = excluded.number
""")
)


async def _rows(tenant: TenantConnection) -> dict[int, int]:
    return {row["subject"]: row["number"] for row in await tenant.fetch(_ALL)}


async def _load(tenant: TenantConnection, keys: Sequence[int]) -> dict[int, int]:
    return {key: number for key, number in (await _rows(tenant)).items() if key in keys}


async def _save(tenant: TenantConnection, changed: Mapping[int, tuple[int | None, int]]) -> None:
    there = await _rows(tenant)
    assert {key: there.get(key) for key in changed} == {key: old for key, (old, _) in changed.items()}
    for key, (_, new) in changed.items():
        await tenant.execute(_PUT, subject=key, number=new)


NUMBERS = Kind(_load, _save)


class Step(NamedTuple):
    """`direct` runs a statement of the handler's own."""

    what: Literal["put", "get", "direct"]
    key: int
    number: int


class Given(NamedTuple):
    """An event: what its handler does, and whether it raises then."""

    steps: list[Step]
    fails: bool


STEPS = st.builds(Step, st.sampled_from(["put", "get", "direct"]), st.integers(1, 3), st.integers(1, 9))
EVENTS = st.lists(st.builds(Given, st.lists(STEPS, max_size=4), st.booleans()), max_size=6)


class Broken(Exception):
    """What a handler raises."""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
@example(events=[Given([Step("put", 1, 1)], fails=True), Given([Step("get", 1, 1)], fails=False)])
async def test_what_is_read_and_written_is_as_if_each_event_wrote_at_once(mine: Tenant, events: list[Given]) -> None:
    async with (
        mine.worker.acquire() as connection,
        connection.transaction(),
        Units(connection).tenant(mine.sibling().id) as unit,
    ):
        model: dict[int, int] = {}
        for each in events:
            model = await _handled(unit, each, model)
        await unit.flush()
        assert await _rows(unit) == model


async def _handled(unit: Unit, given: Given, before: dict[int, int]) -> dict[int, int]:
    """What there is after the event."""
    model = dict(before)

    async def handle() -> None:
        for step in given.steps:
            if step.what == "put":
                await unit.put(NUMBERS, step.key, step.number, model.get(step.key))
                model[step.key] = step.number
            elif step.what == "get":
                assert await unit.get(NUMBERS, step.key) == model.get(step.key)
            else:
                assert await _rows(unit) == model
        if given.fails:
            raise Broken

    if not given.fails:
        await unit.event(handle)
        return model
    with pytest.raises(Broken):
        await unit.event(handle)
    return before
