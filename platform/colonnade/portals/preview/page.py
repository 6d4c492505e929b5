"""The page of a preview: one that runs nothing, loads nothing and leads nowhere but to the tenant's own links."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment
from markupsafe import Markup
from msgspec import Struct

from colonnade_portal_page import brand, pages
from colonnade_portal_page.messages import Language

Device = Literal["phone", "desktop"]
SIZES: dict[Device, tuple[int, int]] = {"phone": (390, 844), "desktop": (1280, 900)}
"""Width and height of the frame, in CSS pixels."""

_FRAME = "body{margin:24px;background:#d9dce3;text-align:center}iframe{border:0;border-radius:14px;background:#fff}"


class Visit(Struct, frozen=True):
    """A visit in which nothing leads anywhere."""

    configuration: dict[str, Any]
    return_url: str | None

    def url(self, *parts: str) -> None:
        """Read only."""

    def home(self) -> None:
        """Read only."""

    def has(self, name: str) -> bool:
        return bool(self.configuration["features"][name]["enabled"])


class Page(NamedTuple):
    """HTML, and the Content-Security-Policy that it is to be served under."""

    html: str
    policy: str


@cache
def _templates() -> Environment:
    return pages.environment(Path(__file__).parent / "templates")


class Drawn(NamedTuple):
    """A template of the portal's page, and the values that it takes of its own."""

    template: str
    values: dict[str, Any]


def rendered(seen: brand.Brand, visit: Visit, drawn: Drawn, t: Language, device: Device | None) -> Page:
    """The portal's page for *device*, or as wide as the window; with its own policy inside, for `srcdoc`."""
    css = brand.css(seen.primary, seen.secondary) + pages.style()
    profile = visit.configuration["business_profile"]
    said = profile.get("headline") or t("{name} partners with Stripe for simplified billing.", name=seen.name)
    values = {"t": t, "brand": seen, "visit": visit, "headline": said, "csrf_token": "", "drawn": drawn.template}
    values |= {"back": (None, t("Return to billing"))} | drawn.values
    html = _filled("preview.html", css, [css], values)
    if device is None:
        return Page(html, _served([css]))
    width, height = SIZES[device]
    framed = {"brand": seen, "device": device, "page": html, "width": width, "height": height}
    # A page in `srcdoc` is under its parent's policy as well as its own.
    return Page(_filled("framed.html", _FRAME, [_FRAME, css], framed), _served([_FRAME, css]))


def _filled(template: str, css: str, styles: list[str], values: dict[str, Any]) -> str:
    # Ours and six hex digits: nothing in it comes from a tenant.
    style = Markup(css)  # noqa: S704
    return _templates().get_template(template).render(css=style, policy=_policy(styles), **values)


def _policy(styles: list[str]) -> str:
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()}'" for css in styles)
    return f"default-src 'none'; style-src {hashes}; img-src data:; form-action 'none'; base-uri 'none'"


def _served(styles: list[str]) -> str:
    """What only a header can say comes on top: no frames of others, no scripts, no forms, no pop-ups."""
    return f"{_policy(styles)}; frame-ancestors 'none'; sandbox"
