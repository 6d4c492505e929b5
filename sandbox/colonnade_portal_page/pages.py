"""The templates and the style, for whoever shows the page."""

from functools import cache
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from colonnade_portal_page import words

HERE = Path(__file__).parent


class Visit(Protocol):
    """What the templates ask of one visit, beside what they are given by name."""

    configuration: dict[str, Any]
    """A portal configuration, as Stripe's API has it."""

    @property
    def return_url(self) -> str | None: ...

    def url(self, *parts: str) -> str | None:
        """Where a link or form leads; None makes it lead nowhere, and a form a mere button."""

    def home(self) -> str | None:
        """The home page's own address."""

    def has(self, name: str) -> bool:
        """Whether the configuration has this feature on."""


def environment(*folders: Path) -> Environment:
    """The page's templates, after those in *folders*."""
    loader = FileSystemLoader([*folders, HERE / "templates"])
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    found.trim_blocks = found.lstrip_blocks = True
    found.filters |= {
        "card": words.card,
        "expiry": words.expiry,
        "unit_price": words.unit_price,
        "web_link": words.web_link,
    }
    found.globals["money"] = words.money
    return found


@cache
def style() -> str:
    """The stylesheet; it builds on the custom properties of `brand.css`."""
    return (HERE / "style.css").read_text("utf-8")
