"""Coming back from the portal: what was changed there is known here before the tenant's page is reached, however late
Stripe's events are."""

import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from playwright.sync_api import Browser, expect

from tests.end_to_end.demo import Answer, Demo, call, until
from tests.end_to_end.test_browser import browser  # noqa: F401 - a fixture

FERN, KILN = 0, 1
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

pytestmark = pytest.mark.slow


@pytest.fixture
def late(demo: Demo) -> Iterator[Any]:
    """Makes deliveries late by so many seconds, until the test is over."""

    def by(seconds: float) -> None:
        deliveries = {"next": 10_000, "action": "delay", "seconds": seconds} if seconds else None
        faults = {"deliveries": deliveries} if deliveries else {}
        assert call("POST", f"{demo.sandbox}/_sandbox/faults", faults).status == 200

    yield by
    by(0)


class Visitor:
    """A customer's browser without JavaScript, in the portal."""

    def __init__(self, demo: Demo, reference: str, **wanted: Any) -> None:
        self.demo = demo
        opened = demo.api("POST", f"/customers/{reference}/portal-sessions", wanted, tenant=FERN)
        assert opened.status == 201, opened.content
        self.said = opened.json
        self.page = self.go(opened.json["url"])

    def go(self, url: str) -> str:
        """Open the URL and whatever it redirects to within the portal."""
        answer = call("GET", urllib.parse.urljoin(self.demo.sandbox, url))
        while answer.status == 303:
            self.at = urllib.parse.urljoin(self.demo.sandbox, answer.headers["Location"])
            if not self.at.startswith(self.demo.sandbox):
                return ""
            answer = call("GET", self.at)
        assert answer.status == 200, answer.content
        self.page = answer.content.decode()
        return self.page

    def post(self, path: str, **fields: str) -> None:
        """Post the form of the portal's page that leads to *path*."""
        action = re.search(rf'action="([^"]*{path})"', self.page)
        token = re.search(r'name="csrf_token" value="(\w+)"', self.page)
        assert action is not None
        assert token is not None
        form = urllib.parse.urlencode({"csrf_token": token[1], **fields}).encode()
        answer = call("POST", urllib.parse.urljoin(self.demo.sandbox, action[1]), form, headers=FORM)
        assert answer.status == 303, answer.content
        self.at = urllib.parse.urljoin(self.demo.sandbox, answer.headers["Location"])

    def link(self, words: str) -> str:
        found = re.search(rf'href="([^"]*{words}[^"]*)"', self.page)
        assert found, self.page
        return found[1].replace("&amp;", "&")

    def cancel(self) -> None:
        self.go(self.link("/cancel"))
        self.post("/cancel")

    def come_back(self, url: str | None = None) -> str:
        """Follow the way back, refreshing as the page asks; where it ends."""
        back = url or self.link("/portal/return/")

        def forwarded() -> str | None:
            answer = call("GET", back)
            assert answer.status in {200, 303}, answer.content
            assert_safe(answer)
            assert answer.status == 303 or 'http-equiv="refresh"' in answer.content.decode()
            return str(answer.headers["Location"]) if answer.status == 303 else None

        return str(until(forwarded, seconds=25))


def assert_safe(answer: Answer) -> None:
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def result(demo: Demo, url: str) -> dict[str, Any]:
    """The signed result in the URL, verified with the tenant's published keys alone."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    (token,) = query["portal_result"]
    tenant = demo.tenant(FERN)["id"]
    keys = call("GET", f"{demo.url}/tenants/{tenant}/.well-known/jwks.json").json["keys"]
    key = next(jwt.PyJWK(each) for each in keys if each["kid"] == jwt.get_unverified_header(token)["kid"])
    assert jwt.get_unverified_header(token)["typ"] == "portal-result+jwt"
    claims: dict[str, Any] = jwt.decode(
        token, key, ["ES256"], audience=tenant, issuer=f"{demo.url}/tenants/{tenant}", leeway=5
    )
    return claims


def ends(demo: Demo, reference: str) -> bool:
    """Whether the tenant sees that the customer's plan ends."""
    rows = demo.api("GET", f"/customers/{reference}/entitlements", tenant=FERN).json["data"]
    return bool(rows) and all(row["valid_until"] for row in rows)


def subscribed(demo: Demo, reference: str) -> str:
    body = {"name": "E", "email": "e@example.com"}
    # 503 where Stripe's event of the new customer comes at that very moment.
    until(lambda: demo.api("PUT", f"/customers/{reference}", body, tenant=FERN).status == 200)
    subscription = demo.new_customer(FERN, reference)
    until(lambda: demo.entitlements(FERN, reference))

    def told() -> bool:
        """Whether all of its events have come, so that none is taken for the visit's."""
        found = demo.api("GET", f"/customers/{reference}/billing", tenant=FERN).json
        return found["email"] is not None and found["default_payment_method"] is not None

    until(told)
    until(lambda: demo.api("GET", "/v1/events?state=pending").json["data"] == [])
    return subscription


def test_who_changed_nothing_is_told_so(demo: Demo) -> None:
    subscribed(demo, "looks")
    claims = result(demo, Visitor(demo, "looks").come_back())
    assert (claims["result"], claims["changes"], claims["sub"]) == ("unchanged", [], "looks")


@pytest.mark.parametrize(
    "seconds",
    [0.0, 0.3, 2.0, 5.0, 30.0],
)
def test_no_view_after_the_return_is_stale_however_late_events_are(demo: Demo, late: Any, seconds: float) -> None:
    reference = f"late-{seconds:g}".replace(".", "-")
    subscription = subscribed(demo, reference)
    late(seconds)
    for what, path in (("cancellation_scheduled", "/cancel"), ("cancellation_withdrawn", "/keep")):
        visitor = Visitor(demo, reference)
        if path == "/cancel":
            visitor.cancel()
        else:
            visitor.post(path)
        visitor.go(visitor.at)
        url = visitor.come_back()
        assert ends(demo, reference) is (path == "/cancel")  # the tenant's very next look
        claims = result(demo, url)
        assert claims["changes"] == [{"what": what, "subscription": subscription}]
        assert claims["jti"] == visitor.said["id"]


def test_late_events_change_nothing_afterwards(demo: Demo, late: Any) -> None:
    subscribed(demo, "after")
    late(6)
    visitor = Visitor(demo, "after")
    visitor.cancel()
    visitor.go(visitor.at)
    visitor.come_back()
    history = demo.api("GET", "/customers/after/entitlements/changes", tenant=FERN).json["data"]
    until(lambda: call("GET", f"{demo.sandbox}/_sandbox/deliveries").json["data"] == [], seconds=30)
    until(lambda: demo.api("GET", "/v1/events?state=pending").json["data"] == [])
    assert demo.api("GET", "/customers/after/entitlements/changes", tenant=FERN).json["data"] == history
    assert ends(demo, "after")


def test_a_flow_that_is_done_comes_back_by_its_own_way(demo: Demo) -> None:
    subscription = subscribed(demo, "flows")
    site = demo.said["site_url"]
    after = {"type": "redirect", "return_url": f"{site}/bye?x=1#top"}
    flow = {"type": "subscription_cancel", "subscription": subscription, "after_completion": after}
    visitor = Visitor(demo, "flows", flow=flow, return_url=f"{site}/")
    visitor.post("/cancel")
    assert visitor.at.startswith(f"{demo.url}/portal/return/")
    url = visitor.come_back(visitor.at)
    assert url.startswith(f"{site}/bye?x=1&portal_result=")
    assert url.endswith("#top")
    assert result(demo, url)["changes"] == [{"what": "cancellation_scheduled", "subscription": subscription}]
    (row,) = demo.api("GET", "/customers/flows/portal-sessions", tenant=FERN).json["data"]
    assert row["completed_at"]
    assert row["settled_at"]
    assert row["outcome"]["result"] == "changed"
    assert row["session"].startswith("bps_")


def test_a_payment_method_that_was_removed_is_gone_from_the_tenants_view(demo: Demo, late: Any) -> None:
    subscribed(demo, "cards")
    customer = demo.api("GET", "/customers/cards", tenant=FERN).json["stripe_customer"]
    extra = demo.stripe("POST", "/v1/payment_methods/pm_card_mastercard/attach", f"customer={customer}")["id"]

    def cards() -> list[str]:
        rows = demo.api("GET", "/customers/cards/payment-methods", tenant=FERN).json["data"]
        return [row["id"] for row in rows]

    until(lambda: extra in cards())
    late(20)
    visitor = Visitor(demo, "cards")
    visitor.post(f"/{extra}/remove")
    visitor.go(visitor.at)
    claims = result(demo, visitor.come_back())
    assert claims["changes"] == [{"what": "payment_method_removed"}]
    assert extra not in cards()


def test_a_discount_and_a_paid_invoice_are_told(demo: Demo, late: Any) -> None:
    subscription = subscribed(demo, "pays")
    customer = demo.api("GET", "/customers/pays", tenant=FERN).json["stripe_customer"]
    due = f"customer={customer}&collection_method=send_invoice&days_until_due=30&auto_advance=false"
    invoice = demo.stripe("POST", "/v1/invoices", due)["id"]
    demo.stripe("POST", "/v1/invoiceitems", f"customer={customer}&invoice={invoice}&amount=500&currency=eur")
    demo.stripe("POST", f"/v1/invoices/{invoice}/finalize")

    def unpaid() -> list[str]:
        rows = demo.api("GET", "/customers/pays/invoices", tenant=FERN).json["data"]
        return [row["id"] for row in rows if row["status"] == "open"]

    until(lambda: unpaid() == [invoice])
    coupon = demo.stripe("POST", "/v1/coupons", "percent_off=20&duration=forever")["id"]
    late(20)
    visitor = Visitor(demo, "pays")
    demo.stripe("POST", f"/v1/invoices/{invoice}/pay", "paid_out_of_band=true")
    demo.stripe("POST", f"/v1/subscriptions/{subscription}", f"discounts[0][coupon]={coupon}")
    claims = result(demo, visitor.come_back())
    assert claims["changes"] == [
        {"what": "discount_added", "subscription": subscription},
        {"what": "invoice_paid", "invoice": invoice},
    ]
    assert unpaid() == []


@pytest.mark.parametrize("javascript", [True, False])
def test_a_browser_is_sent_on_with_and_without_javascript(
    browser: Browser,  # noqa: F811
    demo: Demo,
    late: Any,
    javascript: bool,
) -> None:
    subscribed(demo, f"clicks-{javascript}")
    late(8)
    context = browser.new_context(java_script_enabled=javascript)
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    wanted = {"return_url": f"{demo.said['site_url']}/fern-and-field/ada"}
    opened = demo.api("POST", f"/customers/clicks-{javascript}/portal-sessions", wanted, tenant=FERN)
    page.goto(opened.json["url"])
    page.get_by_role("link", name="Cancel plan").click()
    page.get_by_role("button", name="Cancel plan").click()
    page.get_by_role("link", name=re.compile("Return to Fern")).click()
    page.wait_for_url(re.compile("portal_result="), timeout=20_000)
    assert ends(demo, f"clicks-{javascript}")
    assert [line for line in refused if "Content Security Policy" in line] == []
    context.close()


def test_the_button_opens_one_portal_for_a_double_click(browser: Browser, demo: Demo) -> None:  # noqa: F811
    page = browser.new_page()
    page.goto(f"{demo.said['site_url']}/fern-and-field/ben")
    page.get_by_role("button", name="Manage billing").dblclick()
    expect(page).to_have_url(re.compile("/p/session/"), timeout=30_000)  # the second click aborts the first's way
    expect(page.get_by_text("Orchard")).to_be_visible()
    rows = demo.api("GET", "/customers/ben/portal-sessions", tenant=FERN).json["data"]
    assert rows[0]["opened_by"] == "browser"
    assert rows[0]["origin"] == demo.said["site_url"]
    assert len(rows) == 1 or rows[0]["created_at"][:16] != rows[1]["created_at"][:16]
    page.close()


def test_a_made_up_return_link_is_a_page_for_people(demo: Demo) -> None:
    visitor = Visitor(demo, "ada")
    token = visitor.link("/portal/return/").rpartition("/")[2]
    tenant, visit, mac = token.split(".")
    other = demo.tenant(KILN)["id"]
    for forged in (f"{other}.{visit}.{mac}", f"{tenant}.pvi_0.{mac}", f"{tenant}.{visit}.{'0' * 32}", "x", "a.b.c"):
        for path in ("", "/done", "/events"):
            answer = call("GET", f"{demo.url}/portal/return/{forged}{path}")
            assert answer.status == 404
            assert answer.headers["Content-Type"].startswith("text/html")
            assert_safe(answer)


def test_the_stream_says_where_to_go_on(demo: Demo) -> None:
    subscribed(demo, "streams")
    back = Visitor(demo, "streams").link("/portal/return/")
    said = call("GET", f"{back}/events").content.decode()
    data = re.search(r"event: settled\ndata: (.*)\n\n", said)
    assert data is not None
    assert result(demo, json.loads(data[1])["url"])["result"] == "unchanged"
