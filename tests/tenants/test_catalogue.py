"""Features and plans: what is accepted, what is refused and why, and what a change does to those subscribed."""

from typing import Any

import pytest

from colonnade_tenants import catalogue
from colonnade_tenants.catalogue import Feature, Grant, Plan
from colonnade_tenants.entitlements.model import LARGEST
from colonnade_tenants.errors import Conflict, DomainError, Invalid, NotFound
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import START, event, item, subscription

EXPORT = Feature("export", "flag", "Export", combine="or")
PROJECTS = Feature(
    "projects", "limit", "Projects", unit="projects", description="Open at\nthe same time.", combine="max"
)
SEATS = Feature("seats", "quantity", "Seats", combine="sum")


async def with_features(tenant: Tenant) -> None:
    async with tenant.session() as session:
        for feature in (EXPORT, PROJECTS, SEATS):
            assert (await catalogue.put_feature(session, feature)).created


def plan(**changes: Any) -> Plan:
    grants = [Grant("export", True), Grant("projects", None), Grant("seats", 2, per_unit=True)]
    return Plan(**({"key": "pro", "name": "Pro", "price": "price_basic", "grants": grants} | changes))


async def refused(tenant: Tenant, action: Any, *arguments: Any) -> DomainError:
    before = {table: await tenant.rows(table) for table in ("features", "plans", "plan_grants")}
    with pytest.raises(DomainError) as caught:
        async with tenant.session() as session:
            await action(session, *arguments)
    assert {table: await tenant.rows(table) for table in before} == before, "something was written"
    return caught.value


async def test_a_feature_is_created_changed_read_and_deleted(mine: Tenant) -> None:
    await with_features(mine)
    renamed = Feature("export", "flag", "Export of everything", combine="or")
    async with mine.session() as session:
        assert not (await catalogue.put_feature(session, renamed)).created
        assert await catalogue.get_feature(session, "export") == renamed
        assert await catalogue.get_feature(session, "projects") == PROJECTS
        await catalogue.delete_feature(session, "export")
        with pytest.raises(NotFound):
            await catalogue.get_feature(session, "export")
        with pytest.raises(NotFound):
            await catalogue.delete_feature(session, "export")


async def test_lists_go_on_after_a_key(mine: Tenant) -> None:
    await with_features(mine)
    async with mine.session() as session:
        await catalogue.put_plan(session, plan(key="b"))
        await catalogue.put_plan(session, plan(key="a", price="price_2", grants=[]))
        assert await catalogue.list_features(session, limit=2) == [EXPORT, PROJECTS]
        assert await catalogue.list_features(session, after="projects", limit=2) == [SEATS]
        assert await catalogue.list_plans(session) == [plan(key="a", price="price_2", grants=[]), plan(key="b")]
        assert await catalogue.list_plans(session, after="a", limit=1) == [plan(key="b")]
        assert await catalogue.list_plans(session, after="b") == []


@pytest.mark.parametrize(
    ("feature", "param"),
    [
        (Feature("", "flag", "x"), "key"),
        (Feature("Upper", "flag", "x"), "key"),
        (Feature("-a", "flag", "x"), "key"),
        (Feature("a" * 65, "flag", "x"), "key"),
        (Feature("a\n", "flag", "x"), "key"),
        (Feature("a", "colour", "x"), "kind"),  # type: ignore[arg-type]
        (Feature("a", "flag", " "), "name"),
        (Feature("a", "flag", "nul \0"), "name"),
        (Feature("a", "flag", "x", unit="seats"), "unit"),
        (Feature("a", "limit", "x", description="\x07"), "description"),
    ],
)
async def test_a_feature_that_cannot_be_is_refused_by_field(mine: Tenant, feature: Feature, param: str) -> None:
    error = await refused(mine, catalogue.put_feature, feature)
    assert isinstance(error, Invalid)
    assert error.param == param


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"key": "a/b"}, "key"),
        ({"name": ""}, "name"),
        ({"price": None}, "price"),
        ({"product": "prod_1"}, "product"),
        ({"price": "prod_1"}, "price"),
        ({"price": "price 1"}, "price"),
        ({"price": None, "product": ""}, "product"),
        ({"price": None, "product": "price_1"}, "product"),
        ({"grants": [Grant("export", True), Grant("nope", True)]}, "grants[1].feature"),
        ({"grants": [Grant("export", True), Grant("export", True)]}, "grants[1].feature"),
        ({"grants": [Grant("export", False)]}, "grants[0].value"),
        ({"grants": [Grant("export", 1)]}, "grants[0].value"),
        ({"grants": [Grant("export", None)]}, "grants[0].value"),
        ({"grants": [Grant("export", True, per_unit=True)]}, "grants[0].per_unit"),
        ({"grants": [Grant("projects", -1)]}, "grants[0].value"),
        ({"grants": [Grant("projects", True)]}, "grants[0].value"),
        ({"grants": [Grant("projects", LARGEST + 1)]}, "grants[0].value"),
        ({"grants": [Grant("projects", None, per_unit=True)]}, "grants[0].per_unit"),
        ({"grants": [Grant("seats", None)]}, "grants[0].value"),
        ({"grants": [Grant("seats", -1)]}, "grants[0].value"),
    ],
)
async def test_a_plan_that_cannot_be_is_refused_by_field(mine: Tenant, changes: dict[str, Any], param: str) -> None:
    await with_features(mine)
    error = await refused(mine, catalogue.put_plan, plan(**changes))
    assert isinstance(error, Invalid)
    assert error.param == param


async def test_what_is_in_use_keeps_its_meaning(mine: Tenant) -> None:
    await with_features(mine)
    async with mine.session() as session:
        assert (await catalogue.put_plan(session, plan())).created
    kind = await refused(mine, catalogue.put_feature, Feature("seats", "limit", "Seats"))
    assert (type(kind), kind.param) == (Conflict, "kind")
    assert "'pro'" in kind.message
    assert isinstance(await refused(mine, catalogue.delete_feature, "seats"), Conflict)
    price = await refused(mine, catalogue.put_plan, plan(key="other"))
    assert (type(price), price.param) == (Conflict, "price")
    async with mine.session() as session:
        await catalogue.put_plan(session, plan(grants=[]))
        assert (await catalogue.put_feature(session, Feature("seats", "limit", "Seats"))).feature.version == 2


async def test_two_plans_of_products_do_not_collide(mine: Tenant) -> None:
    async with mine.session() as session:
        await catalogue.put_plan(session, plan(key="a", price=None, product="prod_a", grants=[]))
        await catalogue.put_plan(session, plan(key="b", price=None, product="own-choice", grants=[]))
    error = await refused(mine, catalogue.put_plan, plan(key="c", price=None, product="prod_a", grants=[]))
    assert (type(error), error.param) == (Conflict, "product")


async def test_a_plan_reaches_those_who_have_it_at_once(mine: Tenant) -> None:
    await with_features(mine)
    await mine.has_customer()
    await mine.handle(event("created", START, subscription("active", item(quantity=3))))
    assert await mine.rows("entitlements") == []

    async with mine.session() as session:
        await catalogue.put_plan(session, plan())
    checked = {answer.feature: answer.value for answer in (await mine.check()).entitlements}
    assert checked == {"export": True, "projects": None, "seats": 6}

    async with mine.session() as session:  # moved to a price that nobody has
        await catalogue.put_plan(session, plan(price="price_other"))
    checked = {answer.feature: answer.value for answer in (await mine.check()).entitlements}
    assert checked == {"export": False, "projects": 0, "seats": 0}

    async with mine.session() as session:
        await catalogue.put_plan(session, plan(price=None, product="prod_basic", grants=[Grant("export", True)]))
        await catalogue.delete_plan(session, "pro")
        with pytest.raises(NotFound):
            await catalogue.get_plan(session, "pro")
    assert await mine.granted() == {}
    history = sorted(await mine.rows("entitlement_changes"), key=lambda row: row["sequence"])
    causes = [row["cause"] for row in history]
    assert causes == ["plan:pro@1"] * 3 + ["plan:pro@2"] * 3 + ["plan:pro@3", "plan:pro@4"]
    await mine.check_history()
