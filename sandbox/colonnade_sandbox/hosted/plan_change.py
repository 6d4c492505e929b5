"""Switch to another plan, or to another quantity, or enter a code: only what the configuration allows."""

from colonnade_sandbox import periods
from colonnade_sandbox.hosted import (
    deferral,
    flows,
    invoices,
    pages,
    plan_choice,
    plan_costs,
    summary,
    words,
)
from colonnade_sandbox.hosted.offers import FEATURE, can_update, offers, takes_codes
from colonnade_sandbox.hosted.plan_choice import Choice
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.resources import subscriptions
from colonnade_sandbox.store import Object

FLOWS = (FEATURE, "subscription_update_confirm")


def choose(visit: Visit, key: str) -> Response:
    """The list of plans; a choice leads to the page that confirms it."""
    subscription = _open(visit, key)
    listed, item = offers(visit, subscription), subscription["items"]["data"][0]
    bounded = [offer for offer in listed if offer.minimum is not None]
    return visit.page(
        "update.html",
        summary=summary.of(visit, subscription),
        offers=listed,
        quantity=item["quantity"],
        minimum=min((offer.minimum or 1 for offer in bounded), default=None),
        maximum=max((offer.maximum or 1 for offer in bounded), default=None),
        takes_codes=takes_codes(visit),
        back=flows.way_back(visit, FEATURE, subscription=key),
    )


def confirm(visit: Visit, key: str) -> Response:
    """What the change costs and when it takes effect."""
    subscription = _open(visit, key)
    choice = plan_choice.read(visit, subscription, visit.request.arguments)
    back = flows.way_back(visit, "subscription_update_confirm", subscription=key)
    if not flows.is_step(visit, ("subscription_update_confirm",), key):
        back = (visit.url("subscriptions", key, "update"), visit.t("Choose another plan"))
    wanted = plan_choice.params(visit, subscription, choice)
    cost = plan_costs.of(visit, subscription, wanted) if wanted else None
    return visit.page(
        "confirm.html",
        summary=summary.of(visit, subscription),
        choice=choice,
        title=summary.product_name(visit, choice.price),
        detail=summary.nickname(visit, choice.price),
        terms=_terms(visit, subscription, choice),
        cost=cost,
        lines=[(invoices.description(visit.call(), line), line) for line in cost.lines] if cost else [],
        back=back,
    )


def _terms(visit: Visit, subscription: Object, choice: Choice) -> str:
    """When the change applies and what is charged next."""
    t, total = visit.t, words.total_price(choice.price, choice.quantity, visit.t)
    now, end = visit.call().now, choice.item["current_period_end"]
    if not choice.changes_plan:
        return t("Your discount applies from now on.")
    if choice.deferred:
        return t("Nothing changes until {date}. From then on you pay {price}.", date=t.date(end), price=total)
    if subscription["status"] == "trialing":
        if not plan_choice.ends_trial(visit):
            text = "Your plan changes now and your trial goes on. From {date} you pay {price}."
            return t(text, date=t.date(end), price=total)
        return t("Your plan changes now, your trial ends, and you pay {price} from today.", price=total)
    if _starts_anew(visit, choice):
        text = "Your plan changes now and a new billing period starts. It renews on {date} at {price}."
        return t(text, date=t.date(periods.step(now, choice.price["recurring"], 1)), price=total)
    return t("Your plan changes now. From {date} you pay {price}.", date=t.date(end), price=total)


def _starts_anew(visit: Visit, choice: Choice) -> bool:
    """Another interval, or a configuration that says so, starts a new period."""
    old, new = choice.item["price"]["recurring"], choice.price["recurring"]
    other = (old["interval"], old["interval_count"]) != (new["interval"], new["interval_count"])
    return other or bool(visit.feature(FEATURE)["billing_cycle_anchor"] == "now")


def update(visit: Visit, key: str) -> Response:
    subscription = _open(visit, key)
    choice = plan_choice.read(visit, subscription, visit.request.form)
    if wanted := plan_choice.params(visit, subscription, choice):
        visit.run(subscriptions.update, key, **wanted)
    if choice.deferred:
        deferral.defer(visit, visit.subscription(key), choice.price, choice.quantity)
    notice = "change-planned" if choice.deferred else "updated"
    return flows.finish(visit, *FLOWS, notice=notice, subscription=key)


def _open(visit: Visit, key: str) -> Object:
    visit.feature(FEATURE)
    subscription = visit.subscription(key)
    if not can_update(visit, subscription) and not _confirmable(visit, subscription):
        raise pages.Refused(409, "Not possible", "This subscription cannot be changed here.")
    return subscription


def _confirmable(visit: Visit, subscription: Object) -> bool:
    return flows.confirmed(visit, subscription["id"]) is not None and subscription["schedule"] is None
