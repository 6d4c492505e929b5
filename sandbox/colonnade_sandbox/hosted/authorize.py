"""The page on which an account holder lets a platform in (`GET /oauth/authorize`)."""

from functools import partial
from urllib.parse import urlencode, urlsplit

from colonnade_sandbox import connections
from colonnade_sandbox.call import Call
from colonnade_sandbox.hosted import brand, pages
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox

PASSED_ON = ("client_id", "redirect_uri", "scope", "state")
SCOPES = ("read_write", "read_only")


def answer(request: Request, sandbox: Sandbox) -> Response:
    given = request.form if request.method == "POST" else request.arguments
    asked = {name: given.get(name, "") for name in PASSED_ON}
    asked["scope"] = asked["scope"] or "read_only"
    try:
        platform = _checked(sandbox, given, asked, shown=request.method != "POST")
        if request.method != "POST":
            return _page(sandbox, platform, asked, given.get("stripe_user[business_name]", ""))
        pages.check_form(request, sandbox, asked["client_id"] + asked["redirect_uri"])
        return _decided(sandbox, platform, given, asked)
    except pages.Refused as refused:
        return pages.refusal(refused)
    except connections.Refused as refused:
        return pages.refusal(pages.Refused(refused.status, "This request is not valid", refused.description))


def _checked(sandbox: Sandbox, given: dict[str, str], asked: dict[str, str], *, shown: bool) -> str:
    platform = connections.platform_of(sandbox.store, asked["client_id"])
    if urlsplit(asked["redirect_uri"]).scheme not in ("http", "https"):
        raise connections.Refused("invalid_redirect_uri", "No valid redirect_uri was provided.")
    if shown and given.get("response_type") != "code":
        raise connections.Refused("unsupported_response_type", "The response_type must be code.")
    if asked["scope"] not in SCOPES:
        raise connections.Refused("invalid_scope", f"Invalid scope provided: {asked['scope']}")
    return platform


def _page(sandbox: Sandbox, platform: str, asked: dict[str, str], name: str) -> Response:
    owner = sandbox.store.find(platform, "account", platform) or {}
    joining = [row for row in connections.standard_accounts(sandbox.store) if row["id"] != platform]
    return pages.render(
        "authorize.html",
        leads_to=[asked["redirect_uri"]],
        brand=brand.of(owner),
        asked=asked,
        accounts=joining[-20:],
        business_name=name,
        csrf_token=pages.form_token(sandbox, asked["client_id"] + asked["redirect_uri"]),
    )


def _decided(sandbox: Sandbox, platform: str, given: dict[str, str], asked: dict[str, str]) -> Response:
    """Back to the platform, with a code or with the refusal; its state comes back untouched."""
    if given.get("action") == "connect":
        known = {row["id"] for row in connections.standard_accounts(sandbox.store)} - {platform}
        chosen = given.get("account") or None
        if chosen is not None and chosen not in known:
            raise pages.Refused(400, "This account cannot be connected", "Choose one of the accounts on the page.")
        name = given.get("business_name") or "New business"
        step = partial(connections.approve, account=chosen, scope=asked["scope"], name=name)
        result = {"scope": asked["scope"], "code": sandbox.run(step, Call(sandbox, platform, platform))}
    else:
        result = {"error": "access_denied", "error_description": "The user denied your request"}
    if asked["state"]:
        result["state"] = asked["state"]
    url = asked["redirect_uri"]
    return pages.redirect(f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(result)}")
