"""Who acts: the owner of a key, a person, or the program itself."""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What a principal's id is the id of."""

    PLATFORM_KEY = "platform_key"
    TENANT_KEY = "tenant_key"
    PERSON = "person"
    SYSTEM = "system"


class Principal(msgspec.Struct, frozen=True):
    """Who acts: *id* is `key_…`, a person's name at the identity provider, or what of the program it is.

    *tenant_id* is None for all but a tenant's key.
    """

    id: str
    tenant_id: int | None
    kind: Kind


WORKER = Principal("worker", None, Kind.SYSTEM)
COMMAND_LINE = Principal("command line", None, Kind.SYSTEM)
