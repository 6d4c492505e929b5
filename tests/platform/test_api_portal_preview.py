"""The preview is the sandbox's page, runs nothing, and saves nothing."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any, get_args

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.portals.preview import sample
from colonnade.portals.preview.page import Drawn, Visit, rendered
from colonnade.portals.preview.steps import Step
from colonnade_portal_page.brand import Brand
from colonnade_portal_page.messages import Language
from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, RETURN_URL, TenantApi, problem, running_api
from tests.platform.test_api_branding import BRAND
from tests.platform.test_api_branding_images import send
from tests.platform.test_branding_images import picture

FEATURES = {
    "customer_update": {"enabled": True, "allowed_updates": ["email", "name", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True},
    "subscription_pause": {"enabled": True},
}


class Seen(HTMLParser):
    """A page's tags, headings, buttons and links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.said: dict[str, list[str]] = {name: [] for name in ("h1", "h2", "button", "dt", "legend", "label")}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.attributes |= given.keys()
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        is_button = tag == "button" or (tag == "a" and {"button", "add"} & set((given.get("class") or "").split()))
        self._open = ["button" if is_button else tag]

    def handle_data(self, data: str) -> None:
        if self._open and self._open[0] in self.said and data.strip():
            self.said[self._open[0]].append(data.strip())
            self._open = []


async def shown(tenant: TenantApi, query: str = "", body: Any = None) -> httpx.Response:
    """The preview of `main`."""
    method = "GET" if body is None else "POST"
    reply = await tenant.call(method, f"/portal-configurations/main/preview{query}", body)
    assert reply.status_code == 200, reply.text
    return reply


async def test_it_says_what_the_sandboxs_page_says(fern: TenantApi) -> None:
    price = await fern.api.sandbox.price(fern.holder)
    listed = [{"product": price["product"], "prices": [price["id"]]}]
    features = {**FEATURES, "subscription_update": {"enabled": True, "default_allowed_updates": ["price"]}}
    features["subscription_update"]["products"] = listed  # type: ignore[assignment]
    profile = {"headline": "Ferns for all", "privacy_policy_url": "https://fern.example/privacy"}
    await fern.configuration("main", features=features, business_profile=profile)
    await fern.put("/branding", BRAND)
    preview = Seen((await shown(fern)).text)
    await fern.customer()
    await fern.subscription()
    session = await fern.call("POST", "/customers/ada/portal-sessions", {})
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = await browser.get(session.json()["url"])
    real = Seen(page.text)
    assert preview.said["h1"] == real.said["h1"] == ["Ferns for all"]
    assert preview.said["h2"] == real.said["h2"]
    assert preview.said["dt"] == real.said["dt"]
    assert set(preview.said["button"]) == set(real.said["button"])
    assert "Cancel plan" in preview.said["button"]
    assert "€9.00 per month" in (await shown(fern)).text


@pytest.fixture
async def subscription(fern: TenantApi) -> str:
    """With every feature on, two plans to choose from, and a subscription of `ada` to the first."""
    first = await fern.api.sandbox.price(fern.holder)
    second = await fern.api.sandbox.price(fern.holder, first["product"], 1900)
    features: dict[str, Any] = {
        **FEATURES,
        "customer_update": {"enabled": True, "allowed_updates": ["address", "email", "shipping"]},
        "subscription_cancel": {
            "enabled": True,
            "cancellation_reason": {"enabled": True, "options": ["too_expensive", "unused"]},
        },
        "subscription_update": {
            "enabled": True,
            "default_allowed_updates": ["price", "promotion_code", "quantity"],
            "products": [
                {
                    "product": first["product"],
                    "prices": [first["id"], second["id"]],
                    "adjustable_quantity": {"enabled": True, "minimum": 1, "maximum": 5},
                }
            ],
        },
    }
    await fern.configuration("main", features=features)
    await fern.customer()
    return str((await fern.subscription(price=first["id"]))["id"])


@pytest.mark.parametrize("step", get_args(Step))
async def test_the_page_of_each_feature_says_what_the_sandboxs_says(
    fern: TenantApi, subscription: str, step: str
) -> None:
    flow = {"type": step}
    if step.startswith("subscription"):
        flow["subscription"] = subscription
    session = await fern.call("POST", "/customers/ada/portal-sessions", {"flow": flow})
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
        real = Seen((await browser.get(session.json()["url"])).text)
    reply = await shown(fern, f"?page={step}")
    preview = Seen(reply.text)
    for tag in ("h1", "legend", "label", "button"):
        assert preview.said[tag] == real.said[tag], tag
    assert {"form", "button"} <= set(preview.tags)
    assert "action" not in preview.attributes
    assert reply.headers["content-security-policy"].endswith("frame-ancestors 'none'; sandbox")
    assert set(preview.links) == {"#main", RETURN_URL}


async def test_a_page_that_is_switched_off_is_named(fern: TenantApi) -> None:
    await fern.configuration("main", features={"invoice_history": {"enabled": True}})
    for step in get_args(Step):
        problem(await fern.call("GET", f"/portal-configurations/main/preview?page={step}"), 400, "page")


async def test_what_is_off_is_not_shown(fern: TenantApi) -> None:
    await fern.configuration("main", features={"invoice_history": {"enabled": True}})
    seen = Seen((await shown(fern)).text)
    assert seen.said["h2"] == ["Current subscription", "Invoice history"]
    assert seen.said["button"] == []


async def test_it_runs_nothing_and_loads_nothing(fern: TenantApi) -> None:
    await fern.configuration("main", features=FEATURES)
    await send(fern, "icon", picture())
    for query in ("", "?device=phone", "?device=desktop&locale=de"):
        reply = await shown(fern, query)
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert policy.endswith("frame-ancestors 'none'; sandbox")
        assert "unsafe" not in policy
        assert reply.headers["referrer-policy"] == "no-referrer"
        seen = Seen(reply.text)
        assert not {"script", "form", "input", "object", "link"} & set(seen.tags)
        assert not {name for name in seen.attributes if name.startswith("on")} | ({"style"} & seen.attributes)
        assert re.findall(r' src="(?!data:image/png;base64,)', reply.text) == []
        for css in re.findall(r"<style>(.*?)</style>", reply.text, re.DOTALL):
            assert base64.b64encode(hashlib.sha256(css.encode()).digest()).decode() in policy


async def test_links_lead_to_the_tenants_own_pages_alone(fern: TenantApi) -> None:
    links = {"privacy_policy_url": "https://fern.example/privacy", "terms_of_service_url": "https://fern.example/terms"}
    await fern.configuration("main", features=FEATURES)
    await fern.put("/branding", BRAND | links)
    seen = Seen((await shown(fern)).text)
    mail, phone = "mailto:help%40fern.example", "tel:%2B49%2030%20123456"
    assert set(seen.links) == {"#main", RETURN_URL, BRAND["support_url"], mail, phone, *links.values()}


async def test_a_body_that_is_not_saved_is_drawn_and_stays_unsaved(fern: TenantApi) -> None:
    await fern.configuration("main", features=FEATURES)
    await fern.put("/branding", BRAND)
    before = await fern.get("/portal-configurations/main"), await fern.get("/branding")
    requests = await fern.api.sandbox.requests()
    unsaved = {
        "configuration": {
            "features": {"invoice_history": {"enabled": True}},
            "business_profile": {"headline": "Soon"},
        },
        "branding": {"name": "Fernery", "primary_color": "#123456"},
    }
    page = (await shown(fern, body=unsaved)).text
    assert "Soon" in page
    assert "Fernery" in page
    assert "--brand:#123456" in page
    assert Seen(page).said["h2"] == ["Current subscription", "Invoice history"]
    reply = await fern.call("POST", "/portal-configurations/new/preview", unsaved)
    assert reply.status_code == 200
    assert (await fern.get("/portal-configurations/main"), await fern.get("/branding")) == before
    assert await fern.api.sandbox.requests() == requests
    problem(await fern.call("GET", "/portal-configurations/new"), 404, "name")


async def test_without_stripe_an_example_stands_in(shared_database: ScratchDatabase, fern: TenantApi) -> None:
    price = await fern.api.sandbox.price(fern.holder)
    update = {"enabled": True, "default_allowed_updates": ["price"]}
    listed = update | {"products": [{"product": price["product"], "prices": [price["id"]]}]}
    await fern.configuration("main", features={"subscription_update": listed})
    async with running_api(shared_database, fern.api.sandbox, stripe=NOWHERE) as down:
        assert "Example plan" in (await shown(TenantApi(down, fern.said))).text


async def test_the_words_are_those_of_the_locale(fern: TenantApi) -> None:
    await fern.configuration("main", features=FEATURES)
    page = (await shown(fern, "?locale=fr")).text
    assert '<html lang="fr">' in page
    assert "Aperçu" in page


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("main/preview?device=watch", None, 400, "device"),
        ("main/preview?page=home", None, 400, "page"),
        ("main/preview?locale=xx", None, 400, "locale"),
        ("none/preview", None, 404, "name"),
        ("none/preview", {}, 404, "name"),
        ("main/preview", {"branding": {"primary_color": "red"}}, 400, "branding.primary_color"),
        ("main/preview", {"branding": {"support_url": "javascript:alert(1)"}}, 400, "support_url"),
        ("main/preview", {"configuration": {}}, 400, "configuration.features"),
        ("main/preview", {"script": "x"}, 400, "script"),
    ],
)
async def test_bad_input_is_named(fern: TenantApi, path: str, body: Any, status: int, param: str) -> None:
    await fern.configuration("main", features=FEATURES)
    reply = await fern.call("GET" if body is None else "POST", f"/portal-configurations/{path}", body)
    problem(reply, status, param)


async def test_another_tenants_portal_is_not_shown(fern: TenantApi, kiln: TenantApi) -> None:
    await fern.configuration("main", features=FEATURES)
    path = "/portal-configurations/main/preview"
    problem(await fern.call("GET", path, key=kiln.key), 404, "tenant")
    problem(await fern.call("POST", path, {}, key=kiln.key), 404, "tenant")
    problem(await kiln.call("GET", path), 404, "name")


@given(st.text(max_size=80), st.text(max_size=60))
def test_no_words_of_a_tenant_become_markup(name: str, headline: str) -> None:
    hostile = f'"><script>{name}</script><img src=x onerror=alert(1)>'
    features = {"invoice_history": {"enabled": False}}
    profile = {"terms_of_service_url": None, "privacy_policy_url": None, "headline": hostile + headline}
    visit = Visit({"business_profile": profile, "features": features}, None)
    values: dict[str, Any] = {"rows": [], "methods": None, "details": None, "tax_ids": None, "invoices": []}
    values |= {"more_invoices": False, "statuses": sample.STATUSES, "notice": ""}
    seen = Brand(name=hostile, support_email=hostile, support_url="javascript:alert(1)")
    for device in (None, "phone"):
        page = rendered(seen, visit, Drawn("home.html", values), Language(), device)  # type: ignore[arg-type]
        found = Seen(page.html)
        assert not {"script", "img"} & set(found.tags)
        assert not {link for link in found.links if link.startswith("javascript")}
        assert "onerror" not in found.attributes
