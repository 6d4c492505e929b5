"""Deliveries that are owed: which target gets which event, kept until it was accepted or given up."""

import time
from typing import TYPE_CHECKING

from colonnade_sandbox import ids, targets
from colonnade_sandbox.store import Object

if TYPE_CHECKING:
    from colonnade_sandbox.sandbox import Sandbox

KIND = "_delivery"


def owe(sandbox: "Sandbox", account: str, event: Object) -> int:
    """Owe an event to every target that wants it; answers to how many endpoints the snapshot goes."""
    snapshots = 0
    for target in targets.concerned(sandbox.store, account, sandbox.platforms_of(account)):
        for kind, key in target.matching(event):
            add(sandbox, target, account, kind, key)
            snapshots += kind == "event"
    return snapshots


def add(sandbox: "Sandbox", target: targets.Target, account: str, kind: str, event: str) -> None:
    """Owe one target one event; kept with the objects, so that a killed sandbox still delivers."""
    delivery: Object = {
        "id": ids.new("whd"),
        "object": KIND,
        "endpoint": target.id,
        "account": account,
        "kind": kind,
        "event": event,
        "attempts": 0,
        "due": time.time(),
    }
    sandbox.store.put(target.owner, KIND, delivery["id"], delivery)
    sandbox.deliveries.planned.append((target.owner, delivery["id"]))
