"""One invoice as a page: within the portal, and by the secret URL that the invoice itself carries."""

from typing import Any

from colonnade_portal_page import messages
from colonnade_portal_page.messages import Language
from colonnade_sandbox.call import Call
from colonnade_sandbox.hosted import brand, flows, invoice_payment, pages, pdf, words
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import test_clocks
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object

STATUSES = {
    "paid": ("Paid", "good"),
    "open": ("Open", "warn"),
    "void": ("Void", "plain"),
    "uncollectible": ("Uncollectible", "bad"),
}


def of_visit(visit: Visit, key: str, problem: str | None = None) -> Response:
    invoice = _shown(visit, key)
    action = visit.url("invoices", key, "pay")
    content = _content(visit.call(), invoice, visit.t, action, problem)
    return visit.page("invoice.html", status=402 if problem else 200, back=flows.home_link(visit), **content)


def pay(visit: Visit, key: str) -> Response:
    confirmed = visit.request.form.get("confirmed") == "1"
    problem = invoice_payment.pay(visit.call(), _shown(visit, key), confirmed=confirmed)
    return of_visit(visit, key, problem) if problem else pages.redirect(visit.home("invoice-paid"))


def _shown(visit: Visit, key: str) -> Object:
    visit.feature("invoice_history")
    for invoice in visit.invoices():
        if invoice["id"] == key:
            return invoice
    raise pages.Refused(404, "Invoice not found", "There is no such invoice.")


def public(request: Request, sandbox: Sandbox, token: str) -> Response:
    """`hosted_invoice_url`, in the brand of the account that the invoice was made on behalf of."""
    account, invoice = _published(sandbox, token)
    call, problem = _call(sandbox, account, invoice), None
    if request.method == "POST":
        pages.check_form(request, sandbox, token)
        problem = invoice_payment.pay(call, invoice, confirmed=request.form.get("confirmed") == "1")
        if problem is None:
            return pages.redirect(request.path)
        account, invoice = _published(sandbox, token)
    t = messages.chosen(request.headers.get("accept-language"))
    values: dict[str, Any] = {"brand": _seller(sandbox, account, invoice), "back": None, "t": t}
    values |= {"csrf_token": pages.form_token(sandbox, token), "status": 402 if problem else 200}
    return pages.render("invoice.html", **values, **_content(call, invoice, t, request.path, problem))


def document(request: Request, sandbox: Sandbox, token: str) -> Response:
    """`invoice_pdf`."""
    account, invoice = _published(sandbox, token)
    call, t, currency = _call(sandbox, account, invoice), Language(), invoice["currency"]
    rows = [
        (_seller(sandbox, account, invoice).name, ""),
        (f"Invoice {invoice['number']}", str(invoice["status"]).capitalize()),
        (str(invoice["customer_name"] or invoice["customer_email"] or "Customer"), t.date(invoice["created"])),
        ("", ""),
    ]
    rows += [(description(call, row), words.money(row["amount"], currency)) for row in invoice["lines"]["data"]]
    rows += [("", ""), ("Total", words.money(invoice["total"], currency))]
    rows += [("Amount due", words.money(invoice["amount_remaining"], currency))]
    return pages.asset("application/pdf", pdf.document(rows))


def _published(sandbox: Sandbox, token: str) -> tuple[str, Object]:
    for account, invoice in sandbox.store.everywhere("invoice"):
        if (invoice["hosted_invoice_url"] or "").rpartition("/")[2] == token and invoice["status"] != "draft":
            return account, invoice
    raise pages.Refused(404, "Invoice not found", "This link is not valid.")


def _call(sandbox: Sandbox, account: str, invoice: Object) -> Call:
    call = Call(sandbox, account, account)
    customer = call.find("customer", invoice["customer"])
    call.moment = test_clocks.time_of(call, customer) if customer is not None else None
    return call


def _seller(sandbox: Sandbox, account: str, invoice: Object) -> brand.Brand:
    return brand.of_account(sandbox, invoice["on_behalf_of"] or account)


def _content(call: Call, invoice: Object, t: Language, action: str, problem: str | None) -> dict[str, Any]:
    label, tone = STATUSES.get(invoice["status"], (invoice["status"], "plain"))
    lines = [(description(call, line), line) for line in invoice["lines"]["data"]]
    return {
        "invoice": invoice,
        "label": t(label),
        "tone": tone,
        "lines": lines,
        "action": action,
        "method": invoice_payment.method(call, invoice),
        "problem": problem,
        "confirms": problem == invoice_payment.CONFIRM,
    }


def description(call: Call, line: Object) -> str:
    """The line's own text, else the name of its product."""
    details = ((line["pricing"] or {}).get("price_details")) or {}
    product = call.find("product", details.get("product") or "") or {}
    return str(line["description"] or product.get("name") or "Subscription")
