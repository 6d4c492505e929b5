"""Colonnade's own few pages for customers: no framing, nothing from elsewhere, nothing kept, no referrer."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from litestar import MediaType, Response

from colonnade.portals import rooms

_STYLE = "body{font:1.1rem/1.6 system-ui,sans-serif;margin:20vh auto;max-width:30rem;padding:0 1.5rem;color:#1f2937}"
# The address is the page's own, so that nothing has to be put into the script. A stream that was refused does not come
# back by itself (`readyState` 2): then the page refreshes, as it does without JavaScript.
_SCRIPT = """
const source = new EventSource(location.pathname.replace(/\\/done$/, "") + "/events");
source.addEventListener("settled", (event) => { source.close(); location.replace(JSON.parse(event.data).url); });
source.addEventListener("error", () => { if (source.readyState === 2) setTimeout(() => location.reload(), AGAIN); });
""".replace("AGAIN", str(1000 * rooms.AGAIN))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
}
"""Beside `Referrer-Policy: no-referrer`, which every answer has."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
{head}</head>
<body>
<main>
<h1>{title}</h1>
<p{live}>{text}</p>
</main>
{foot}</body>
</html>
"""


def message(title: str, text: str, status: int, headers: Mapping[str, str] | None = None) -> Response[str]:
    """A page that says one thing."""
    return _response(_PAGE.format(title=escape(title), text=escape(text), **_PLAIN), status, headers)


def waiting() -> Response[str]:
    """The page that waits for what the customer changed: by server-sent events, without JavaScript by refreshing."""
    page = _PAGE.format(
        title="One moment",
        text="We are bringing your account up to date. You will be sent on by itself.",
        **_PLAIN
        | {
            "head": '<noscript><meta http-equiv="refresh" content="1"></noscript>\n',
            "live": ' role="status"',
            "foot": f"<script>{_SCRIPT}</script>\n",
        },
    )
    return _response(page, 200, None)


_PLAIN = {"style": _STYLE, "head": "", "live": "", "foot": ""}


def _response(page: str, status: int, headers: Mapping[str, str] | None) -> Response[str]:
    return Response(page, status_code=status, media_type=MediaType.HTML, headers={**(headers or {}), **HEADERS})
