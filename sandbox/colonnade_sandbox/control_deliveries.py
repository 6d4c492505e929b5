"""Control routes about deliveries: what is owed, what was tried, and delivering again."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec

from colonnade_sandbox import errors, owing, targets
from colonnade_sandbox.call import Call
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object

ATTEMPT_FILTERS = ("account", "event", "status", "target", "type", "url")


class Again(msgspec.Struct, forbid_unknown_fields=True):
    """The event to deliver again: to one endpoint or destination, or to all that want it."""

    event: str
    target: str | None = None


def narrowed(request: Request, rows: Iterable[dict[str, Any]], filters: tuple[str, ...]) -> list[dict[str, Any]]:
    wanted = {name: value for name, value in request.arguments.items() if name in filters}
    return [row for row in rows if all(str(row.get(name)) == value for name, value in wanted.items())]


def waiting(request: Request, sandbox: Sandbox) -> Response:
    """Deliveries still owed."""
    return Response.json({"data": sandbox.deliveries.waiting()})


def attempts(request: Request, sandbox: Sandbox) -> Response:
    """The newest tries to deliver and what was answered, oldest first; narrowed like the requests."""
    return Response.json({"data": narrowed(request, sandbox.deliveries.attempts, ATTEMPT_FILTERS)})


def again(request: Request, sandbox: Sandbox) -> Response:
    wanted = msgspec.json.decode(request.body, type=Again)
    return Response.json({"deliveries": deliver(sandbox, wanted)})


def deliver(sandbox: Sandbox, wanted: Again) -> int:
    """Delivers an event of any account again; answers to how many endpoints and destinations.

    Raises StripeError (404) for an event that is none.
    """
    for account, event in sandbox.store.everywhere("event"):
        if event["id"] == wanted.event:
            send = partial(_send, event=event, target=wanted.target)
            return int(sandbox.run(send, Call(sandbox, account, account)))
    raise errors.no_such("event", wanted.event)


def _send(call: Call, event: Object, target: str | None) -> int:
    concerned = targets.concerned(call.sandbox.store, call.account, call.sandbox.platforms_of(call.account))
    found = 0
    for each in concerned:
        for kind, key in each.matching(event) if target in (None, each.id) else ():
            owing.add(call.sandbox, each, call.account, kind, key)
            found += 1
    return found
