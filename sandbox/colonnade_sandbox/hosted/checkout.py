"""The Checkout page: what is bought, by whom, with which test card."""

from collections.abc import Callable
from functools import partial
from typing import Any

from colonnade_portal_page.forms import CARDS
from colonnade_sandbox.errors import StripeError
from colonnade_sandbox.hosted import pages, words
from colonnade_sandbox.hosted.purchase import Purchase, open_purchase
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import (
    checkout_completion,
    checkout_lines,
    checkout_quotes,
    promotion_codes,
    test_cards,
    test_clocks,
)
from colonnade_sandbox.sandbox import Sandbox

# Test cards that only Checkout offers, and how they behave.
SECURE = {"authenticationRequired": ("Visa •••• 3184", "Asks to confirm each payment (3D Secure)")}


def answer(request: Request, sandbox: Sandbox, token: str) -> Response:
    purchase = open_purchase(request, sandbox, token)
    if request.method != "POST":
        return _page(purchase)
    pages.check_form(request, sandbox, token)
    action = ACTIONS.get(request.form.get("action", "pay"))
    if action is None:
        raise pages.Refused(400, "Not possible", "This page cannot be used that way.")
    try:
        return action(purchase)
    except StripeError as error:
        return _page(purchase, str(error), error.status)


def challenge(request: Request, sandbox: Sandbox, token: str) -> Response:
    """The bank's page: the customer confirms the payment, or fails to."""
    purchase = open_purchase(request, sandbox, token)
    pending = purchase.session.get("_pending")
    if pending is None:
        return pages.redirect(purchase.url)
    if request.method != "POST":
        return _render(purchase, "challenge.html", pending=pending, leads_to=[purchase.success_url])
    pages.check_form(request, sandbox, token)
    if request.form.get("action") != "complete":
        text = purchase.t("We could not confirm that it is you. Choose another payment method or try again.")
        return _page(purchase, text, 402)
    try:
        return _complete(purchase, **pending, authenticated=True)
    except StripeError as error:
        return _page(purchase, str(error), error.status)


def _page(purchase: Purchase, alert: str = "", status: int = 200) -> Response:
    session, form = purchase.session, purchase.request.form
    codes = [purchase.call().find("promotion_code", wish["promotion_code"] or "") for wish in session["discounts"]]
    return _render(
        purchase,
        "checkout.html",
        status=status,
        alert=alert,
        leads_to=[purchase.success_url],
        lines=session["_lines"],
        per_period=_per_period(purchase),
        trial=purchase.trial_days,
        codes=[code["code"] for code in codes if code],
        cards=CARDS | SECURE if purchase.needs_card else {},
        chosen=form.get("card", "visa"),
        email=purchase.email,
        given={name: form.get(name, "") for name in ("email", "name", "code")},
        cancel_url=words.web_link(session["cancel_url"]),
    )


def _render(purchase: Purchase, template: str, **values: Any) -> Response:
    common: dict[str, Any] = {
        "brand": purchase.brand,
        "csrf_token": pages.form_token(purchase.sandbox, purchase.session["id"]),
        "session": purchase.session,
        "t": purchase.t,
        "url": purchase.url,
    }
    return pages.render(template, **(common | values))


def _per_period(purchase: Purchase) -> str:
    """`$10.00 per month`, by the first line's interval."""
    session = purchase.session
    amount = words.money(checkout_quotes.per_period(session), session["currency"])
    return f"{amount} {words.interval(session['_lines'][0]['price']['recurring'], purchase.t)}"


def _apply_code(purchase: Purchase) -> Response:
    if not purchase.session["allow_promotion_codes"]:
        raise pages.Refused(403, "Not available", "Promotion codes are not taken here.")
    code = promotion_codes.typed(purchase.call(), purchase.request.form.get("code", ""))
    if code is None:
        return _page(purchase, purchase.t("This code is not valid."), 400)
    purchase.change({"discounts": [{"coupon": None, "promotion_code": code["id"]}]})
    return pages.redirect(purchase.url)


def _remove_code(purchase: Purchase) -> Response:
    if not purchase.session["allow_promotion_codes"]:
        raise pages.Refused(403, "Not available", "Promotion codes are not taken here.")
    purchase.change({"discounts": []})
    return pages.redirect(purchase.url)


def _set_quantities(purchase: Purchase) -> Response:
    form, lines = purchase.request.form, []
    for line in purchase.session["_lines"]:
        given = form.get(f"quantity_{line['id']}")
        if given is not None:
            if not (given.isascii() and given.isdigit() and len(given) < 7):
                return _page(purchase, purchase.t("The quantity must be a whole number."), 400)
            line = checkout_lines.with_quantity(line, int(given))
        lines.append(line)
    purchase.change({"_lines": lines})
    return pages.redirect(purchase.url)


def _pay(purchase: Purchase) -> Response:
    form, t = purchase.request.form, purchase.t
    card = form.get("card") if purchase.needs_card else None
    email, name = purchase.email or form.get("email", "").strip(), form.get("name", "").strip()
    if purchase.needs_card and card not in CARDS | SECURE:
        return _page(purchase, t("Choose one of the test cards."), 400)
    if not (email.count("@") == 1 and all(email.split("@")) and " " not in email):
        return _page(purchase, t("Enter an email address such as name@example.com."), 400)
    if purchase.customer is None and not name:
        return _page(purchase, t("Enter your name."), 400)
    if card is not None and test_cards.CARDS[card].secure:
        pending = {"email": email, "name": name, "card": card}
        purchase.sandbox.run(lambda call: call.put(purchase.session | {"_pending": pending}), purchase.call())
        return pages.redirect(f"{purchase.url}/confirm")
    return _complete(purchase, email=email, name=name, card=card, authenticated=False)


def _complete(purchase: Purchase, *, email: str, name: str, card: str | None, authenticated: bool) -> Response:
    wanted = partial(checkout_completion.complete, session=purchase.session, email=email, name=name, card=card)
    call = purchase.call()
    if purchase.customer is not None:
        test_clocks.check_still(call, purchase.customer)
    purchase.sandbox.run(partial(wanted, authenticated=authenticated), call)
    return pages.redirect(purchase.success_url)


ACTIONS: dict[str, Callable[[Purchase], Response]] = {
    "code": _apply_code,
    "remove-code": _remove_code,
    "quantity": _set_quantities,
    "pay": _pay,
}
