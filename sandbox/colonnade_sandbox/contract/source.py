"""The declarations in the source of the installed `stripe` package, read without importing it."""

import ast
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path


class SdkMissing(RuntimeError):
    """The `stripe` package, whose source is the sandbox's contract, is not installed."""


@dataclass(slots=True)
class Class:
    """One class (or functional TypedDict) of the SDK: its annotated fields, parents and inner classes."""

    module: str
    name: str
    fields: dict[str, ast.expr] = field(default_factory=dict)
    bases: tuple[str, ...] = ()
    inner: dict[str, "Class"] = field(default_factory=dict)
    outer: "Class | None" = None
    object_name: str | None = None


@dataclass(slots=True)
class Module:
    name: str
    classes: dict[str, Class]
    imports: dict[str, tuple[str, str]]


@cache
def package() -> Path:
    """Folder of the installed package."""
    spec = find_spec("stripe")
    if spec is None or not spec.submodule_search_locations:
        raise SdkMissing("The stripe package is not installed; it is the sandbox's contract.")
    return Path(spec.submodule_search_locations[0])


@cache
def api_version() -> str:
    """The API version that the package pins, for example `2026-10-28.endive`."""
    for node in ast.walk(ast.parse((package() / "_api_version.py").read_text("utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CURRENT":
            return str(ast.literal_eval(node.value))
    raise SdkMissing("The installed stripe package pins no API version.")


def path_of(module: str) -> Path:
    path = package().joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def module(name: str) -> Module:
    """Declarations of one module, such as `stripe.params._customer_create_params`."""
    found = Module(name, {}, {})
    _read(ast.parse(path_of(name).read_text("utf-8")).body, found)
    return found


def _read(body: list[ast.stmt], into: Module) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            into.classes[node.name] = _class(node, into.name, None)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                into.imports[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, ast.If):
            _read(node.body, into)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            _functional(node, into)


def _functional(node: ast.Assign, into: Module) -> None:
    """`_Base = TypedDict("_Base", {"from": …})`: how the SDK writes fields that are Python keywords."""
    call = node.value
    target = node.targets[0]
    if not (isinstance(call, ast.Call) and isinstance(target, ast.Name) and len(call.args) == 2):
        return
    table = call.args[1]
    if isinstance(table, ast.Dict):
        fields = {k.value: v for k, v in zip(table.keys, table.values, strict=True) if isinstance(k, ast.Constant)}
        into.classes[target.id] = Class(into.name, target.id, {str(k): v for k, v in fields.items()})


def _class(node: ast.ClassDef, module_name: str, outer: Class | None) -> Class:
    bases = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
    found = Class(module_name, node.name, bases=bases, outer=outer)
    for item in node.body:
        if isinstance(item, ast.ClassDef):
            found.inner[item.name] = _class(item, module_name, found)
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            if item.target.id == "OBJECT_NAME":
                found.object_name = ast.literal_eval(item.value) if item.value else None
            elif not item.target.id.startswith("_"):
                found.fields[item.target.id] = item.annotation
    return found


def lookup(name: str, scope: Class) -> Class | None:
    """The class that `name` means inside `scope`: an inner class, a sibling, or an import."""
    at: Class | None = scope
    while at is not None:
        if name in at.inner:
            return at.inner[name]
        at = at.outer
    here = module(scope.module)
    if name in here.classes:
        return here.classes[name]
    if name not in here.imports:
        return None
    source, original = here.imports[name]
    return module(source).classes.get(original) if source.startswith("stripe.") else None


@cache
def resources() -> dict[str, tuple[str, str]]:
    """Object name (`billing_portal.session`, `v2.core.event`) to the module and class that declare it."""
    tree = ast.parse((package() / "_object_classes.py").read_text("utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)]
    if not tables:
        raise SdkMissing("The installed stripe package has no OBJECT_CLASSES table.")
    # Where both APIs have a name (`list`), it is the V1 class.
    return {name: declared for table in reversed(tables) for name, declared in ast.literal_eval(table).items()}
