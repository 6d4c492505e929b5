"""The routes of Stripe's API, V1 and V2, found in the SDK's service classes.

Only the services that mention a route's first noun are read, when that noun is first asked for.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from colonnade_sandbox.contract import source

VERSIONS = ("v1", "v2")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API: `template` names its path parameters in braces."""

    method: str
    template: str
    parameters: source.Class | None

    @property
    def names(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.template)


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    path: dict[str, str]


def match(method: str, path: str) -> Match | None:
    """The route that answers `method path`; a literal segment wins over a parameter."""
    segments = path.strip("/").split("/")
    if len(segments) < 2 or segments[0] not in VERSIONS:
        return None
    for route, parts in _by_form(segments[0], segments[1]).get((method, len(segments)), ()):
        pairs = list(zip(parts, segments, strict=True))
        if all(part == segment or (part[0] == "{" and segment != "") for part, segment in pairs):
            return Match(route, {part[1:-1]: segment for part, segment in pairs if part[0] == "{"})
    return None


@cache
def _by_form(version: str, noun: str) -> dict[tuple[str, int], list[tuple[Route, list[str]]]]:
    """Routes with their segments by method and number of segments, those with fewest parameters first."""
    found: dict[tuple[str, int], list[tuple[Route, list[str]]]] = {}
    for route in sorted(of_noun(noun, version), key=lambda route: len(route.names)):
        parts = route.template.strip("/").split("/")
        found.setdefault((route.method, len(parts)), []).append((route, parts))
    return found


@cache
def of_noun(noun: str, version: str = "v1") -> tuple[Route, ...]:
    """Every route below `/v1/<noun>`, or below that of the V2 API."""
    found: dict[tuple[str, str], Route] = {}
    for path in _mentions().get(f"{version}/{noun}", ()):
        for route in _routes_in(path):
            if re.match(rf"/{version}/{noun}(/|$)", route.template):
                found.setdefault((route.method, route.template), route)
    return tuple(found.values())


@cache
def _mentions() -> dict[str, list[Path]]:
    """Version and first noun of a path to the service modules that have it."""
    found: dict[str, list[Path]] = {}
    for path in sorted(source.package().rglob("*_service.py")):
        for noun in sorted(set(re.findall(r'"/(v[12]/\w+)', path.read_text("utf-8")))):
            found.setdefault(noun, []).append(path)
    return found


def _routes_in(path: Path) -> Iterator[Route]:
    parts = path.relative_to(source.package()).with_suffix("").parts
    name = ".".join(("stripe", *parts))
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    yield from _routes_of(item, source.Class(name, node.name))


def _routes_of(function: ast.FunctionDef, scope: source.Class) -> Iterator[Route]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_request":
            verb, url = node.args[0], node.args[1]
            if isinstance(url, ast.Call) and isinstance(url.func, ast.Attribute):
                url = url.func.value
            yield Route(
                str(ast.literal_eval(verb)).upper(),
                str(ast.literal_eval(url)),
                _parameters_of(function, scope),
            )


def _parameters_of(function: ast.FunctionDef, scope: source.Class) -> source.Class | None:
    """The TypedDict of the `params` argument."""
    for argument in function.args.args:
        if argument.arg == "params" and argument.annotation is not None:
            for name in re.findall(r"\w+Params\b", ast.unparse(argument.annotation)):
                return source.lookup(name, scope)
    return None
