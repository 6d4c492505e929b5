"""Migrations that move rows: a database that was in use comes through, there and back."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import asyncpg
import pytest

from colonnade.database import migrate
from tests.conftest import ScratchDatabase, new_database

TENANTS = """
insert into tenants (id, public_id, name, charge_type, stripe_account, fingerprint) overriding system value values
    (1, 'ten_on', 'On the platform', 'destination', 'acct_on', ''),
    (2, 'ten_direct', 'On its own account', 'direct', 'acct_direct', ''),
    (3, 'ten_begun', 'Not yet made', 'direct', null, '')
"""
OBJECTS = (
    "insert into stripe_objects (id, tenant_id) values ('cus_on', 1), ('bpc_on', 1), ('cus_direct', 2), ('sub_d', 2)"
)
EVENTS = """
insert into inbox (event_id, endpoint, account, type, object_id, created, livemode, body, state) values
    ('evt_1', 'connect', 'acct_direct', 'customer.updated', 'cus_direct', now(), false, '{}', 'pending'),
    ('evt_2', 'connect', 'acct_direct', 'account.updated', 'acct_direct', now(), false, '{}', 'pending'),
    ('evt_3', 'connect', 'acct_direct', 'customer.updated', 'cus_direct', now(), false, '{}', 'done'),
    ('evt_4', 'platform', null, 'customer.updated', 'cus_on', now(), false, '{}', 'pending')
"""
PLANS = """
insert into plans (tenant_id, key, name, price, product) values
    (1, 'basic', 'Basic', 'price_a', null), (1, 'pro', 'Pro', null, 'prod_a'), (2, 'basic', 'Basic', 'price_d', null)
"""
GRANTS = (
    """insert into features (tenant_id, key, kind, name) values
        (1, 'export', 'flag', 'Export'), (1, 'projects', 'limit', 'Projects'), (1, 'seats', 'quantity', 'Seats')""",
    """insert into plan_grants (tenant_id, plan, feature, value, per_unit) values
        (1, 'basic', 'export', 1, false), (1, 'basic', 'projects', null, false), (1, 'basic', 'seats', 2, true)""",
)
CUSTOMERS = """
insert into customers (tenant_id, id, public_id, reference, stripe_customer) overriding system value values
    (1, 1, 'ecu_1', 'ada', 'cus_on'), (2, 2, 'ecu_2', 'ada', 'cus_direct')
"""


class Used:
    """A database at the revision before, with rows."""

    def __init__(self, database: ScratchDatabase, connection: asyncpg.Connection) -> None:
        self.database, self.connection = database, connection

    async def rows(self, query: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await self.connection.fetch(query)]

    async def upgrade(self) -> None:
        await migrate.upgrade(self.database.admin_url, self.database.service_url)


@pytest.fixture
def empty(server: str, template: str) -> Iterator[ScratchDatabase]:
    with new_database(server, "template0") as database:
        yield database


@pytest.fixture
async def used(empty: ScratchDatabase) -> AsyncIterator[Used]:
    await migrate.upgrade(empty.admin_url, empty.service_url, "0002")
    connection = await asyncpg.connect(empty.admin_url)
    try:
        for statement in (TENANTS, OBJECTS, EVENTS, PLANS, *GRANTS, CUSTOMERS):
            await connection.execute(statement)
        yield Used(empty, connection)
    finally:
        await connection.close()


OBJECT_IDS = "select id, tenant_id from stripe_objects order by id"
EVENT_KEYS = "select event_id, object_id from inbox order by event_id"
# The migration looks past row-level security while it moves rows.
FORCED = (
    "select relname from pg_class where relrowsecurity and relforcerowsecurity "
    "and relname in ('tenants', 'inbox', 'stripe_objects', 'plans') order by 1"
)
KEPT = (
    FORCED,
    "select public_id, name, stripe_account from tenants order by id",
    "select tenant_id, id, reference, stripe_customer from customers order by 1, 2",
    "select tenant_id, key, price, product from plans order by 1, 2",
    "select event_id, account, type, state, body from inbox order by event_id",
)


@pytest.mark.slow
async def test_what_lives_on_a_connected_account_is_named_with_it_and_back(used: Used) -> None:
    kept = [await used.rows(query) for query in KEPT]
    assert len(kept[0]) == 4
    before = await used.rows(OBJECT_IDS), await used.rows(EVENT_KEYS)
    await used.upgrade()
    assert await used.rows(OBJECT_IDS) == [
        ("acct_direct/cus_direct", 2),
        ("acct_direct/sub_d", 2),
        ("bpc_on", 1),
        ("cus_on", 1),
    ]
    assert await used.rows(EVENT_KEYS) == [
        ("evt_1", "acct_direct/cus_direct"),
        ("evt_2", "acct_direct"),
        ("evt_3", "cus_direct"),
        ("evt_4", "cus_on"),
    ]
    assert await used.rows("select id, tenant_id from plan_objects order by id") == [("price_a", 1), ("prod_a", 1)]
    assert await used.rows("select distinct lane, swept, evidence from inbox") == [("-", False, None)]
    assert await used.rows("select distinct event_weight from tenants") == [(1,)]
    assert [await used.rows(query) for query in KEPT] == kept
    assert (await migrate.compare(used.database.admin_url)).differences == []

    await migrate.downgrade(used.database.admin_url, "0002")
    assert (await used.rows(OBJECT_IDS), await used.rows(EVENT_KEYS)) == before
    assert [await used.rows(query) for query in KEPT] == kept

    await used.upgrade()
    assert ("acct_direct/cus_direct", 2) in await used.rows(OBJECT_IDS)


@pytest.mark.slow
async def test_what_was_granted_is_the_first_version_and_holds_from_the_beginning(used: Used) -> None:
    await used.upgrade()
    assert await used.rows("select key, combine, fallback, version from features order by key") == [
        ("export", "or", 0, 1),
        ("projects", "max", 0, 1),
        ("seats", "sum", 0, 1),
    ]
    assert await used.rows("select feature, version, effective_from, combine from feature_versions order by 1") == [
        ("export", 1, None, "or"),
        ("projects", 1, None, "max"),
        ("seats", 1, None, "sum"),
    ]
    versions = await used.rows(
        "select tenant_id, plan, version, effective_from, price, product, grants::text from plan_versions order by 1, 2"
    )
    assert [version[:6] for version in versions] == [
        (1, "basic", 1, None, "price_a", None),
        (1, "pro", 1, None, None, "prod_a"),
        (2, "basic", 1, None, "price_d", None),
    ]
    assert json.loads(str(versions[0][6])) == [
        {"feature": "export", "kind": "flag", "value": 1, "per_unit": False},
        {"feature": "projects", "kind": "limit", "value": None, "per_unit": False},
        {"feature": "seats", "kind": "quantity", "value": 2, "per_unit": True},
    ]
    assert [json.loads(str(version[6])) for version in versions[1:]] == [[], []]


@pytest.mark.slow
async def test_an_id_that_two_accounts_use_belongs_to_neither_once_accounts_are_not_in_it(used: Used) -> None:
    await used.upgrade()
    await used.connection.execute(
        "insert into tenants (id, public_id, name, charge_type, stripe_account, fingerprint) overriding system value "
        "values (4, 'ten_other', 'Other', 'direct', 'acct_other', '')"
    )
    await used.connection.execute(
        "insert into stripe_objects (id, tenant_id) values ('acct_other/sub_d', 4), ('acct_other/cus_on', 4)"
    )
    await migrate.downgrade(used.database.admin_url, "0002")
    assert await used.rows(OBJECT_IDS) == [("bpc_on", 1), ("cus_direct", 2), ("cus_on", 1)]


@pytest.mark.slow
async def test_portal_configurations_have_a_first_version_and_are_looked_at(used: Used) -> None:
    await migrate.upgrade(used.database.admin_url, used.database.service_url, "0009")
    await used.connection.execute(
        "insert into portal_configurations (tenant_id, name, settings, content_hash, version, stripe_configuration) "
        """values (1, 'main', '{"features": {}}', 'x', 3, 'bpc_on'), (2, 'own', '{"features": {}}', 'y', 1, 'bpc_d'),"""
        """ (2, 'pending', '{"features": {}}', 'z', 1, null)"""
    )
    await used.upgrade()
    assert await used.rows(
        "select tenant_id, name, version, active, content, change from portal_configuration_versions order by 1, 2"
    ) == [(1, "main", 3, True, None, "put"), (2, "own", 1, True, None, "put"), (2, "pending", 1, True, None, "put")]
    assert await used.rows("select name, objects, due_at is not null from portal_work order by name") == [
        ("main", ["bpc_on"], True),
        ("own", ["acct_direct/bpc_d"], True),
        ("pending", [], True),
    ]
    forced = (
        "select relname from pg_class where relforcerowsecurity and relname in ('tenants', 'portal_configurations')"
    )
    assert len(await used.rows(forced)) == 2


@pytest.mark.slow
async def test_branding_that_was_pending_is_taken_up_and_names_no_files(used: Used) -> None:
    await used.connection.execute(
        """insert into branding (tenant_id, settings, state) values
            (1, '{"name": "Fern", "icon": "file_1", "logo": "file_2"}', 'pending'), (2, '{}', 'applied')"""
    )
    await used.upgrade()
    assert await used.rows("select tenant_id, settings::text, try_at is not null from branding order by 1") == [
        (1, '{"name": "Fern"}', True),
        (2, "{}", False),
    ]
    assert await used.rows("select relforcerowsecurity from pg_class where relname = 'branding'") == [(True,)]


@pytest.mark.slow
async def test_keys_are_not_let_do_more_by_a_migration_in_either_direction(used: Used) -> None:
    await migrate.upgrade(used.database.admin_url, used.database.service_url, "0013")
    add = "insert into api_keys (public_id, tenant_id, name, digest, scopes) values "
    await used.connection.execute(
        add + "('key_team', null, '', 'a', '{admin}'), ('key_odd', null, '', 'b', '{check}'),"
        " ('key_shop', 1, '', 'c', '{check}')"
    )
    await used.upgrade()
    live = "select public_id, scopes from api_keys where revoked_at is null and public_id like 'key_%' order by 1"
    assert await used.rows(live) == [("key_shop", ["check"]), ("key_team", ["admin"])]
    more = "insert into api_keys (public_id, tenant_id, name, digest, scopes, expires_at) values "
    await used.connection.execute(
        more + "('key_reader', null, '', 'd', '{read}', null), ('key_seller', 1, '', 'e', '{catalogue}', null),"
        " ('key_brief', 1, '', 'f', '{check}', now() + interval '1 day')"
    )
    await migrate.downgrade(used.database.admin_url, "0013")
    assert await used.rows(live) == [("key_shop", ["check"]), ("key_team", ["admin"])]
    await migrate.downgrade(used.database.admin_url, "0007")
    left = "select public_id from api_keys where revoked_at is null and public_id like 'key_%'"
    assert await used.rows(left) == [("key_team",)]


@pytest.mark.slow
async def test_a_time_that_could_not_be_read_again_is_the_last_that_can(used: Used) -> None:
    await migrate.upgrade(used.database.admin_url, used.database.service_url, "0025")
    await used.connection.execute(
        "insert into entitlement_policies (tenant_id, version, effective_from, grace_days, trials, pause_collection) "
        "values (1, 1, now(), 7, true, 'grants'), (1, 2, 'infinity', 8, true, 'grants'), "
        "(2, 1, '9999-12-31 23:59:59Z', 9, true, 'grants')"
    )
    await used.connection.execute("update plan_versions set effective_from = 'infinity' where tenant_id = 2")
    await used.connection.execute(
        "insert into api_keys (public_id, tenant_id, name, digest, expires_at) values "
        "('key_inf', 1, '', 'a', 'infinity'), ('key_old', 1, '', 'b', '1970-01-01'), ('key_all', 1, '', 'c', null)"
    )
    await used.upgrade()
    last, first = datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)
    versions = await used.rows("select tenant_id, version, effective_from from entitlement_policies order by 1, 2")
    assert [versions[1], versions[2]] == [(1, 2, last), (2, 1, last)]
    assert versions[0][2] != last
    assert await used.rows("select effective_from from plan_versions where tenant_id = 2") == [(last,)]
    keys = await used.rows("select public_id, expires_at from api_keys where name = '' order by 1")
    assert keys == [("key_all", None), ("key_inf", last), ("key_old", first)]
    forced = "select count(*) from pg_class where relname = any(array['api_keys', 'plan_versions']) "
    assert await used.rows(forced + "and relforcerowsecurity") == [(2,)]
    assert (await migrate.compare(used.database.admin_url)).differences == []
