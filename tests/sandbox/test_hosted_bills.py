"""Invoices that are paid or downloaded from their page, tax ids, and the portal in other languages."""

import re
from pathlib import Path
from typing import Any

import pytest

from colonnade_portal_page import messages
from colonnade_portal_page.messages import MONTHS, chosen
from colonnade_sandbox.hosted import pdf
from tests.sandbox.hosted import Portal, portal

__all__ = ["portal"]


async def open_invoice(portal: Portal, card: str | None) -> Any:
    """An open invoice of the shop's customer, whose default card is then `card`."""
    customers, methods = portal.sdk.customers, portal.sdk.payment_methods
    if card is not None:
        method = (await methods.attach_async(card, {"customer": portal.shop.customer})).id
        settings = {"invoice_settings": {"default_payment_method": method}}
        await customers.update_async(portal.shop.customer, settings)
    await portal.sdk.invoice_items.create_async(
        {"customer": portal.shop.customer, "amount": 2500, "currency": "usd", "description": "Set-up (once)"}
    )
    given = {
        "customer": portal.shop.customer,
        "on_behalf_of": portal.shop.account,
        "auto_advance": False,
        "pending_invoice_items_behavior": "include",
    }
    draft = await portal.sdk.invoices.create_async(given)
    return await portal.sdk.invoices.finalize_invoice_async(draft.id)


async def test_an_open_invoice_is_paid_in_the_portal(portal: Portal) -> None:
    invoice = await open_invoice(portal, None)
    page = await portal.open()
    shown = await portal.browser.get(f"{page.url}/invoices/{invoice.id}")
    assert "Pay $25.00" in shown.text
    home = await portal.browser.submit(shown, "Pay $25.00")
    assert "Your invoice has been paid." in home.text
    assert (await portal.sdk.invoices.retrieve_async(invoice.id)).status == "paid"
    again = await portal.post(home, f"invoices/{invoice.id}/pay")
    assert (again.status, "cannot be paid here" in again.text) == (402, True)


async def test_an_invoice_page_pays_declines_and_confirms(portal: Portal) -> None:
    invoice = await open_invoice(portal, "pm_card_chargeCustomerFail")
    page = await portal.browser.get(invoice.hosted_invoice_url)
    assert (await portal.browser.submit(page, "Pay", csrf_token="x")).status == 403
    declined = await portal.browser.submit(page, "Pay")
    assert (declined.status, "declined" in declined.text) == (402, True)
    secure = await portal.sdk.payment_methods.attach_async(
        "pm_card_authenticationRequired", {"customer": portal.shop.customer}
    )
    settings = {"invoice_settings": {"default_payment_method": secure.id}}
    await portal.sdk.customers.update_async(portal.shop.customer, settings)
    asked = await portal.browser.submit(page, "Pay")
    assert "Your bank asks you to confirm" in asked.text
    paid = await portal.browser.submit(asked, "Confirm payment")
    assert (paid.status, "Paid" in paid.text, paid.offers("Pay")) == (200, True, False)


async def test_paying_needs_the_invoice_history_and_ones_own_invoice(portal: Portal) -> None:
    invoice = await open_invoice(portal, None)
    page = await portal.open()
    await portal.configure(invoice_history={"enabled": False})
    assert (await portal.post(page, f"invoices/{invoice.id}/pay")).status == 403
    await portal.configure(invoice_history={"enabled": True})
    assert (await portal.post(page, "invoices/in_none/pay")).status == 404
    assert (await portal.sdk.invoices.retrieve_async(invoice.id)).status == "open"


async def test_an_invoice_is_a_pdf(portal: Portal) -> None:
    invoice = await open_invoice(portal, None)
    async with portal.browser.http.get(invoice.invoice_pdf) as answer:
        body = await answer.read()
    assert (answer.status, answer.content_type) == (200, "application/pdf")
    assert body.startswith(b"%PDF-1.4")
    assert rb"(Set-up \(once\)) Tj" in body
    assert b"($25.00) Tj" in body
    assert body[int(body.split()[-2]) :].startswith(b"xref")


def test_a_long_pdf_has_several_pages_whose_offsets_are_right() -> None:
    body = pdf.document([(f"Row {number}", "€1") for number in range(100)])
    table = body[int(body.split()[-2]) :].splitlines()[3:]
    offsets = [int(line.split()[0]) for line in table if line.endswith(b"n ")]
    assert body.count(b"/Type /Page ") == 3
    assert [body[offset:].split(b" ", 1)[0] for offset in offsets] == [b"%d" % (n + 1) for n in range(len(offsets))]
    assert b"(\x801) Tj" in body


async def test_tax_ids_are_added_checked_and_removed(portal: Portal) -> None:
    await portal.configure(customer_update={"enabled": True, "allowed_updates": ["tax_id"]})
    before = len(await portal.events())
    asked = await portal.browser.follow(await portal.open(), "+ Add tax ID")
    bad = await portal.browser.submit(asked, "Add", value="nonsense")
    assert (bad.status, "Invalid value for eu_vat." in bad.text) == (400, True)
    home = await portal.browser.submit(asked, "Add", value="DE123456789")
    assert "EU VAT DE123456789" in home.text
    home = await portal.browser.submit(home, "Remove DE123456789")
    assert "You have no tax IDs." in home.text
    types = [event.type for event in await portal.events(before)]
    assert next(name for name in types if "tax_id" in name) == "customer.tax_id.created"
    assert types[-1] == "customer.tax_id.deleted"


async def test_tax_ids_are_hidden_and_refused_where_they_are_not_allowed(portal: Portal) -> None:
    page = await portal.open()
    assert not page.offers("+ Add tax ID")
    assert (await portal.post(page, "tax-ids", type="eu_vat", value="DE123456789")).status == 403
    await portal.configure(customer_update={"enabled": True, "allowed_updates": ["tax_id"]})
    other = await portal.sdk.customers.create_async({"tax_id_data": [{"type": "eu_vat", "value": "DE123456789"}]})
    foreign = (await portal.sdk.customers.tax_ids.list_async(other.id)).data[0].id
    assert (await portal.post(page, f"tax-ids/{foreign}/remove")).status == 404


@pytest.mark.parametrize(
    ("locale", "words", "button"),
    [("de", "Aktuelles Abonnement", "Abo kündigen"), ("fr", "Abonnement actuel", "Annuler l'abonnement")],
)
async def test_the_portal_speaks_the_sessions_language(portal: Portal, locale: str, words: str, button: str) -> None:
    page = await portal.open(locale=locale)
    assert f'<html lang="{locale}">' in page.html
    assert words in page.text
    asked = await portal.browser.follow(page, button)
    assert (await portal.browser.submit(asked, button)).status == 200
    assert (await portal.current()).cancel_at is not None


async def test_without_a_locale_the_customer_then_the_browser_decides(portal: Portal) -> None:
    url = await portal.session(locale="auto")
    async with portal.browser.http.get(url, headers={"Accept-Language": "xx, fr-CA;q=0.9, de"}) as answer:
        assert '<html lang="fr">' in await answer.text()
    await portal.sdk.customers.update_async(portal.shop.customer, {"preferred_locales": ["de-AT"]})
    assert '<html lang="de">' in (await portal.browser.get(url)).html


def test_a_language_without_words_is_english() -> None:
    assert chosen("ja", None, "").code == "en"
    assert {len(months.split()) for months in MONTHS.values()} == {12}


def test_every_translation_keeps_what_varies() -> None:
    rows = (Path(messages.__file__).parent / "messages.tsv").read_text("utf-8").splitlines()
    cells = [row.split("\t") for row in rows]
    assert {len(row) for row in cells} == {len(MONTHS)}
    assert len({row[0] for row in cells}) == len(cells)
    for english, *others in cells[1:]:
        wanted = sorted(re.findall(r"{\w+}", english))
        assert all(other and sorted(re.findall(r"{\w+}", other)) == wanted for other in others), english
