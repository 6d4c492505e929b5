"""What docs/ lists is what there is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich_click as click

from colonnade.cli import main
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


_CODE = re.compile(r"`(colonnade [^`]+)`|^(?: {4}|\w*=?\$?\(?)(colonnade [^\n]*)", re.MULTILINE)
_WORDS = re.compile(r"colonnade((?: +[a-z][a-z-]*(?![\w./=:]))+)([^|;&#>`]*)")


def _uses(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Where *page* shows the program: the words after its name, and the options after these."""
    for use in _CODE.finditer(page.read_text("utf-8")):
        if match := _WORDS.match(" ".join((use[1] or use[2]).split())):
            yield match[1].strip(), re.findall(r"(?<![\w-])--[a-z-]+", match[2])


def _found(words: str) -> click.Command | None:
    """The command that *words* begin with: what follows are its arguments. A group stands for all below it."""
    command: click.Command = main
    for word in words.split():
        if isinstance(command, click.Group):
            if word not in command.commands:
                return None
            command = command.commands[word]
    return command


def _options(command: click.Command) -> set[str]:
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own.union({"--help"}, *(_options(each) for each in below))


PAGES = sorted([*DOCS.rglob("*.md"), DOCS.parent / "README.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS.parent)))
def test_a_page_shows_no_command_and_no_option_that_does_not_exist(page: Path) -> None:
    for words, options in _uses(page):
        command = _found(words)
        assert command is not None, f"colonnade {words}"
        assert set(options) <= _options(command), f"colonnade {words} {options}"


def test_commands_are_found_where_pages_show_them() -> None:
    uses = [use for page in PAGES for use in _uses(page)]
    assert len(uses) > 80
    assert ("webhooks provision", ["--remove-old"]) in uses
    assert _found("webhooks provisoin") is None
    assert "--remove-all" not in _options(main.commands["webhooks"])
