"""The customer's tax ids: add and remove, where the configuration lets one."""

from typing import Any

from colonnade_sandbox.errors import StripeError
from colonnade_sandbox.hosted import flows, pages
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.resources import tax_id_rules, tax_ids

FEATURE = "customer_update"
KINDS = tuple(sorted(tax_id_rules.FORMS))
STATUSES = {
    "pending": ("Being checked", "plain"),
    "verified": ("Verified", "good"),
    "unverified": ("Not verified", "bad"),
}


def allowed(visit: Visit) -> bool:
    return visit.has(FEATURE) and "tax_id" in (visit.feature(FEATURE)["allowed_updates"] or [])


def rows(visit: Visit) -> list[dict[str, Any]]:
    """Id, type, number and, where it was checked, the outcome."""
    found = []
    for row in tax_ids.of_customer(visit.call(), visit.customer["id"]):
        status = STATUSES.get((row["verification"] or {}).get("status", ""))
        name = name_of(row["type"])
        found.append({"id": row["id"], "kind": name, "value": row["value"], "status": status})
    return found


def name_of(kind: str) -> str:
    """`EU VAT` for `eu_vat`."""
    return kind.upper().replace("_", " ")


def ask(visit: Visit, alert: str = "", status: int = 200) -> Response:
    _check(visit)
    form = visit.request.form
    return visit.page(
        "tax_id.html",
        status=status,
        alert=alert,
        kinds={kind: name_of(kind) for kind in KINDS},
        given={"type": form.get("type", "eu_vat"), "value": form.get("value", "")},
        back=flows.home_link(visit),
    )


def add(visit: Visit) -> Response:
    _check(visit)
    kind, value = visit.request.form.get("type", ""), visit.request.form.get("value", "").strip()
    if kind not in KINDS:
        return ask(visit, visit.t("Choose a type."), 400)
    try:
        visit.run(tax_ids.create_of_customer, visit.customer["id"], type=kind, value=value)
    except StripeError as error:
        return ask(visit, str(error), error.status)
    return pages.redirect(visit.home("tax-id-added"))


def remove(visit: Visit, key: str) -> Response:
    _check(visit)
    if key not in {row["id"] for row in rows(visit)}:
        raise pages.Refused(404, "Tax ID not found", "There is no such tax ID.")
    visit.run(tax_ids.delete, key)
    return pages.redirect(visit.home("tax-id-removed"))


def _check(visit: Visit) -> None:
    """Raises Refused (403) where the configuration keeps tax ids out."""
    visit.feature(FEATURE)
    if not allowed(visit):
        text = visit.t("{name} does not offer this here.", name=visit.brand.name)
        raise pages.Refused(403, "Not available", text)
