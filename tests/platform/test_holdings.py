"""Every table that tells tenants apart is exported and emptied, or named with a reason: none can be forgotten."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import LargeBinary

import colonnade_tenants.tables
from colonnade.accounts import exporting, removal
from colonnade.accounts.exporting import Subject
from colonnade.accounts.holdings import EMPTIED, EXPORTED, HOLDINGS, KEPT, OF_CUSTOMER, SIGNALS, TO_TENANT, WITHHELD
from colonnade.database import tables as platform
from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.errors import Invalid
from colonnade.web import cursor
from tests.conftest import ScratchDatabase
from tests.isolation.catalogue import tables
from tests.isolation.rows import seed

A, B = 7, 11
OF_TENANT = Subject(A, "ten_a")
TABLES = {**platform.metadata.tables, **colonnade_tenants.tables.metadata.tables}

# What no single customer is told apart by: the tenant's own catalogue, settings and work.
NOT_OF_CUSTOMERS = {
    *("account_connections", "api_keys", "audit_log", "branding", "branding_images", "connected_accounts"),
    *("entitlement_clocks", "readiness_changes", "tenant_readiness"),
    *("entitlement_policies", "feature_versions", "features", "former_accounts", "imports", "notification_endpoints"),
    *("plan_grants", "plan_objects", "plan_versions", "plans", "portal_configuration_states", "recomputations"),
    *("portal_configuration_versions", "portal_configurations", "portal_policies", "portal_rules", "portal_work"),
    *("signing_keys", "sweeps", "tenant_states", "tenants"),
}
# Bytes and digests that anybody may see, and why a tenant's endpoint was not reached.
OPEN = {
    ("notification_attempts", "error"),
    *(("branding_images", name) for name in ("content", "digest")),
    *((f"portal_configuration{end}", "content_hash") for end in ("s", "_versions")),
}


@pytest.fixture
async def admin(database: ScratchDatabase) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(database: ScratchDatabase) -> AsyncIterator[asyncpg.Pool]:
    async with await create_pool(database.service_url, Duty.PLATFORM, size=2) as pool:
        yield pool


async def export(pool: asyncpg.Pool, subject: Subject, after: str | None = None) -> list[dict[str, Any]]:
    place = exporting.place(subject, after)
    return [json.loads(line) async for line in exporting.lines(pool, subject, place)]


async def left(admin: asyncpg.Connection, tenant: int) -> set[str]:
    """The tables with rows of the tenant."""
    found = set()
    for table in await tables(admin):
        own = f"select exists (select from {table.name} where {table.tenant_column} = $1)"
        if table.tenant_column and not table.is_partition and await admin.fetchval(own, tenant):
            found.add(table.name)
    return found


async def test_a_tenant_is_exported_whole_and_leaves_nothing_and_its_neighbour_is_as_before(
    admin: asyncpg.Connection, pool: asyncpg.Pool
) -> None:
    await seed(admin, A, B)
    told = {table.name for table in await tables(admin) if table.tenant_column and not table.is_partition}
    assert {each.name for each in HOLDINGS} == told == await left(admin, A)
    assert {each.name for each in EXPORTED} == told - SIGNALS.keys()
    whole = await export(pool, OF_TENANT)
    header, rows, end = whole[0], whole[1:-1], whole[-1]
    assert {row["table"] for row in rows} == {each.name for each in EXPORTED} == set(header["counts"])
    assert end == {"end": True, "rows": len(rows)} == {"end": True, "rows": sum(header["counts"].values())}
    assert not {(row["table"], name) for row in rows for name in row["row"]} & WITHHELD.keys()
    for line in rows[::7]:
        rest = await export(pool, OF_TENANT, line["cursor"])
        assert rest[1:-1] == rows[rows.index(line) + 1 :]

    neighbour = await export(pool, Subject(B, "ten_b"))
    await admin.execute("update tenants set removal = 'deleting' where id = $1", A)
    async with pool.acquire() as connection:
        while await removal.advance(connection, A):
            pass
    assert await left(admin, A) == KEPT.keys() & told | {"tenants"}
    assert (await export(pool, Subject(B, "ten_b")))[1:] == neighbour[1:]
    row = await admin.fetchrow("select name, stripe_account, state from tenants where id = $1", A)
    assert tuple(row) == ("", None, "deleted")


def test_what_could_be_a_secret_is_withheld() -> None:
    telling = ("secret", "private", "digest", "fingerprint", "idempotency", "hash", "browser", "error")
    found = {
        (each.name, column.name)
        for each in EXPORTED
        for column in TABLES[each.name].columns
        if isinstance(column.type, LargeBinary) or any(word in column.name for word in telling)
    }
    mirrored = {pair for pair in found if pair[1] == "source_before"}
    assert found - WITHHELD.keys() - mirrored == OPEN
    assert WITHHELD.keys() <= {(name, column.name) for name, table in TABLES.items() for column in table.columns}


def test_what_names_who_acted_is_reduced_for_a_tenant() -> None:
    telling = re.compile(r"(^|_)(by|author|actor)(_|$)|^(actions|evidence|drift)$")
    found = {
        (each.name, name) for each in EXPORTED for name in each.columns if telling.search(name) and "kind" not in name
    }
    said = {("portal_visits", "chosen_by"), ("portal_policies", "drift"), ("entitlement_overrides", "author")}
    assert found - said == TO_TENANT.keys()  # an override's author is text that is meant for the tenant


def test_every_table_is_of_customers_or_said_not_to_be() -> None:
    names = {each.name for each in EXPORTED}
    assert OF_CUSTOMER.keys() == names - NOT_OF_CUSTOMERS
    for table in names & NOT_OF_CUSTOMERS:
        assert not {"customer_id", "subject", "subscription"} & set(TABLES[table].columns.keys())
    assert {each.name for each in EMPTIED} == {each.name for each in HOLDINGS} - KEPT.keys() - {"tenants"}
    assert all(KEPT.values())
    assert all(SIGNALS.values())
    assert all(WITHHELD.values())


NAMES = st.sampled_from([each.name for each in EXPORTED])


@given(st.one_of(st.text(), st.tuples(st.one_of(NAMES, st.text()), st.lists(st.text())).map(json.dumps).map(cursor)))
def test_whatever_comes_as_a_cursor_is_a_place_or_refused(text: str) -> None:
    try:
        place = exporting.place(OF_TENANT, text)
        found = place and place.table
    except Invalid as error:
        found = error.param
    assert found in {"after", *(each.name for each in EXPORTED)}


@pytest.mark.parametrize(
    "after", [["customers", ["1; drop table customers"]], ["tenants", ["1"]], ["customers", [str(2**63)]]]
)
def test_a_cursor_that_was_tampered_with_is_refused(after: list[Any]) -> None:
    with pytest.raises(Invalid, match="cursor"):
        exporting.place(OF_TENANT, cursor(json.dumps(after)))
