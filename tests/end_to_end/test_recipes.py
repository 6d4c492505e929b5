"""The code in docs/recipes.md, run as it stands there against a running service."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import ROOT
from tests.end_to_end.demo import Demo, until
from tests.end_to_end.test_browser import FERN, browser, page

pytestmark = pytest.mark.slow

__all__ = ["browser", "page"]

NAMED = re.compile(r"```(?:python|html)\n(?:# |<!-- )([a-z_]+\.(?:py|html))(?: -->)?\n(.*?)```", re.DOTALL)
_SERVE = """
import sys
from wsgiref.simple_server import make_server
from site_app import app
with make_server("127.0.0.1", int(sys.argv[1]), app) as server:
    print("ready", flush=True)
    server.serve_forever()
"""


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blocks as files."""
    folder = tmp_path_factory.mktemp("recipes")
    text = (ROOT / "docs/recipes.md").read_text("utf-8")
    found = dict(NAMED.findall(text))
    assert len(found) == text.count("```") // 2, "a block without a name would not be run"
    for name, code in found.items():
        (folder / name).write_text(code, "utf-8")
    return folder


def _environ(demo: Demo) -> dict[str, str]:
    tenant, site = demo.tenant(FERN), demo.said["site_url"].rstrip("/")
    named = {"URL": demo.url, "TENANT": tenant["id"], "KEY": tenant["key"]}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COLONNADE_")}
    return plain | {f"COLONNADE_{name}": value for name, value in named.items()} | {"SITE_URL": site}


def _run(recipes: Path, demo: Demo, module: str, call: str) -> str:
    """What `module.call` returns, printed."""
    program = f"import {module}; print({module}.{call})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=recipes,
        env=_environ(demo),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def site(recipes: Path, demo: Demo) -> Iterator[str]:
    """The recipe's site, on the origin's port that the demo's own site leaves free."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", _SERVE, str(port)]
    with subprocess.Popen(
        command, cwd=recipes, env=_environ(demo), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == "ready"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_the_button_and_its_redirect_lead_into_the_portal(page: Page, site: str) -> None:
    page.goto(site)
    page.get_by_role("button", name="Manage billing").click()
    page.wait_for_url(re.compile(r"/p/session/"))
    expect(page.get_by_role("heading", name="Current subscription")).to_be_visible()


def test_the_button_with_a_token_needs_no_redirect_of_ones_own(page: Page, recipes: Path, demo: Demo) -> None:
    url = f"{demo.said['site_url'].rstrip('/')}/"
    form = _run(recipes, demo, "button", f"portal_button('ada', {url!r})")
    page.goto(url)
    page.set_content(form)
    page.get_by_role("button", name="Manage billing").click()
    page.wait_for_url(re.compile(r"/p/session/"))
    assert urlsplit(page.url).netloc == urlsplit(demo.sandbox).netloc


def test_checkout_starts_a_subscription_and_the_role_follows_it(page: Page, recipes: Path, demo: Demo) -> None:
    product = demo.tenant(FERN)["plans"][0]["product"]
    form = f"product={product}&currency=usd&unit_amount=4200&recurring[interval]=month"
    price = demo.stripe("POST", "/v1/prices", form)["id"]
    for method, path, body in (
        ("PUT", "/features/role-pro", {"kind": "flag", "name": "Pro"}),
        (
            "PUT",
            "/plans/recipe-pro",
            {"name": "Pro", "price": price, "grants": [{"feature": "role-pro", "value": True}]},
        ),
    ):
        answer = demo.api(method, path, body, tenant=FERN)
        assert answer.status in {200, 201}, answer.content
    site = demo.said["site_url"].rstrip("/")
    reference = "recipes-robin"
    url = _run(recipes, demo, "subscribe", f"checkout_url({reference!r}, 'r@example.com', {price!r}, {site!r})")
    assert _run(recipes, demo, "roles", f"role({reference!r})") == "None"
    page.goto(url)
    page.get_by_role("button", name="Subscribe").click()
    page.wait_for_url(f"{site}/welcome")
    until(lambda: _run(recipes, demo, "roles", f"role({reference!r})") == "pro")
    (subscription,) = demo.api("GET", "/customers/recipes-robin/subscriptions", tenant=FERN).json["data"]
    found = demo.stripe("GET", f"/v1/subscriptions/{subscription['id']}")
    account = demo.tenant(FERN)["account"]
    assert (found["on_behalf_of"], found["transfer_data"]["destination"]) == (account, account)
    assert found["application_fee_percent"] == 5
