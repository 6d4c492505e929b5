"""One row for each Stripe object of a kind: what Stripe said of it last, whatever order the events arrived in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

import asyncpg
import msgspec
from msgspec import Struct
from sqlalchemy import ARRAY, Table, Text, any_, bindparam, select
from sqlalchemy.dialects.postgresql import JSONB, insert

from colonnade_tenants.errors import NotFound
from colonnade_tenants.events import Event
from colonnade_tenants.order import NOTHING, digest, rewind
from colonnade_tenants.partition import TENANT, Kind, Statement, TenantConnection, as_json, bytea, json_rows
from colonnade_tenants.snapshots import F, Held, later
from colonnade_tenants.stripe import TenantStripe

_SOURCE = ("source_created", "source_event", "source_before")


class Row(Struct, Generic[F], frozen=True):
    """What is held of an object, and whose it is."""

    owner: dict[str, Any]
    held: Held[F]


class Mirror(Generic[F]):
    """The mirror of one kind of object.

    *facts* are the columns that it keeps; *read* makes them of Stripe's object, and raises `msgspec.ValidationError`
    with the path of what is not as Stripe documents it. *path* is where the object is read, *stage* how far it is on a
    course that is never gone back.
    """

    def __init__(
        self,
        table: Table,
        facts: type[F],
        *,
        read: Callable[[Mapping[str, Any]], F],
        path: str,
        stage: Callable[[F], int] = lambda _: 0,
        owner: tuple[str, ...] = ("customer_id",),
    ) -> None:
        names = facts.__struct_fields__
        self._facts, self._read, self._path, self._stage, self._owner = facts, read, path, stage, owner
        self._json = [name for name in names if isinstance(table.c[name].type, JSONB)]
        self._lock = Statement(
            select(*(table.c[name] for name in ("id", *owner, *names, *_SOURCE)))
            .where(table.c.tenant_id == TENANT, table.c.id == any_(bindparam("ids", type_=ARRAY(Text))))
            .order_by(table.c.id)
            .with_for_update()
        )
        columns = ("id", *owner, *names, *_SOURCE)
        given = json_rows("rows", *(table.c[name] for name in columns))
        new = insert(table).from_select(["tenant_id", *columns], select(TENANT, *(given.c[name] for name in columns)))
        kept = {name: new.excluded[name] for name in (*names, *_SOURCE)}
        self._save = Statement(new.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=kept))
        self.rows: Kind[str, Row[F]] = Kind(self._load_rows, self._save_rows)
        """The mirrored objects by id, locked until the transaction ends."""

    async def apply(
        self,
        tenant: TenantConnection,
        stripe: TenantStripe,
        event: Event,
        *,
        amend: Callable[[F], F] = lambda facts: facts,
        **owner: Any,
    ) -> None:
        """Mirror the object that *event* brought. *amend*: what the event's type says of it, and the object does not.

        *owner* is whose it is; it never changes.
        """
        thing = msgspec.json.decode(event.object, type=dict[str, Any])
        name: str = msgspec.convert(thing.get("id"), str)
        row = await tenant.get(self.rows, name)
        old = row.held if row else None

        async def reread() -> F | None:
            try:
                now = await stripe.get(self._path.format(name))
            except NotFound:
                return None
            return None if now.get("deleted") else self._read(now)

        said = Held(amend(self._read(thing)), event.created, event.id, self._before(thing, event))
        held = await later(said, old, stage=self._stage, reread=reread)
        if held != old:
            await tenant.put(self.rows, name, Row(row.owner if row else owner, held), row)

    def _before(self, thing: Mapping[str, Any], event: Event) -> bytes | None:
        if event.type.endswith((".created", ".attached")):
            return NOTHING
        if event.previous_attributes is None:
            return None
        try:
            return digest(self._read(rewind(thing, event.previous_attributes)))
        except msgspec.ValidationError:
            return None  # previous attributes need not make a whole object

    async def _load_rows(self, tenant: TenantConnection, ids: Sequence[str]) -> dict[str, Row[F]]:
        return {row["id"]: self._row(row) for row in await tenant.fetch(self._lock, ids=ids)}

    def _row(self, row: asyncpg.Record) -> Row[F]:
        fields = {field: row[field] for field in self._facts.__struct_fields__}
        for field in self._json:
            fields[field] = None if fields[field] is None else msgspec.json.decode(fields[field])
        held = Held(msgspec.convert(fields, self._facts), *(row[name] for name in _SOURCE))
        return Row({name: row[name] for name in self._owner}, held)

    async def _save_rows(self, tenant: TenantConnection, rows: Mapping[str, tuple[Row[F] | None, Row[F]]]) -> None:
        await tenant.execute(self._save, rows=as_json([_columns(name, new) for name, (_, new) in rows.items()]))


def _columns(name: str, row: Row[F]) -> dict[str, Any]:
    source = dict(zip(_SOURCE, (row.held.created, row.held.event, bytea(row.held.before)), strict=True))
    return {"id": name, **row.owner, **msgspec.structs.asdict(row.held.facts), **source}
