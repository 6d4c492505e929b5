"""Every link of README and docs/ that stays in the repository leads somewhere, heading included."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


class Link(NamedTuple):
    page: Path
    target: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.target}"


def links(page: Path) -> Iterator[Link]:
    """Those that lead to a file, or a heading, of the repository."""
    for target in (a or b for a, b in _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))):
        if not re.match(r"[a-z]+:", target):
            yield Link(page, target)


def anchors(text: str) -> set[str]:
    """The names that GitHub gives *text*'s headings: words in small letters, a dash for each space."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", _FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = sum(1 for each in found if re.fullmatch(rf"{re.escape(name)}(-\d+)?", each))
        found.add(f"{name}-{number}" if number else name)
    return found


def leads_somewhere(link: Link) -> bool:
    path, _, anchor = link.target.partition("#")
    file = (link.page.parent / unquote(path)).resolve() if path else link.page
    if not file.exists() or not file.is_relative_to(ROOT):
        return False
    return not anchor or (file.suffix == ".md" and anchor in anchors(file.read_text("utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [str(link) for link in links(page) if not leads_somewhere(link)] == []


def test_the_index_has_every_page() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / link.target.partition("#")[0]).resolve() for link in links(index)}
    pages = {page for page in PAGES if page.parent != ROOT and page != index}
    assert {str(page.relative_to(ROOT)) for page in pages - listed} == set()


def test_a_link_to_nothing_is_found() -> None:
    page = ROOT / "README.md"
    for target in ("docs/nowhere.md", "docs/api.md#no-such-heading", "../elsewhere.md", "LICENSE#x"):
        assert not leads_somewhere(Link(page, target)), target
    assert leads_somewhere(Link(page, "docs/api.md#from-a-browser"))
