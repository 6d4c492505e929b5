"""One invoice as a page: within the portal, and by the secret URL that the invoice itself carries."""

from typing import Any

from colonnade_sandbox.call import Call
from colonnade_sandbox.hosted import brand, flows, pages
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object

STATUSES = {
    "paid": ("Paid", "good"),
    "open": ("Open", "warn"),
    "void": ("Void", "plain"),
    "uncollectible": ("Uncollectible", "bad"),
}


def of_visit(visit: Visit, key: str) -> Response:
    visit.feature("invoice_history")
    for invoice in visit.invoices():
        if invoice["id"] == key:
            back = flows.home_link(visit)
            return visit.page("invoice.html", back=back, **_content(visit.call(), invoice))
    raise pages.Refused(404, "Invoice not found", "There is no such invoice.")


def public(request: Request, sandbox: Sandbox, token: str) -> Response:
    """`hosted_invoice_url`, in the brand of the account that the invoice was made on behalf of."""
    for account, invoice in sandbox.store.everywhere("invoice"):
        if (invoice["hosted_invoice_url"] or "").rpartition("/")[2] == token and invoice["status"] != "draft":
            seller = invoice["on_behalf_of"] or account
            shown = brand.of(sandbox.store.find(seller, "account", seller) or {"business_profile": {}, "settings": {}})
            return pages.render(
                "invoice.html", brand=shown, back=None, **_content(Call(sandbox, account, account), invoice)
            )
    raise pages.Refused(404, "Invoice not found", "This link is not valid.")


def _content(call: Call, invoice: Object) -> dict[str, Any]:
    label, tone = STATUSES.get(invoice["status"], (invoice["status"], "plain"))
    lines = [(description(call, line), line) for line in invoice["lines"]["data"]]
    return {"invoice": invoice, "label": label, "tone": tone, "lines": lines}


def description(call: Call, line: Object) -> str:
    """The line's own text, else the name of its product."""
    details = ((line["pricing"] or {}).get("price_details")) or {}
    product = call.find("product", details.get("product") or "") or {}
    return str(line["description"] or product.get("name") or "Subscription")
