"""Billing information: the fields of the customer that the configuration lets one change."""

from functools import cache
from pathlib import Path
from typing import Any

from colonnade_portal_page.forms import ADDRESS, FIELDS, HEADINGS
from colonnade_sandbox.hosted import flows, pages
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.resources import customers

FEATURE = "customer_update"
LONGEST = 500


@cache
def countries() -> dict[str, str]:
    """English names by ISO 3166 code."""
    rows = (Path(__file__).parent / "countries.tsv").read_text("utf-8").splitlines()
    return dict(sorted((row.split("\t") for row in rows), key=lambda row: row[1]))


def allowed(visit: Visit) -> list[str]:
    """The updates that are on, in the order of the page."""
    updates = visit.feature(FEATURE)["allowed_updates"] or []
    return [name for name in FIELDS if name in updates]


def values(visit: Visit) -> dict[str, str]:
    """The customer as flat form fields."""
    customer = visit.customer
    shipping = customer["shipping"] or {}
    found = {name: customer[name] for name in ("name", "email", "phone")}
    found |= {f"address_{name}": (customer["address"] or {}).get(name) for name in ADDRESS}
    found |= {f"shipping_{name}": (shipping.get("address") or {}).get(name) for name in ADDRESS}
    found |= {f"shipping_{name}": shipping.get(name) for name in ("name", "phone")}
    return {name: value or "" for name, value in found.items()}


def summary(visit: Visit) -> list[tuple[str, list[str]]]:
    """What the home page shows: a label and lines for each field that may be changed."""
    current = values(visit)
    rows = []
    for group in allowed(visit):
        lines = [current[name] for name in FIELDS[group]]
        if group in HEADINGS:
            lines[-1] = countries().get(lines[-1], lines[-1])
        rows.append((HEADINGS.get(group, group.capitalize()), [line for line in lines if line]))
    return rows


def ask(visit: Visit, given: dict[str, str] | None = None, problems: dict[str, str] | None = None) -> Response:
    return visit.page(
        "customer.html",
        status=400 if problems else 200,
        groups={name: FIELDS[name] for name in allowed(visit)},
        headings=HEADINGS,
        values=values(visit) | (given or {}),
        problems=problems or {},
        countries=countries(),
        back=flows.way_back(visit, FEATURE),
    )


def save(visit: Visit) -> Response:
    """Raises Refused (403) for a field that the configuration does not let one change."""
    groups = allowed(visit)
    given = {name: value.strip() for name, value in visit.request.form.items() if name != "csrf_token"}
    if given.keys() - {name for group in groups for name in FIELDS[group]}:
        raise pages.Refused(403, "Not available", f"{visit.brand.name} does not let you change this here.")
    if problems := _problems(given):
        return ask(visit, given, problems)
    current = values(visit) | given
    params = {group: _param(group, current) for group in groups if given.keys() & FIELDS[group].keys()}
    visit.run(customers.update, visit.customer["id"], **params)
    return flows.finish(visit, FEATURE, notice="customer-updated")


def _problems(given: dict[str, str]) -> dict[str, str]:
    """What is wrong with each field, by its name."""
    found = {name: f"At most {LONGEST} characters." for name, value in given.items() if len(value) > LONGEST}
    email = given.get("email")
    if email is not None and not (email.count("@") == 1 and all(email.split("@")) and " " not in email):
        found["email"] = "Enter an email address such as name@example.com."
    for name in ("address_country", "shipping_country"):
        if given.get(name) and given[name] not in countries():
            found[name] = "Choose a country."
    if any(given.get(name) for name in FIELDS["shipping"]) and not given.get("shipping_name", "-"):
        found["shipping_name"] = "Enter who receives the shipment."
    return found


def _param(group: str, current: dict[str, str]) -> Any:
    """The parameter of the customer's update; an empty text unsets."""
    if group not in HEADINGS:
        return current[group]
    address = {name: current[f"{group}_{name}"] or None for name in ADDRESS}
    if group == "address":
        return address if any(address.values()) else ""
    name, phone = current["shipping_name"], current["shipping_phone"] or None
    return {"address": address, "name": name, "phone": phone} if name else ""
