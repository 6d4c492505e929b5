"""Brands that stay readable, words for money, and the images behind them."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade_portal_page import colours
from colonnade_sandbox.hosted import words
from tests.sandbox.browser import Browser
from tests.sandbox.hosted import Portal, portal
from tests.sandbox.pictures import png

__all__ = ["portal"]

PICTURE = png()
COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"{number:06x}")


@given(COLOURS)
def test_text_is_readable_on_every_brand_colour(colour: str) -> None:
    assert colours.contrast(colours.on(colour), colour) >= colours.READABLE
    assert colours.contrast(colours.on_white(colour), colours.WHITE) >= colours.READABLE


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (123456, "usd", "$1,234.56"),
        (1000, "eur", "€10.00"),
        (500, "jpy", "¥500"),
        (1234, "kwd", "KWD 1.234"),
        (5, "chf", "CHF 0.05"),
        (0, "usd", "$0.00"),
        (-250, "gbp", "−£2.50"),
    ],
)
def test_money_has_its_currencys_digits(amount: int, currency: str, shown: str) -> None:
    assert words.money(amount, currency) == shown


def test_links_lead_to_the_web_only() -> None:
    assert words.web_link("https://a.example/x") == "https://a.example/x"
    assert words.web_link("javascript:alert(1)") is None
    assert words.origin("https://user@a.example:8443/x") == "https://a.example:8443"


async def test_the_page_wears_the_sellers_colours_and_icon(portal: Portal) -> None:
    file = await portal.sdk.files.create_async({"purpose": "business_icon", "file": io.BytesIO(PICTURE)})
    branding = {"primary_color": "#ffd84d", "secondary_color": "#2b1b57", "icon": file.id}
    await portal.sdk.accounts.update_async(portal.shop.account, {"settings": {"branding": branding}})
    page = await portal.open()
    origin = page.url.partition("/p/")[0]
    assert "/p/brand/ffd84d-2b1b57.css" in page.html
    style = await portal.browser.get(f"{origin}/p/brand/ffd84d-2b1b57.css")
    for rule in ("--brand:#ffd84d", "--on-brand:#000000", "--second:#2b1b57", "--on-second:#ffffff"):
        assert rule in style.html
    assert (await portal.browser.get(f"{origin}/p/style.css")).headers["content-type"].startswith("text/css")
    async with portal.browser.http.get(f"{origin}/files/{file.id}/contents") as image:
        assert (image.status, image.content_type, await image.read()) == (200, "image/png", PICTURE)


async def test_only_brand_images_are_public(sdk: Any, portal: Portal) -> None:
    private = await sdk.files.create_async({"purpose": "identity_document", "file": io.BytesIO(PICTURE)})
    browser: Browser = portal.browser
    origin = (await portal.session()).partition("/p/")[0]
    assert (await browser.get(f"{origin}/files/{private.id}/contents")).status == 404
    assert (await browser.get(f"{origin}/files/file_unknown")).status == 404
