"""A browser without JavaScript: follows links, reads forms, submits them as they stand."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import aiohttp


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    button: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.text: list[str] = []
        self.tags: list[str] = []
        self._open: str | None = None
        self._label: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag == "form":
            self.forms.append(Form(given.get("method", "get").upper(), given["action"]))
        elif tag in ("input", "button", "textarea") and "name" in given:
            unchecked = given.get("type") in ("radio", "checkbox") and "checked" not in given
            if not unchecked:
                self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "select":
            self.forms[-1].fields[given["name"]] = ""
        elif tag == "option" and "selected" in given:
            self.forms[-1].fields[list(self.forms[-1].fields)[-1]] = given["value"]
        if tag in ("a", "button"):
            self._open, self._label = given.get("href"), []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("a", "button") and self._label is not None:
            words = " ".join("".join(self._label).split())
            if tag == "a" and self._open is not None:
                self.links[words] = self._open
            elif tag == "button":
                self.forms[-1].button = words
            self._label = None

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._label is not None:
            self._label.append(data)


@dataclass
class Page:
    url: str
    status: int
    headers: dict[str, str]
    html: str
    forms: list[Form]
    links: dict[str, str]
    text: str
    tags: list[str]

    def form(self, button: str) -> Form:
        """The form whose button begins with these words."""
        found = [form for form in self.forms if form.button.startswith(button)]
        assert found, f"no form {button!r} among {[form.button for form in self.forms]}"
        return found[0]

    def link(self, words: str) -> str:
        found = [url for text, url in self.links.items() if text.startswith(words)]
        assert found, f"no link {words!r} among {list(self.links)}"
        return found[0]

    def offers(self, words: str) -> bool:
        """Whether a link or a button begins with these words."""
        buttons = [form.button for form in self.forms]
        return any(text.startswith(words) for text in [*self.links, *buttons])


def page_of(url: str, status: int, headers: dict[str, str], html: str) -> Page:
    """The page that an answer holds."""
    reader = _Reader()
    reader.feed(html)
    text = " ".join("".join(reader.text).split())
    return Page(url, status, headers, html, reader.forms, reader.links, text, reader.tags)


@dataclass
class Browser:
    http: aiohttp.ClientSession

    async def get(self, url: str, *, follow: bool = True) -> Page:
        return await self._read(self.http.get(url, allow_redirects=follow))

    async def follow(self, page: Page, words: str) -> Page:
        return await self.get(urljoin(page.url, page.link(words)))

    async def submit(self, page: Page, button: str, *, follow: bool = True, **fields: str | None) -> Page:
        """Submit a form with other values; None leaves a field out."""
        form = page.form(button)
        values = {name: value for name, value in (form.fields | fields).items() if value is not None}
        return await self.send(form.method, urljoin(page.url, form.action), values, follow=follow)

    async def send(self, method: str, url: str, values: dict[str, str], *, follow: bool = True) -> Page:
        if method == "GET":
            return await self._read(self.http.get(url, params=values, allow_redirects=follow))
        return await self._read(self.http.post(url, data=values, allow_redirects=follow))

    async def _read(self, sent: "aiohttp.client._RequestContextManager") -> Page:
        async with sent as answer:
            html = await answer.text()
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return page_of(str(answer.url), answer.status, headers, html)
