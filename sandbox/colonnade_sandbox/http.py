"""The little of HTTP that the sandbox needs over ASGI."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from colonnade_sandbox import forms

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass
class Request:
    """One request with its whole body. Header names are lower case; `path` is decoded."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    client: str = "127.0.0.1"

    @cached_property
    def arguments(self) -> dict[str, str]:
        """Query string, last value of a repeated name."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        """A browser's form, last value of a repeated name."""
        return dict(self.form_items)

    @cached_property
    def form_items(self) -> list[tuple[str, str]]:
        """A browser's form with repeated names, as check boxes send them."""
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)

    @cached_property
    def cookies(self) -> dict[str, str]:
        jar = SimpleCookie(self.headers.get("cookie", ""))
        return {name: morsel.value for name, morsel in jar.items()}

    @cached_property
    def parts(self) -> dict[str, "forms.Part"]:
        """A multipart form by field name; empty where the request is none."""
        return forms.multipart(self.headers.get("content-type", ""), self.body)


@dataclass
class Response:
    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    # Only half of the body is sent before the connection closes.
    cut_off: bool = False

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Response":
        body = msgspec.json.format(msgspec.json.encode(value), indent=2)
        return cls(status, body, [("content-type", "application/json")])

    @classmethod
    def html(cls, text: str, status: int = 200) -> "Response":
        return cls(status, text.encode(), [("content-type", "text/html; charset=utf-8")])

    @classmethod
    def redirect(cls, url: str, status: int = 303) -> "Response":
        return cls(status, b"", [("location", url)])

    def with_cookie(self, name: str, value: str, *, path: str = "/", max_age: int | None = None) -> "Response":
        """Set a cookie that scripts cannot read and other sites cannot send along."""
        age = "" if max_age is None else f"; Max-Age={max_age}"
        self.headers.append(("set-cookie", f"{name}={value}; Path={path}; HttpOnly; SameSite=Lax{age}"))
        return self

    async def send(self, send: Send) -> None:
        headers = [*self.headers, ("content-length", str(len(self.body)))]
        encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": self.status, "headers": encoded})
        body = self.body[: len(self.body) // 2] if self.cut_off else self.body
        await send({"type": "http.response.body", "body": body, "more_body": self.cut_off})


async def read(scope: Scope, receive: Receive) -> Request:
    """The request of an ASGI scope."""
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client") or ("127.0.0.1", 0)
    return Request(
        scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, b"".join(chunks), client[0]
    )
