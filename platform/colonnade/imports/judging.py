"""Which of the objects that Stripe lists are the tenant's: by the same ladder as events, and never by a guess."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import asyncpg

from colonnade.imports.store import Counts, Finding, Owner
from colonnade.stripe_api.charges import custody, qualified
from colonnade.webhooks.attribute import Attribution, Known, Quarantine, decide
from colonnade.webhooks.clues import Clue, clues
from colonnade.webhooks.directory import look_up

Thing = Mapping[str, Any]


class Judged(NamedTuple):
    """Of one page: what is the tenant's, and what of the rest is to be told."""

    customers: list[Thing]
    subscriptions: list[Thing]
    counts: Counts
    findings: list[Finding]


async def judge(connection: asyncpg.Connection, owner: Owner, page: Iterable[Thing], seen: set[str]) -> Judged:
    """Go by what is known now, as `sort`."""
    things = [*page]
    account = custody(owner)
    named = {clue for thing in things for part in _parts(thing) for clue in clues(account, part)}
    return sort(owner, things, await look_up(connection, named), seen)


def sort(owner: Owner, page: Iterable[Thing], known: Known, seen: set[str]) -> Judged:
    """Take in what is the tenant's alone. A subscription's customer, where it was expanded, is judged with it.

    *known* learns what is taken in. *seen* has the ids of what was taken in before, and gets the new ones: customers
    come with each of their subscriptions.
    """
    account, here = custody(owner), frozenset(known.object)
    judged = Judged([], [], Counts(), [])
    left = [thing for thing in page if not _adopted(owner, account, thing, known, here, seen, judged)]
    # By now the customer of some may be known as the tenant's.
    for thing in [each for each in left if not _adopted(owner, account, each, known, here, seen, judged)]:
        _told(owner, account, thing, known, judged)
    return judged


def _adopted(
    owner: Owner, account: str | None, thing: Thing, known: Known, here: frozenset[str], seen: set[str], judged: Judged
) -> bool:
    """Take *thing* in if all that it names is the tenant's, or new."""
    parts = list(_parts(thing))
    found = [decide(_endpoint(account), account, clues(account, part), known) for part in parts]
    mine = isinstance(found[0], Attribution) and found[0].tenant_id == owner.id
    if not mine or any(isinstance(each, Quarantine) or not _ours(each, owner) for each in found[1:]):
        return False
    for part in parts:
        is_customer = part["object"] == "customer"
        name = qualified(account, part["id"])
        taken = judged.customers if is_customer else judged.subscriptions
        if part["id"] not in seen:
            seen.add(part["id"])
            taken.append(part)
            judged.counts.known += name in here
            judged.counts.customers += is_customer
            judged.counts.subscriptions += not is_customer
        known.object |= {clue.key: owner.id for clue in clues(account, part) if clue.kind == "object"}
    return True


def _ours(found: object, owner: Owner) -> bool:
    return not isinstance(found, Attribution) or found.tenant_id == owner.id


def _told(owner: Owner, account: str | None, thing: Thing, known: Known, judged: Judged) -> None:
    for part in _parts(thing):
        named = clues(account, part)
        found = decide(_endpoint(account), account, named, known)
        if isinstance(found, Quarantine) and _names(named, known, owner):
            judged.counts.refused += 1
            judged.findings.append(Finding(part["id"], found.reason))
            return
    found = decide(_endpoint(account), account, clues(account, next(_parts(thing))), known)
    if isinstance(found, Attribution) and found.tenant_id == owner.id:
        judged.counts.refused += 1
        judged.findings.append(Finding(thing["id"], "its customer is another tenant's"))
    elif isinstance(found, Attribution | Quarantine):
        judged.counts.others += 1
    else:
        judged.counts.unclaimed += 1


def _names(named: Iterable[Clue], known: Known, owner: Owner) -> bool:
    return any(known.named_by(clue) == owner.id for clue in named)


def _endpoint(account: str | None) -> str:
    return "connect" if account else "platform"


def _parts(thing: Thing) -> Iterator[Thing]:
    """The object as an event would have it, and the customer that it was expanded with, unless that was deleted."""
    customer = thing.get("customer")
    if not isinstance(customer, Mapping):
        yield thing
        return
    yield {**thing, "customer": customer["id"]}
    if not customer.get("deleted"):
        yield customer
