"""A pure model of Stripe: objects, what happened to them, and how it lists and answers that.

One history serves any number of tenants: its ids are written anew for each (`for_tenant`).
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.tenants import payloads
from tests.tenants.payloads import START

DAY = 86_400
SHOWN = 10
"""Items that an event shows of a subscription; the rest is read."""
_IDS = re.compile(r'"((?:acct|cus|evt|in|pm|sub|sub_sched|si|txi|bpc)_[0-9a-z_]+)"')
_MARK = re.compile(r"_t[0-9]{6}(?=\")")


def for_tenant(thing: Any, number: int) -> Any:
    """*thing* with ids of this tenant's own."""
    return json.loads(_IDS.sub(rf'"\1_t{number:06}"', json.dumps(thing)))


def for_nobody(text: str) -> str:
    """JSON text with the ids as they were before `for_tenant`."""
    return _MARK.sub("", text)


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Previous attributes: nested objects in part, arrays whole ("The Event object", Stripe API reference)."""
    found: dict[str, Any] = {}
    for key in old.keys() | new.keys():
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict) and before != now:
            found[key] = _difference(before, now)
        elif before != now:
            found[key] = before
    return found


def _shown(thing: dict[str, Any]) -> dict[str, Any]:
    """The object as an event shows it: of a long list, its first page."""
    items = thing.get("items")
    if items is None or len(items["data"]) <= SHOWN:
        return thing
    return thing | {"items": items | {"data": items["data"][:SHOWN], "has_more": True}}


class Model:
    """Stripe at one moment.

    *skew*: seconds by which the clock is off that dates an object's events. Hosts differ, also from ours; but how the
    events of one object are dated is Stripe's word on their order.
    """

    def __init__(self, skew: Mapping[str, int] | None = None) -> None:
        self.now = START
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self._skew = skew or {}

    def copy(self) -> "Model":
        """The same, for something else to happen; objects are replaced, never changed."""
        twin = Model(self._skew)
        twin.now, twin.objects, twin.events = self.now, dict(self.objects), list(self.events)
        return twin

    def __contains__(self, name: str) -> bool:
        return name in self.objects

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.objects[name]

    def tell(self, event_type: str, thing: dict[str, Any], previous: dict[str, Any] | None = None) -> None:
        """Note an event about *thing* as it is."""
        number = len(self.events)
        data: dict[str, Any] = {"object": _shown(thing)}
        if previous is not None:
            data["previous_attributes"] = previous
        self.events.append(
            {
                "id": f"evt_{number}",
                "object": "event",
                "api_version": "2026-10-28.endive",
                "created": self.now + self._skew.get(thing["id"], 0),
                "data": data,
                "livemode": False,
                "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
                "type": event_type,
            }
        )

    def create(self, thing: dict[str, Any], event_type: str) -> None:
        """A new object."""
        self.objects[thing["id"]] = thing
        self.tell(event_type, thing)

    def update(self, name: str, event_type: str, /, **changes: Any) -> None:
        """Change an object; where that changes nothing, nothing is told."""
        old = self.objects[name]
        new = old | changes
        if new != old:
            self.objects[name] = new
            self.tell(event_type, new, _difference(_shown(old), _shown(new)))

    def end(self, name: str, event_type: str, /, **changes: Any) -> None:
        """Change an object by an event that does not say what was before."""
        self.objects[name] = self.objects[name] | changes
        self.tell(event_type, self.objects[name])

    def remove(self, name: str, event_type: str) -> None:
        """Delete an object."""
        self.tell(event_type, self.objects.pop(name))

    def items(self, subscription: str, *items: dict[str, Any]) -> None:
        """Give a subscription these items."""
        self.update(subscription, "customer.subscription.updated", items=payloads.item_list(*items))

    def read(self, path: str, query: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to a GET; None where there is no such object."""
        if path == "/v1/subscription_items":
            return self._page(self.objects[query["subscription"]]["items"]["data"], query)
        return self.objects.get(path.rpartition("/")[2])

    def listed(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to `GET /v1/events`: the newest first."""
        span = query.get("created", {"gte": 0, "lte": self.now + DAY})
        found = [
            event
            for event in sorted(self.events, key=lambda event: int(event["created"]), reverse=True)
            if span["gte"] <= event["created"] <= span["lte"] and event["type"] in query.get("types", [event["type"]])
        ]
        return self._page(found, query)

    def _page(self, rows: list[dict[str, Any]], query: Mapping[str, Any]) -> dict[str, Any]:
        after = query.get("starting_after")
        first = 1 + [row["id"] for row in rows].index(after) if after else 0
        page = rows[first : first + query["limit"]]
        return {"object": "list", "data": page, "has_more": first + len(page) < len(rows)}


def subscription(name: str = "sub_1", status: str = "active", **changes: Any) -> dict[str, Any]:
    number = name.rpartition("_")[2]
    item = payloads.item(f"{number}0", subscription=name)
    return payloads.subscription(status, item, id=name, **changes)


def item(subscription_name: str, number: int, price: str = "price_basic", quantity: int = 1) -> dict[str, Any]:
    main = subscription_name.rpartition("_")[2]
    return payloads.item(f"{main}{number}", price, quantity, subscription=subscription_name)
