"""Accounts of the V2 API: the same accounts as those of the V1 API, in another shape.

Of an account, what `include` names is shown and the rest is null. Its events are those of the V1 account.
"""

from typing import Any

from colonnade_sandbox import errors, lists, thin
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import account_defaults, account_links, account_writing, accounts
from colonnade_sandbox.store import Object

PATH = "/v2/core/accounts"
WRITTEN = (
    "configuration[merchant] configuration[recipient] contact_email dashboard defaults[currency] "
    "defaults[profile] defaults[responsibilities] display_name identity[country] identity[entity_type] include metadata"
)
# Who bears fees and losses, by the dashboard ("Connect and the Accounts v2 API", Stripe docs).
BEARERS = {"express": ("application", "application"), "full": ("stripe", "stripe")}
CAPABILITIES = {
    "card_payments": ("merchant", ("card_payments",)),
    "transfers": ("recipient", ("stripe_balance", "stripe_transfers")),
    "us_bank_account_ach_payments": ("merchant", ("ach_debit_payments",)),
    **{
        name: ("merchant", (name,))
        for name in ("acss_debit_payments", "au_becs_debit_payments", "bacs_debit_payments", "sepa_debit_payments")
    },
}


@operation("POST", PATH, takes=WRITTEN)
def create(call: Call) -> Object:
    """Raises StripeError (400) for a dashboard whose responsibilities are others'."""
    params = call.params
    given = params.get("defaults", {}).get("responsibilities", {})
    fees, losses = given.get("fees_collector", "stripe"), given.get("losses_collector", "stripe")
    dashboard = params.get("dashboard", "full")
    if (fees, losses) != BEARERS.get(dashboard, (fees, losses)):
        raise errors.invalid(f"These responsibilities do not go with the dashboard {dashboard}.", "dashboard")
    controller = {
        "fees": {"payer": "account" if fees == "stripe" else "application"},
        "losses": {"payments": losses},
        "requirement_collection": "application" if dashboard == "none" and losses == "application" else "stripe",
        "stripe_dashboard": {"type": dashboard},
    }
    country = params.get("identity", {}).get("country", "US")
    values = account_defaults.new(call, "none", {"country": country, "controller": controller})
    values = shapes.complete("account", values)
    values |= account_writing.changes(call, values, _v1(params))
    owner = call.on(values["id"])
    made = owner.put(account_writing.judged(owner, values, None))
    owner.emit("account.application.authorized", accounts.application(call))
    return _shown(call, made)


@operation("GET", f"{PATH}/{{id}}", takes="include")
def retrieve(call: Call) -> Object:
    return _shown(call, accounts.connected(call, call.id))


@operation("GET", PATH, takes="limit page")
def list_all(call: Call) -> Object:
    rows = [value for _, value in call.sandbox.store.everywhere("account") if call.platform in value["_platforms"]]
    return lists.v2_answer(call, [_shown(call, row) for row in reversed(rows)])


@operation("POST", f"{PATH}/{{id}}", takes=WRITTEN)
def update(call: Call) -> Object:
    account = accounts.connected(call, call.id)
    params = _v1(call.params)
    account_writing.check_control(account, set(params))
    return _shown(call, account_writing.write(call, account, account_writing.changes(call, account, params)))


@operation(
    "POST",
    "/v2/core/account_links",
    takes="account use_case[type] use_case[account_onboarding] use_case[account_update]",
)
def create_link(call: Call) -> Object:
    case = call.params["use_case"]
    options = case.get(case["type"])
    if options is None:
        raise errors.missing_parameter(f"use_case[{case['type']}]")
    made = account_links.create(call.to(account=call.params["account"], type=case["type"], **options))
    values = {
        "object": "v2.core.account_link",
        "account": call.params["account"],
        "created": thin.moment(made["created"]),
        "expires_at": thin.moment(made["expires_at"]),
        "livemode": False,
        "url": made["url"],
        "use_case": case,
    }
    return shapes.complete("v2.core.account_link", values)


def _v1(params: dict[str, Any]) -> dict[str, Any]:
    """The same wishes in the V1 API's words."""
    configuration, defaults = params.get("configuration", {}), params.get("defaults", {})
    wishes = {}
    for name, (part, path) in CAPABILITIES.items():
        found: Any = configuration.get(part, {}).get("capabilities", {})
        for step in path:
            found = found.get(step, {})
        if found:
            wishes[name] = found
    profile = {"name": defaults.get("profile", {}).get("doing_business_as") or params.get("display_name")}
    url = defaults.get("profile", {}).get("business_url")
    words = {
        "business_profile": {name: value for name, value in (profile | {"url": url}).items() if value},
        "business_type": params.get("identity", {}).get("entity_type"),
        "capabilities": wishes,
        "default_currency": defaults.get("currency"),
        "email": params.get("contact_email"),
        "metadata": params.get("metadata"),
    }
    return {name: value for name, value in words.items() if value}


def _shown(call: Call, account: Object) -> Object:
    controller = account["controller"]
    profile = account["business_profile"]
    values = {
        "id": account["id"],
        "object": "v2.core.account",
        "applied_configurations": sorted(
            {CAPABILITIES[name][0] for name in account["capabilities"] if name in CAPABILITIES}
        ),
        "closed": False,
        "contact_email": account["email"],
        "created": thin.moment(account["created"]),
        "dashboard": controller.get("stripe_dashboard", {}).get("type", "full"),
        "display_name": profile["name"],
        "livemode": False,
        "metadata": account["metadata"],
    }
    include = call.params.get("include", [])
    return shapes.complete("v2.core.account", values | _included(account, include))


def _included(account: Object, include: list[str]) -> dict[str, Any]:
    controller, profile = account["controller"], account["business_profile"]
    fees = controller.get("fees", {}).get("payer", "account")
    parts: dict[str, Any] = {
        "defaults": {
            "currency": account["default_currency"],
            "profile": {"business_url": profile["url"], "doing_business_as": profile["name"]},
            "responsibilities": {
                "fees_collector": "stripe" if fees == "account" else fees,
                "losses_collector": controller.get("losses", {}).get("payments", "stripe"),
                "requirements_collector": controller.get("requirement_collection", "stripe"),
            },
        },
        "identity": {"country": account["country"], "entity_type": account["business_type"]},
        "requirements": {"entries": _entries(account), "summary": _summary(account)},
    }
    return {name: value for name, value in parts.items() if name in include}


def _entries(account: Object) -> list[dict[str, Any]]:
    due = account["requirements"]
    return [
        {
            "awaiting_action_from": "stripe" if name in due["pending_verification"] else "user",
            "description": name,
            "errors": [],
            "impact": {"restricts_capabilities": []},
            "minimum_deadline": {"status": "past_due" if name in due["past_due"] else "currently_due"},
            "requested_reasons": [],
        }
        for name in dict.fromkeys([*due["currently_due"], *due["pending_verification"]])
    ]


def _summary(account: Object) -> dict[str, Any]:
    due = account["requirements"]
    status = "past_due" if due["past_due"] else "currently_due"
    deadline = due["current_deadline"]
    time = None if deadline is None else thin.moment(deadline)
    return {"minimum_deadline": {"status": status, "time": time} if due["currently_due"] else None}
