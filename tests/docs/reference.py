"""The parts of docs/ that are made from the code: the table of commands and that of the API's operations.

python -m tests.docs.reference      writes them into their pages, between two comments
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import rich_click as click
from litestar.handlers import HTTPRouteHandler

from colonnade.access.scopes import ALLOWED, Scope
from colonnade.app import create_app
from colonnade.cli import main
from colonnade.settings import Settings
from tests.conftest import ROOT

DOCS = ROOT / "docs"
_METHODS = ("get", "put", "patch", "post", "delete")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, but for groups."""

    def below(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            for each in sorted(command.commands):
                yield from below(command.commands[each], f"{name} {each}".strip())
        else:
            yield name, command

    yield from below(main, "")


def command_table() -> str:
    """A line for each command: its arguments and options, and the first sentence of its help."""
    lines = ["| command | |", "| --- | --- |"]
    for name, command in commands():
        arguments = [str(each.metavar or each.name).upper() for each in command.params if _shown_argument(each)]
        options = [each.opts[-1] for each in command.params if isinstance(each, click.Option)]
        sentence = re.split(r"(?<=\.)\s", " ".join((command.help or "").split()), maxsplit=1)[0]
        given = f" ({', '.join(f'`{option}`' for option in options)})" if options else ""
        lines.append(f"| `{' '.join([name, *arguments])}` | {sentence}{given} |")
    return "\n".join(lines)


def _shown_argument(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument) and parameter.name != "arguments"


def operation_tables() -> str:
    """The operations of the OpenAPI document by subject, with what a key needs."""
    app = create_app(Settings(), database_url="postgresql://nowhere/none", secret_key="k" * 32)
    enough: dict[tuple[str, str], frozenset[str]] = {
        (method.lower(), route.path_format): handler.opt.get(ALLOWED, frozenset())
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler)
        for method in handler.http_methods
    }
    subjects: dict[str, list[str]] = {}
    document: dict[str, Any] = app.openapi_schema.to_schema()
    for path, said in sorted(document["paths"].items()):
        for method in (each for each in _METHODS if each in said):
            line = f"| `{method.upper()} {path}` | {_who(path, enough[method, path])} | {said[method]['summary']} |"
            subjects.setdefault(said[method]["tags"][0], []).append(line)
    return "\n\n".join(
        "\n".join([f"## {subject}", "", "| operation | needs | |", "| --- | --- | --- |", *lines])
        for subject, lines in sorted(subjects.items())
    )


def _who(path: str, enough: frozenset[str]) -> str:
    if not path.startswith("/v1/"):
        return "no key"
    return ", ".join(f"`{each}`" for each in sorted(enough - {Scope.ADMIN})) or "`admin`"


GENERATED: dict[str, Callable[[], str]] = {"cli.md": command_table, "routes.md": operation_tables}


def with_generated(page: str, text: str) -> str:
    """*text* of *page* with what is made from the code as it is now."""
    found = GENERATED[page]()
    return re.sub(
        r"(<!-- from the code -->\n).*?(\n<!-- to here -->)", rf"\g<1>{_escaped(found)}\g<2>", text, flags=re.S
    )


def _escaped(replacement: str) -> str:
    return replacement.replace("\\", r"\\")


def write() -> None:
    """Bring the pages up to date."""
    for page in GENERATED:
        file = DOCS / page
        file.write_text(with_generated(page, file.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write()
