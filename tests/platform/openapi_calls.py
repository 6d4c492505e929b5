"""The document's operations, as calls that can be made."""

from typing import Any, NamedTuple
from urllib.parse import quote

_ORDER = ("put", "post", "get", "patch", "delete")
"""What makes things first, what removes them last."""


class Operation(NamedTuple):
    method: str
    path: str
    said: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.said["operationId"])

    @property
    def body(self) -> Any:
        """The document's example of a body; None: it takes none."""
        contents = self.said.get("requestBody", {}).get("content", {})
        return next(iter(contents.values())).get("example") if contents else None

    def filled(self, values: dict[str, str]) -> str:
        """The path with *values*, else the document's examples, in its places."""
        path = self.path
        for each in self.said.get("parameters", ()):
            if each["in"] == "path":
                value = values.get(each["name"], str(each["example"]))
                path = path.replace(f"{{{each['name']}}}", quote(value, safe=""))
        return path

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def operations(document: dict[str, Any]) -> list[Operation]:
    """All of them but streams, what makes things first."""
    found = [
        Operation(method, path, said)
        for path, methods in document["paths"].items()
        for method, said in methods.items()
        if not any(kind == "text/event-stream" for kind in said["responses"].get("200", {}).get("content", ()))
    ]
    return sorted(found, key=lambda each: _ORDER.index(each.method))
