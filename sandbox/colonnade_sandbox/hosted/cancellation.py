"""Cancel a subscription, and take that back."""

from functools import partial
from typing import Any

from colonnade_portal_page.forms import REASONS
from colonnade_sandbox.hosted import deferral, flows, pages, summary, words
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.resources import feedback_options, lifecycle, subscriptions
from colonnade_sandbox.store import Object

FLOW = "subscription_cancel"
LONGEST_COMMENT = 500


def can_cancel(visit: Visit, subscription: Object) -> bool:
    return visit.has(FLOW) and subscription["cancel_at"] is None


def can_keep(visit: Visit, subscription: Object) -> bool:
    return visit.has(FLOW) and subscription["cancel_at"] is not None


def ask(visit: Visit, key: str) -> Response:
    """The page that asks whether, and perhaps why."""
    feature, subscription = _open(visit, key)
    return visit.page(
        "cancel.html",
        summary=summary.of(visit, subscription),
        back=flows.way_back(visit, FLOW, subscription=key),
        immediately=feature["mode"] == "immediately",
        ends=lifecycle.period_end(subscription),
        reasons=_reasons(visit, feature),
        offer=_offer(visit, key),
    )


def _offer(visit: Visit, key: str) -> str | None:
    """`20% off for 3 months`: what the flow gives to who stays."""
    coupon = flows.retention(visit, key)
    return words.coupon(coupon, visit.t) if coupon is not None else None


def stay(visit: Visit, key: str) -> Response:
    """Take the coupon instead of canceling.

    Raises Refused (403) where the session's flow offers none.
    """
    _, subscription = _open(visit, key)
    coupon = flows.retention(visit, key)
    if coupon is None:
        raise pages.Refused(403, "Not available", "There is no such offer.")
    kept = [{"discount": name} for name in subscription["discounts"]]
    visit.run(subscriptions.update, key, discounts=[*kept, {"coupon": coupon["id"]}])
    return flows.finish(visit, FLOW, notice="offer-accepted", subscription=key)


def cancel(visit: Visit, key: str) -> Response:
    feature, subscription = _open(visit, key)
    details = _answers(visit, feature)
    deferral.release(visit, subscription)
    subscription = visit.subscription(key)
    if feature["mode"] == "immediately":
        prorate = feature["proration_behavior"] == "create_prorations"
        visit.run(subscriptions.cancel, key, cancellation_details=details, prorate=prorate)
        return flows.finish(visit, FLOW, notice="canceled", subscription=key)
    schedule = partial(lifecycle.schedule_cancellation, subscription=subscription, in_portal=True, details=details)
    visit.run(schedule)
    return flows.finish(visit, FLOW, notice="cancellation-scheduled", subscription=key)


def keep(visit: Visit, key: str) -> Response:
    visit.feature(FLOW)
    subscription = visit.subscription(key)
    if subscription["cancel_at"] is None:
        raise pages.Refused(409, "Nothing to undo", "This subscription is not being canceled.")
    visit.run(partial(lifecycle.keep, subscription=subscription))
    return pages.redirect(visit.home("kept"))


def _open(visit: Visit, key: str) -> tuple[dict[str, Any], Object]:
    feature, subscription = visit.feature(FLOW), visit.subscription(key)
    if subscription["cancel_at"] is not None:
        raise pages.Refused(409, "Already canceled", summary.when(visit, subscription))
    return feature, subscription


def _reasons(visit: Visit, feature: dict[str, Any]) -> dict[str, str]:
    """The reasons to choose from by the value of their form field: Stripe's, then the business's own."""
    asked = feature["cancellation_reason"]
    if not asked["enabled"]:
        return {}
    own = (visit.call().find(feedback_options.KIND, key) for key in asked["feedback_options"] or [])
    found = {name: visit.t(REASONS[name]) for name in asked["options"] or [] if name in REASONS}
    return found | {option["id"]: option["description"] for option in own if option and option["status"] == "active"}


def _answers(visit: Visit, feature: dict[str, Any]) -> dict[str, Any]:
    """Raises Refused: 403 for an answer that is not asked for, 400 for one that is not on offer."""
    form, reasons = visit.request.form, _reasons(visit, feature)
    feedback, comment = form.get("feedback", ""), form.get("comment", "").strip()
    if (feedback or comment) and not reasons:
        raise pages.Refused(403, "Not available", "Reasons are not asked for here.")
    if feedback and feedback not in reasons:
        raise pages.Refused(400, "Please choose again", "This reason is not on offer.")
    if len(comment) > LONGEST_COMMENT:
        text = visit.t("A comment may have at most {count} characters.", count=LONGEST_COMMENT)
        raise pages.Refused(400, "Please shorten", text)
    field = "feedback" if feedback in REASONS else "feedback_option"
    return {name: value for name, value in ((field, feedback), ("comment", comment)) if value}
