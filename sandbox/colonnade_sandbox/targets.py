"""Where events go: webhook endpoints of the V1 API, and event destinations of the V2 API."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from colonnade_sandbox import ids, thin
from colonnade_sandbox.store import Object, Store

if TYPE_CHECKING:
    from colonnade_sandbox.call import Call

ENDPOINT, DESTINATION = "webhook_endpoint", "v2.core.event_destination"
# Whose events a destination gets: the owner's, or those of the accounts connected to it.
OWN, CONNECTED = "@self", "@accounts"
# Older names that Stripe still takes.
SCOPES = {"self": OWN, "other_accounts": CONNECTED}
# Seconds that a rolled secret may stay valid.
LONGEST_ROLL = 24 * 3600


@dataclass(frozen=True, slots=True)
class Target:
    """One enabled or disabled target of the account `owner`."""

    owner: str
    id: str
    url: str
    enabled: bool
    thin: bool
    api_version: str | None
    types: frozenset[str]
    scopes: frozenset[str]
    secrets: tuple[dict[str, Any], ...]

    def signed_with(self, now: int) -> list[str]:
        """Secrets in force, newest first; an old one stays while a roll lets it."""
        return [each["secret"] for each in self.secrets if each["until"] is None or each["until"] > now]

    def matching(self, event: Object) -> list[tuple[str, str]]:
        """Kind and id of what the target wants of a snapshot event."""
        if not self.thin:
            return [("event", event["id"])] if self.types & {"*", event["type"]} else []
        return [(twin["object"], twin["id"]) for twin in thin.twins(event) if twin["type"] in self.types]


def of(owner: str, value: Object) -> Target:
    destination = value["object"] == DESTINATION
    scopes = value["events_from"] if destination else [CONNECTED if value["_connect"] else OWN]
    return Target(
        owner,
        value["id"],
        value["_url"] if destination else value["url"],
        value["status"] == "enabled",
        destination and value["event_payload"] == "thin",
        value["snapshot_api_version"] if destination else value["api_version"],
        frozenset(value["enabled_events"]),
        frozenset(SCOPES.get(scope, scope) for scope in scopes),
        tuple(value["_secrets"]),
    )


def find(store: Store, owner: str, key: str) -> Target | None:
    value = stored(store, owner, key)
    return of(owner, value) if value is not None else None


def stored(store: Store, owner: str, key: str) -> Object | None:
    return store.find(owner, ENDPOINT, key) or store.find(owner, DESTINATION, key)


def concerned(store: Store, account: str, platforms: list[str]) -> Iterator[Target]:
    """Enabled targets that hear of an account: its own, and those of the platforms it is connected to."""
    for owner, scope in [(account, OWN), *((platform, CONNECTED) for platform in platforms)]:
        for kind in (ENDPOINT, DESTINATION):
            for value in store.all(owner, kind):
                target = of(owner, value)
                if target.enabled and scope in target.scopes:
                    yield target


def new_secret() -> dict[str, Any]:
    return {"secret": ids.new("whsec"), "until": None}


def roll(call: "Call", value: Object, expires_in: int) -> str:
    """A new secret; the old ones are accepted for `expires_in` more seconds of the sandbox's time."""
    fresh, until = new_secret(), call.now + expires_in
    old = [
        each | {"until": until if each["until"] is None else min(each["until"], until)} for each in value["_secrets"]
    ]
    call.put(value | {"_secrets": [fresh, *(each for each in old if each["until"] > call.now)]})
    return str(fresh["secret"])
