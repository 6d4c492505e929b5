"""What a write to an account changes, and who may write what."""

from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.resources import account_requirements, external_account_values, files, person_values
from colonnade_sandbox.store import Object

# What a platform may still write once the account holder has taken over (API reference, "Update an account").
AFTER_LINK = {"full": {"metadata"}, "express": {"metadata", "settings", "capabilities", "business_profile"}}
COMPANY_SECRETS = {"tax_id": "tax_id_provided", "vat_id": "vat_id_provided"}


def changes(call: Call, account: Object, params: dict[str, Any]) -> dict[str, Any]:
    """The account's fields after `params`, metadata and nested objects merged.

    Raises StripeError (400) for branding files or bank accounts that are none.
    """
    found: dict[str, Any] = {"metadata": merged_metadata(account["metadata"], params.get("metadata"))}
    for name in ("business_profile", "settings", "tos_acceptance"):
        if name in params:
            found[name] = merged(account.get(name) or {}, params[name])
    for name in ("email", "business_type", "default_currency"):
        if name in params:
            found[name] = unset(params[name])
    if "company" in params:
        found["company"] = _company(account.get("company") or {}, params["company"])
    if name := params.get("business_profile", {}).get("name"):
        settings = found.get("settings") or account["settings"]
        found["settings"] = merged(settings, {"dashboard": {"display_name": name}})
    if "external_account" in params:
        added = external_account_values.made(account, params["external_account"])
        found["external_accounts"] = external_account_values.page(account, [added])
    if "capabilities" in params:
        found |= asked(account, params["capabilities"], call.now)
    _check_branding(call, account["id"], params)
    return found


def write(call: Call, account: Object, changed: dict[str, Any], individual: dict[str, Any] | None = None) -> Object:
    """Store changes of an account, and of the person who acts for it.

    `account.updated`, `person.…` and `capability.updated` follow where they apply.
    """
    owner = call.on(account["id"])
    person = person_values.representative(owner)
    if individual is not None:
        relationship = individual.get("relationship", {}) | {"representative": True}
        person = person_values.save(owner, individual | {"relationship": relationship}, person)
    after = owner.change(account, judged(owner, account | changed, person))
    for name in sorted(after["capabilities"].keys() | account["capabilities"].keys()):
        if account["capabilities"].get(name) != after["capabilities"].get(name):
            owner.emit("capability.updated", account_requirements.capability(after, name))
    return after


def judged(owner: Call, account: Object, person: Object | None) -> Object:
    """The complete account with what follows from what it and its person have told."""
    if not account["_platforms"]:
        return shapes.complete("account", account)
    found = account_requirements.judged(account, person, owner.now)
    if person is not None:
        heads = (f"{person['id']}.", "individual.")
        due = [path.partition(".")[2] for path in found["requirements"]["past_due"] if path.startswith(heads)]
        told = {"currently_due": due, "eventually_due": due, "past_due": due}
        person = owner.put(person | {"requirements": person["requirements"] | told})
        if found["business_type"] == "individual":
            found["individual"] = person
    return shapes.complete("account", found)


def merged(old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for name, value in given.items():
        nested = isinstance(value, dict) and isinstance(old.get(name), dict)
        result[name] = merged(old[name], value) if nested else unset(value)
    return result


def _company(old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    provided = {flag: bool(given[name]) for name, flag in COMPANY_SECRETS.items() if name in given}
    return merged(old, {name: value for name, value in given.items() if name not in COMPANY_SECRETS}) | provided


def asked(account: Object, wishes: dict[str, Any], now: int) -> dict[str, Any]:
    """Capabilities after some are requested or no longer requested."""
    states, since = dict(account["capabilities"]), dict(account.get("_requested", {}))
    for name, wish in wishes.items():
        if wish.get("requested"):
            states.setdefault(name, "inactive")
            since.setdefault(name, now)
        elif "requested" in wish:
            states.pop(name, None)
            since.pop(name, None)
    return {"capabilities": dict(sorted(states.items())), "_requested": since}


def _check_branding(call: Call, account: str, params: dict[str, Any]) -> None:
    """Icon and logo must be files of the account or of the platform that writes them."""
    branding = params.get("settings", {}).get("branding", {})
    for name in ("icon", "logo"):
        key, param = branding.get(name), f"settings[branding][{name}]"
        if not key:
            continue
        found = [file for owner in (account, call.platform) if (file := call.on(owner).find("file", key))]
        if not found:
            raise errors.no_such("file", key, param)
        files.check_brand(found[0], name, param)


def check_control(account: Object, names: set[str]) -> None:
    """Raises StripeError (403) where the platform may not write `names`.

    A platform writes everything while it collects the requirements; otherwise everything until the first account
    link or session, and little from then on.
    """
    controller = account["controller"]
    if not account["_linked"] or controller.get("requirement_collection") == "application":
        return
    dashboard = controller.get("stripe_dashboard", {}).get("type", "full")
    if names - AFTER_LINK.get(dashboard, {"metadata", "settings"}):
        text = (
            f"This application does not have the required permissions for this endpoint on account '{account['id']}'."
        )
        raise errors.StripeError(403, text, code="oauth_not_supported")
