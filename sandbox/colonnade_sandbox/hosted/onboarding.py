"""Hosted onboarding: what a connected account still has to tell, given by one button."""

from functools import partial

from colonnade_sandbox import ids
from colonnade_sandbox.call import Call
from colonnade_sandbox.errors import StripeError
from colonnade_sandbox.hosted import brand, pages
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import account_completion, account_links, accounts
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import NOWHERE, Object

KIND = "_onboarding_session"
# From the first page to the last; seconds.
LASTS = 3600
# What is due in words, by the beginning of its name; a person's fields begin with the person's id.
REQUIREMENTS = {
    "business_profile.mcc": "What your business sells",
    "business_profile.url": "The website of your business",
    "business_type": "The type of your business",
    "company": "Name, address and tax number of your company",
    "external_account": "A bank account for your payouts",
    "individual": "Your name, address and date of birth",
    "person": "Name, address and date of birth of the person who represents you",
    "representative": "Name, address and date of birth of the person who represents you",
    "tos_acceptance": "Your agreement to the terms of service",
}


def open_link(request: Request, sandbox: Sandbox, token: str) -> Response:
    """A link works once: it opens a session, whose page may be reloaded. A spent one leads to `refresh_url`."""
    known = sandbox.store.find(NOWHERE, account_links.KIND, token)
    if known is None or request.method != "GET":
        raise pages.Refused(404, "Page not found", "This link is not valid.")
    session = sandbox.run(partial(_open, token=token), Call(sandbox, known["platform"], known["platform"]))
    return pages.redirect(f"/onboarding/session/{session}" if session else known["refresh_url"])


def _open(call: Call, token: str) -> str | None:
    link = account_links.open_link(call, token)
    if link is None:
        return None
    session = ids.token(32)
    kept = {name: link[name] for name in ("account", "collects", "platform", "return_url", "refresh_url")}
    accounts.remember(call, KIND, session, kept | {"id": session, "expires_at": call.now + LASTS, "done": False})
    return session


def answer(request: Request, sandbox: Sandbox, token: str) -> Response:
    session = sandbox.store.find(NOWHERE, KIND, token)
    if session is None:
        raise pages.Refused(404, "Page not found", "This link is not valid.")
    if session["done"] or session["expires_at"] < sandbox.clock.now():
        return pages.redirect(session["refresh_url"])
    call = Call(sandbox, session["platform"], session["platform"])
    try:
        account = accounts.connected(call, session["account"])
    except StripeError:
        text = "This account is no longer connected."
        raise pages.Refused(410, "This link has expired", text) from None
    if request.method != "POST":
        return _page(sandbox, session, account)
    pages.check_form(request, sandbox, token)
    sandbox.run(partial(_complete, session=session, account=account), call)
    return pages.redirect(session["return_url"])


def _page(sandbox: Sandbox, session: Object, account: Object) -> Response:
    due = list(dict.fromkeys(_in_words(field) for field in _collected(session, account)))
    return pages.render(
        "onboarding.html",
        leads_to=[session["return_url"], session["refresh_url"]],
        brand=brand.of(account),
        session=session,
        due=due,
        csrf_token=pages.form_token(sandbox, session["id"]),
    )


def _collected(session: Object, account: Object) -> list[str]:
    """The requirements that the link is to collect, by its `collection_options`."""
    fields, future = session["collects"]["fields"], session["collects"]["future_requirements"] == "include"
    asked = [account["requirements"], *([account["future_requirements"]] if future else [])]
    return [name for requirements in asked for name in (requirements or {}).get(fields) or []]


def _in_words(field: str) -> str:
    if field.endswith(".verification.document"):
        return "A photo of an identity document"
    return next((words for start, words in REQUIREMENTS.items() if field.startswith(start)), field)


def _complete(call: Call, session: Object, account: Object) -> None:
    """Fills in what is due and leaves what the account has told as it is."""
    if _collected(session, account):
        profile = {name: account["business_profile"][name] for name in ("url", "mcc")}
        told = {"business_profile": {name: value for name, value in profile.items() if value}}
        if account["business_type"]:
            told["business_type"] = account["business_type"]
        account_completion.complete(call, session["account"], told)
    call.sandbox.store.put(NOWHERE, KIND, session["id"], session | {"done": True})
