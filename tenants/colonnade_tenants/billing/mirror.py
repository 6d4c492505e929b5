"""One row for each Stripe object of a kind: what Stripe said of it last, whatever order the events arrived in."""

from collections.abc import Callable, Mapping
from typing import Any, Generic

import msgspec
from sqlalchemy import Table, bindparam, select
from sqlalchemy.dialects.postgresql import JSONB, insert

from colonnade_tenants.errors import NotFound
from colonnade_tenants.events import Event
from colonnade_tenants.order import NOTHING, digest, rewind
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.snapshots import F, Held, later
from colonnade_tenants.stripe import TenantStripe

_SOURCE = ("source_created", "source_event", "source_before")
_ID: Any = bindparam("id")


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
            select(*(table.c[name] for name in (*owner, *names, *_SOURCE)))
            .where(table.c.tenant_id == TENANT, table.c.id == _ID)
            .with_for_update()
        )
        new = insert(table).values(
            tenant_id=TENANT, **{name: bindparam(name) for name in ("id", *owner, *names, *_SOURCE)}
        )
        kept = {name: new.excluded[name] for name in (*names, *_SOURCE)}
        self._save = Statement(new.on_conflict_do_update(index_elements=["tenant_id", "id"], set_=kept))

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

        *owner* is whose it is; it never changes. The row is locked until the transaction ends.
        """
        thing = msgspec.json.decode(event.object, type=dict[str, Any])
        name: str = msgspec.convert(thing.get("id"), str)
        old = await self._held(tenant, name)

        async def reread() -> F | None:
            try:
                now = await stripe.get(self._path.format(name))
            except NotFound:
                return None
            return None if now.get("deleted") else self._read(now)

        said = Held(amend(self._read(thing)), event.created, event.id, self._before(thing, event))
        held = await later(said, old, stage=self._stage, reread=reread)
        if held != old:
            await self._keep(tenant, name, held, owner)

    def _before(self, thing: Mapping[str, Any], event: Event) -> bytes | None:
        if event.type.endswith((".created", ".attached")):
            return NOTHING
        if event.previous_attributes is None:
            return None
        try:
            return digest(self._read(rewind(thing, event.previous_attributes)))
        except msgspec.ValidationError:
            return None  # previous attributes need not make a whole object

    async def _held(self, tenant: TenantConnection, name: str) -> Held[F] | None:
        row = await tenant.fetch_one(self._lock, id=name)
        if row is None:
            return None
        fields = {field: row[field] for field in self._facts.__struct_fields__}
        for field in self._json:
            fields[field] = None if fields[field] is None else msgspec.json.decode(fields[field])
        return Held(msgspec.convert(fields, self._facts), *(row[name] for name in _SOURCE))

    async def _keep(self, tenant: TenantConnection, name: str, held: Held[F], owner: Mapping[str, Any]) -> None:
        fields = msgspec.structs.asdict(held.facts)
        for field in self._json:
            fields[field] = None if fields[field] is None else msgspec.json.encode(fields[field]).decode()
        source = dict(zip(_SOURCE, (held.created, held.event, held.before), strict=True))
        await tenant.execute(self._save, id=name, **fields, **source, **owner)
