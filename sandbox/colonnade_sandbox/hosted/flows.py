"""Flows: sessions that lead straight to one step, and on from it when it is done."""

from colonnade_sandbox.hosted import pages
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.store import Object

# The page of each flow: parts of its path, with the subscription's place as `{}`.
STEPS = {
    "customer_update": ("customer",),
    "payment_method_update": ("payment-methods", "new"),
    "subscription_cancel": ("subscriptions", "{}", "cancel"),
    "subscription_pause": ("subscriptions", "{}", "pause"),
    "subscription_update": ("subscriptions", "{}", "update"),
    "subscription_update_confirm": ("subscriptions", "{}", "update", "confirm"),
}

# What a finished page tells the next one to say.
NOTICES = {
    "canceled": "Your subscription has been canceled.",
    "cancellation-scheduled": "Your subscription will be canceled.",
    "change-planned": "Your plan will change at the end of the billing period.",
    "change-withdrawn": "Your plan will stay as it is.",
    "invoice-paid": "Your invoice has been paid.",
    "kept": "Your subscription will continue.",
    "offer-accepted": "Your discount has been applied.",
    "paused": "Your plan has been paused.",
    "resumed": "Your plan has been resumed.",
    "resume-failed": "The payment failed, so your plan is still paused. Update your payment method and try again.",
    "tax-id-added": "Your tax ID has been added.",
    "tax-id-removed": "Your tax ID has been removed.",
    "updated": "Your subscription has been updated.",
    "payment-method-added": "Your payment method has been added.",
    "payment-method-default": "Your default payment method has been changed.",
    "payment-method-removed": "Your payment method has been removed.",
    "customer-updated": "Your billing information has been updated.",
}


def start(visit: Visit) -> str | None:
    """The page of the flow's step; None without a flow, or where it has nothing left to do."""
    kind = (visit.session["flow"] or {}).get("type", "")
    if kind not in STEPS or _is_done(visit, kind):
        return None
    subscription = _subscription(visit) or ""
    url = visit.url(*(part.format(subscription) for part in STEPS[kind]))
    if item := confirmed(visit, subscription):
        url += f"?price={item['price']}&quantity={item.get('quantity', 1)}"
    return url


def _subscription(visit: Visit) -> str | None:
    flow = visit.session["flow"]
    about = flow.get(flow["type"]) or {}
    found: str | None = about.get("subscription")
    return found


def _is_done(visit: Visit, kind: str) -> bool:
    """Whether a flow that is opened again has nothing left to do."""
    key = _subscription(visit)
    subscription = next((row for row in visit.subscriptions() if row["id"] == key), None)
    if not kind.startswith("subscription"):
        return False
    if subscription is None or subscription["cancel_at"] is not None:
        return True
    if kind == "subscription_pause":
        return bool(subscription["status"] == "paused")
    if kind != "subscription_update_confirm":
        return False
    wanted, item = confirmed(visit, str(key)), subscription["items"]["data"][0]
    same = wanted is not None and (wanted["price"], wanted.get("quantity")) == (
        item["price"]["id"],
        item.get("quantity"),
    )
    return wanted is None or (same and not discounts(visit, str(key)))


def confirmed(visit: Visit, subscription: str) -> Object | None:
    """The change that a confirm flow is about, if this session is one and about `subscription`."""
    about: Object = (visit.session["flow"] or {}).get("subscription_update_confirm") or {}
    return about["items"][0] if about.get("subscription") == subscription else None


def discounts(visit: Visit, subscription: str) -> list[Object]:
    """The discounts that a confirm flow gives and the subscription does not have yet."""
    about: Object = (visit.session["flow"] or {}).get("subscription_update_confirm") or {}
    if about.get("subscription") != subscription:
        return []
    call = visit.call()
    taken = [call.get("discount", key, "discounts") for key in visit.subscription(subscription)["discounts"]]
    codes = {row["promotion_code"] for row in taken} | {row["source"]["coupon"] for row in taken}
    wanted = [{name: key for name, key in wish.items() if key} for wish in about["discounts"] or []]
    return [wish for wish in wanted if not codes & set(wish.values())]


def retention(visit: Visit, subscription: str) -> Object | None:
    """The coupon that a cancel flow offers for staying; None where there is none or it is taken."""
    about: Object = (visit.session["flow"] or {}).get("subscription_cancel") or {}
    if about.get("subscription") != subscription or not about.get("retention"):
        return None
    call = visit.call()
    coupon = call.find("coupon", about["retention"]["coupon_offer"]["coupon"])
    taken = [call.get("discount", key, "discounts") for key in visit.subscription(subscription)["discounts"]]
    if coupon is None or not coupon["valid"] or coupon["id"] in {row["source"]["coupon"] for row in taken}:
        return None
    return coupon


def is_step(visit: Visit, kinds: tuple[str, ...], subscription: str | None = None) -> bool:
    """Whether the page is the step that the session's flow is for."""
    flow = visit.session["flow"]
    return bool(flow) and flow["type"] in kinds and _subscription(visit) == subscription


def way_back(visit: Visit, *kinds: str, subscription: str | None = None) -> tuple[str, str]:
    """URL and words of the link that leaves a page unfinished."""
    if is_step(visit, kinds, subscription) and visit.return_url:
        return visit.return_url, visit.t("Return to {name}", name=visit.brand.name)
    return home_link(visit)


def home_link(visit: Visit) -> tuple[str, str]:
    return visit.home(), visit.t("Return to billing")


def finish(visit: Visit, *kinds: str, notice: str, subscription: str | None = None) -> Response:
    """Where a finished page leads: as the flow's `after_completion` says, else home with a notice."""
    if not is_step(visit, kinds, subscription):
        return pages.redirect(visit.home(notice))
    after = visit.session["flow"]["after_completion"]
    if after["type"] == "redirect":
        return pages.redirect(after["redirect"]["return_url"])
    if after["type"] == "hosted_confirmation":
        return pages.redirect(f"{visit.url('done')}?notice={notice}")
    return pages.redirect(visit.home(notice))


def done(visit: Visit) -> Response:
    """The hosted confirmation, with the flow's own message."""
    after = (visit.session["flow"] or {}).get("after_completion") or {}
    if after.get("type") != "hosted_confirmation":
        return pages.redirect(visit.home())
    message = (after.get("hosted_confirmation") or {}).get("custom_message")
    title = visit.t(NOTICES.get(visit.request.arguments.get("notice", ""), "All done."))
    return visit.page("done.html", title=title, message=message)
