"""Pause a subscription for one of the durations on offer, and resume it."""

from functools import partial
from typing import Any

from colonnade_portal_page import words
from colonnade_sandbox import periods
from colonnade_sandbox.hosted import flows, pages, summary
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.resources import portal_pauses
from colonnade_sandbox.store import Object

FLOW = "subscription_pause"


def can_pause(visit: Visit, subscription: Object) -> bool:
    """Neither a scheduled cancellation nor a schedule; classic billing has no pause."""
    return (
        visit.has(FLOW)
        and subscription["status"] == "active"
        and subscription["cancel_at"] is None
        and subscription["schedule"] is None
        and subscription["billing_mode"]["type"] == "flexible"
    )


def can_resume(visit: Visit, subscription: Object) -> bool:
    return visit.has(FLOW) and subscription["status"] == "paused"


def durations(visit: Visit) -> dict[str, dict[str, Any] | None]:
    """The choices by the value of their form field; None is a pause without end."""
    duration = visit.feature(FLOW)["duration"]
    if duration["type"] == "indefinite":
        return {"": None}
    return {f"{option['interval_count']}-{option['interval']}": option for option in duration["interval_options"]}


def ask(visit: Visit, key: str) -> Response:
    choices, subscription = durations(visit), _open(visit, key)
    now, t = visit.call().now, visit.t
    timed = {name: wish for name, wish in choices.items() if wish is not None}
    return visit.page(
        "pause.html",
        summary=summary.of(visit, subscription),
        choices={name: words.duration(wish, t) for name, wish in timed.items()},
        dates={name: t.date(periods.step(now, wish, 1)) for name, wish in timed.items()},
        back=flows.way_back(visit, FLOW, subscription=key),
    )


def pause(visit: Visit, key: str) -> Response:
    """Raises Refused: 400 for a duration that is not on offer."""
    choices = durations(visit)
    _open(visit, key)
    wish = visit.request.form.get("duration", "")
    if wish not in choices:
        raise pages.Refused(400, "Please choose again", "This duration is not on offer.")
    visit.run(partial(portal_pauses.pause, duration=choices[wish]), key)
    return flows.finish(visit, FLOW, notice="paused", subscription=key)


def resume(visit: Visit, key: str) -> Response:
    visit.feature(FLOW)
    subscription = visit.subscription(key)
    if not can_resume(visit, subscription):
        raise pages.Refused(409, "Not possible", "This subscription is not paused.")
    resumed = visit.run(portal_pauses.resume, key)
    return pages.redirect(visit.home("resumed" if resumed["status"] == "active" else "resume-failed"))


def _open(visit: Visit, key: str) -> Object:
    visit.feature(FLOW)
    subscription = visit.subscription(key)
    if not can_pause(visit, subscription):
        raise pages.Refused(409, "Not possible", "This subscription cannot be paused here.")
    return subscription
