"""What docs/ lists is what there is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from colonnade.settings import Settings, variable
from tests.docs.reference import DOCS, GENERATED, with_generated

_ROW = re.compile(r"^\| `(COLONNADE_[A-Z_]+)` \| ([^|]*) \| [^|]+ \|$", re.MULTILINE)


def _default(value: object) -> str:
    match value:
        case None | ():
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | str() | Path():
            return f"`{value}`"
        case tuple():
            return f"`{','.join('='.join(pair) for pair in value)}`"
    raise TypeError(f"{value!r}: say how the page shows it")


def test_every_setting_is_listed_once_with_its_default() -> None:
    said = _ROW.findall((DOCS / "settings.md").read_text("utf-8"))
    defaults = Settings()
    real = {variable(field): _default(getattr(defaults, field)) for field in Settings.__struct_fields__}
    assert dict(said) == real
    assert len(said) == len(real)


@pytest.mark.parametrize("page", GENERATED)
def test_a_page_that_is_made_from_the_code_is_up_to_date(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert text.count("<!-- from the code -->") == text.count("<!-- to here -->") == 1
    assert with_generated(page, text) == text, "run `python -m tests.docs.reference`"


def _variables(text: str) -> Iterator[str]:
    yield from re.findall(r"COLONNADE_[A-Z_]+[A-Z]\b(?!…)", text)


def test_pages_name_no_setting_that_does_not_exist() -> None:
    known = {variable(field) for field in Settings.__struct_fields__}
    shell = {"COLONNADE_URL", "COLONNADE_TENANT", "COLONNADE_KEY"}  # docs/recipes.md's own
    wrong = {
        f"{page.name}: {name}"
        for page in (*DOCS.rglob("*.md"), DOCS.parent / "README.md")
        for name in _variables(page.read_text("utf-8"))
        if name not in known | shell
    }
    assert wrong == set()
