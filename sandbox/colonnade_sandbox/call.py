"""One call of an operation: by the API, by a hosted page, or by time passing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from colonnade_sandbox import errors, events, ids
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.store import Object

if TYPE_CHECKING:
    from colonnade_sandbox.sandbox import Sandbox

# Stripe docs, "Metadata": keys per object, characters per key and per value.
METADATA_KEYS, METADATA_KEY, METADATA_VALUE = 50, 40, 500


@dataclass
class Call:
    """What an operation works on: the account that owns the objects, and the validated parameters.

    `platform` is the account whose key is used; it differs from `account` under `Stripe-Account`. Hosted
    pages and due work have no `request_id` and no `idempotency_key`.
    """

    sandbox: "Sandbox"
    account: str
    platform: str
    params: dict[str, Any] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    request_id: str | None = None
    idempotency_key: str | None = None
    url: str = ""
    upload: Any = None
    # The time of the test clock behind what the call is about; without one, the sandbox's own.
    moment: int | None = None

    @property
    def now(self) -> int:
        return self.sandbox.clock.now() if self.moment is None else self.moment

    @property
    def id(self) -> str:
        """The first id in the path: what a retrieve, update or delete is about."""
        return next(iter(self.path.values()))

    def at(self, key: str) -> "Call":
        """The same call about the object `key`."""
        self.path = {"id": key}
        return self

    def to(self, **params: Any) -> "Call":
        """The same caller with other parameters, for an operation that uses another."""
        return Call(
            self.sandbox,
            self.account,
            self.platform,
            params,
            request_id=self.request_id,
            idempotency_key=self.idempotency_key,
            moment=self.moment,
        )

    def on(self, account: str) -> "Call":
        """The same caller, working on another account's objects."""
        other = self.to(**self.params)
        other.account = account
        return other

    def find(self, kind: str, key: str) -> Object | None:
        return self.sandbox.store.find(self.account, kind, key)

    def get(self, kind: str, key: str, param: str = "id", *, in_path: bool = False) -> Object:
        """Raises StripeError: 404 for an id in the path, 400 for one in the parameter `param`."""
        found = self.find(kind, key)
        if found is None or found.get("deleted"):
            raise errors.no_such(kind, key, param, in_path=in_path or param == "id")
        return found

    def all(self, kind: str) -> Iterator[Object]:
        """The account's objects of a kind, newest first."""
        return self.sandbox.store.all(self.account, kind)

    def put(self, value: Object) -> Object:
        """Store without an event."""
        self.sandbox.store.put(self.account, value["object"], value["id"], value)
        return value

    def new(self, kind: str, prefix: str, values: dict[str, Any]) -> Object:
        """A complete object of `kind`, not stored yet."""
        start = {"id": ids.new(prefix), "object": kind, "created": self.now, "livemode": False}
        known = shapes.fields(shapes.resource(kind))
        return shapes.complete(kind, {name: value for name, value in start.items() if name in known} | values)

    def add(self, kind: str, prefix: str, values: dict[str, Any], *, event: str | None = "") -> Object:
        """Store a new object; its event is `<kind>.created` unless another, or None, is given."""
        added = self.put(self.new(kind, prefix, values))
        if event is not None:
            self.emit(event or f"{kind}.created", added)
        return added

    def change(self, value: Object, changes: dict[str, Any], *, event: str | None = "") -> Object:
        """Store the changed object; `<kind>.updated` follows if anything did change.

        Nested values in `changes` must be new ones, never those of `value` changed in place.
        """
        changed = self.put(value | changes)
        differs = any(changed[name] != value.get(name) for name in changes if not name.startswith("_"))
        if differs and event is not None:
            self.emit(event or f"{value['object']}.updated", changed, events.previous_attributes(value, changed))
        return changed

    def remove(self, value: Object, *, event: str | None = "") -> Object:
        """Delete; answers the stub that a DELETE returns."""
        self.sandbox.store.delete(self.account, value["object"], value["id"])
        if event is not None:
            self.emit(event or f"{value['object']}.deleted", value)
        return {"id": value["id"], "object": value["object"], "deleted": True}

    def emit(self, type: str, value: Object, previous: dict[str, Any] | None = None) -> Object:  # noqa: A002
        return events.emit(self, type, value, previous)


def merged_metadata(old: dict[str, str] | None, given: dict[str, str] | str | None) -> dict[str, str]:
    """Metadata merges by key; an empty value removes its key, an empty text removes all.

    Raises StripeError (400) past 50 keys, 40 characters in a key, or 500 in a value.
    """
    if given is None:
        return dict(old or {})
    if isinstance(given, str):
        return {}
    for key, value in given.items():
        if len(key) > METADATA_KEY:
            text = f"Invalid metadata key {key[:METADATA_KEY]}…: must be at most {METADATA_KEY} characters"
            raise errors.invalid_value("metadata", text)
        if len(value) > METADATA_VALUE:
            text = f"Invalid metadata value: must be at most {METADATA_VALUE} characters"
            raise errors.invalid_value(f"metadata[{key}]", text)
    merged = {key: value for key, value in ((old or {}) | given).items() if value != ""}
    if len(merged) > METADATA_KEYS:
        raise errors.invalid_value("metadata", f"Metadata can have at most {METADATA_KEYS} keys")
    return merged


def unset(value: Any) -> Any:
    """An empty text in a parameter means null."""
    return None if value == "" else value
