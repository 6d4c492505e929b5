"""Checks of the database: whether it separates tenants, is up to date, and what waits in it."""

import asyncpg

from colonnade.accounts.states import FROZEN, literal
from colonnade.database.connections import LOST, verify
from colonnade.database.revisions import Standing, schema
from colonnade.database.roles import UnsafeLogin
from colonnade.doctor.place import MOST, Place, Said
from colonnade.reaching import cause
from colonnade.settings import variable
from colonnade.webhooks.backlog import measure
from colonnade.webhooks.sweeps import behind

LATE = 300
"""Seconds that an event may have been due before a worker is missed."""
STALE = 3 * 3600
"""Seconds that the watermark may lie back."""

_OTHER_MODE = "select count(*) from inbox where state = 'done' and livemode is distinct from $1"
_SERVED = f"t.state not in {literal(FROZEN)}"
_NO_ORIGIN = f"select public_id from tenants t where return_origins = '{{}}' and {_SERVED} order by id limit $1"  # noqa: S608
_PLAIN = f"""
select public_id from tenants t where exists (select from unnest(return_origins) o where o like 'http:%')
and {_SERVED} order by id limit $1
"""  # noqa: S608 - our own words
_NO_ACCOUNT = f"""
select public_id from tenants t where stripe_account is null and created_at < now() - interval '1 day'
and {_SERVED} order by id limit $1
"""  # noqa: S608
_NO_DEFAULT = f"""
select t.public_id from tenants t where t.stripe_account is not null and {_SERVED} and not exists (
    select from portal_configurations c
    where c.tenant_id = t.id and c.is_default and c.active and c.stripe_configuration is not null)
order by t.id limit $1
"""  # noqa: S608
_REFUSED = """
select t.public_id || ' ' || c.name || ': ' || c.problem
from portal_configurations c join tenants t on t.id = c.tenant_id
where c.problem is not null and c.active order by c.id limit $1
"""
_KEYS = "select exists (select from api_keys where tenant_id is null and revoked_at is null)"
_ENDPOINTS = "select kind, count(*) from webhook_endpoints group by kind"


async def login(place: Place) -> list[Said]:
    """The login may serve, and could not read across tenants."""
    migrate = "Run `colonnade migrate`: it makes the roles and the login, and says what an administrator has to do."
    try:
        await verify(place.database_url)
        async with place.connection():
            return []
    except UnsafeLogin as error:
        cure = f"Set {variable('database_url')} to the login that `colonnade migrate` made. If it is that one, somebody"
        return [Said(str(error), f"{cure} gave it more since: `ALTER ROLE … NOSUPERUSER NOBYPASSRLS`.")]
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidParameterValueError) as error:
        return [Said(f"the database does not let the service in: {error}", migrate)]
    except LOST as error:
        problem = f"the database cannot be reached: {cause(error)}"
        return [Said(problem, f"Start it, or correct {variable('database_url')}.")]


async def migrations(place: Place) -> list[Said]:
    """The tables are those of this version."""
    async with place.connection() as connection:
        found = await schema(connection)
    sentence = found.sentence[0].lower() + found.sentence[1:-1]
    match found.standing:
        case Standing.CURRENT:
            return []
        case Standing.PENDING:
            return [Said(sentence, "Run `colonnade migrate`.")]
        case Standing.NEWER:
            place.has.add("tables")
            return [
                Said(
                    sentence,
                    "Deploy the release that migrated it, or leave it so after going back to this one.",
                    "warning",
                )
            ]
        case Standing.STRANGE:
            return [Said(sentence, f"Name this release's database in {variable('database_url')}, or deploy the other.")]


async def mode(place: Place) -> list[Said]:
    """A database holds one Stripe mode."""
    async with place.connection() as connection:
        others = await connection.fetchval(_OTHER_MODE, place.settings.livemode)
    if others:
        now = "live" if place.settings.livemode else "test"
        problem = f"the key is for {now} mode, and the database has {others} handled events of the other"
        return [Said(problem, f"Give each mode a database of its own: correct {variable('database_url')} or the key.")]
    return []


async def backlog(place: Place) -> list[Said]:
    """Events are handled, and none is stuck."""
    async with place.connection() as connection:
        found = await measure(connection)
    said = []
    if found.oldest_seconds > LATE:
        problem = f"an event has been due for {found.oldest_seconds:.0f} s, of {found.pending} that wait"
        said.append(Said(problem, "Start `colonnade worker`, or another one."))
    for state, count, cure in (
        ("dead", found.dead, "`colonnade events list --state dead` tells why; mend it and `events replay`."),
        (
            "quarantined",
            found.quarantined,
            "`colonnade events list --state quarantined`; `events release` or `ignore`.",
        ),
    ):
        if count:
            said.append(Said(f"{count} events are {state}", cure, "warning"))
    return said


async def completeness(place: Place) -> list[Said]:
    """Sweeps keep up: what was never delivered is found."""
    async with place.connection() as connection:
        own = next((each for each in await behind(connection) if not each.account), None)
    if own is not None and own.seconds > STALE:
        problem = f"the platform's events are complete up to {own.complete_until:%Y-%m-%d %H:%M} UTC only"
        return [Said(problem, f"Run `colonnade sweep`; {variable('sweep_seconds')} lets the worker do it.", "warning")]
    return []


async def origins(place: Place) -> list[Said]:
    """Every tenant has pages to return to; live ones by https."""
    where = "`PATCH /v1/tenants/{tenant}` with `return_origins`."
    async with place.connection() as connection:
        none = [row[0] for row in await connection.fetch(_NO_ORIGIN, MOST)]
        plain = [row[0] for row in await connection.fetch(_PLAIN, MOST)] if place.settings.livemode else []
    said = []
    if none:
        said.append(Said(f"no return_origins: {', '.join(none)}; no portal can be opened", where, "warning"))
    if plain:
        said.append(Said(f"return_origins with http in live mode: {', '.join(plain)}", where))
    return said


async def unfinished_tenants(place: Place) -> list[Said]:
    """A tenant without an account was invited and did not come, or its creation was interrupted."""
    async with place.connection() as connection:
        found = [row[0] for row in await connection.fetch(_NO_ACCOUNT, MOST)]
    if found:
        cure = "Remind the business, or repeat the `POST /v1/tenants` with its Idempotency-Key if it was interrupted."
        return [Said(f"no connected account for a day: {', '.join(found)}", cure, "warning")]
    return []


async def configurations(place: Place) -> list[Said]:
    """Every tenant has a default portal configuration that Stripe has taken."""
    async with place.connection() as connection:
        none = [row[0] for row in await connection.fetch(_NO_DEFAULT, MOST)]
        refused = [row[0] for row in await connection.fetch(_REFUSED, MOST)]
    said = []
    if none:
        cure = "`PUT …/portal-configurations/{name}`, or `colonnade portals apply`, with `default`."
        said.append(Said(f"no default portal configuration at Stripe: {', '.join(none)}", cure, "warning"))
    if refused:
        cure = "Mend the configuration; `POST …/apply` sends it once more."
        said.append(Said(f"Stripe does not take: {'; '.join(refused)}", cure))
    return said


async def platform_keys(place: Place) -> list[Said]:
    """Somebody can call the platform's routes."""
    async with place.connection() as connection:
        if not await connection.fetchval(_KEYS):
            return [Said("there is no API key of the platform team", "Run `colonnade keys create`.")]
    return []


async def unused_secrets(place: Place) -> list[Said]:
    """More secrets than endpoints: one is of an endpoint that is gone, or was never ours."""
    async with place.connection() as connection:
        made = dict(await connection.fetch(_ENDPOINTS))
    said = []
    for kind in ("platform", "connect"):
        field = f"stripe_{kind}_webhook_secrets"
        given = len(getattr(place.settings, field))
        if 0 < made.get(kind, 0) < given:
            problem = f"{variable(field)} has {given} secrets for {made[kind]} endpoint{'s' * (made[kind] > 1)}"
            said.append(Said(problem, "Take out the secrets of endpoints that are gone, the last ones.", "warning"))
    return said
