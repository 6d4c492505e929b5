"""Events of the V2 API: the thin twins of snapshot events, and those that have no snapshot."""

from collections.abc import Iterator
from typing import Any

from colonnade_sandbox import errors, lists, thin
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources.events import KEPT, MOST_TYPES
from colonnade_sandbox.store import Object


def _kept(call: Call) -> Iterator[Object]:
    """Every thin event of the last 30 days, newest first."""
    oldest = call.now - KEPT
    rows = [row for row in call.all(thin.KIND) if row["created"] >= thin.moment(oldest)]
    for event in call.all("event"):
        if event["created"] >= oldest:
            rows.extend(thin.twins(event))
    yield from sorted(rows, key=lambda row: str(row["created"]), reverse=True)


def _passes(event: Object, params: dict[str, Any]) -> bool:
    if "types" in params and event["type"] not in params["types"]:
        return False
    if "object_id" in params and (event.get("related_object") or {}).get("id") != params["object_id"]:
        return False
    bounds = params.get("created", {}).items()
    # Times of one form and one zone compare as text.
    return all(lists.COMPARE[name](event["created"], bound) for name, bound in bounds)


@operation("GET", "/v2/core/events", takes="created limit object_id page types")
def list_all(call: Call) -> Object:
    if len(call.params.get("types", ())) > MOST_TYPES:
        raise errors.invalid(f"You may specify at most {MOST_TYPES} types.", "types")
    return lists.v2_answer(call, (event for event in _kept(call) if _passes(event, call.params)))


@operation("GET", "/v2/core/events/{id}")
def retrieve(call: Call) -> Object:
    event = thin.find(call.sandbox.store, call.account, call.id)
    if event is None or event["created"] < thin.moment(call.now - KEPT):
        raise errors.no_such("v2.core.event", call.id)
    return event
