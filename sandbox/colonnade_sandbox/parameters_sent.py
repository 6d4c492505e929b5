"""A call's parameters, from wherever they stand: query, form, multipart, JSON."""

from typing import Any

from colonnade_sandbox import errors, forms
from colonnade_sandbox.http import Request


def read(request: Request) -> dict[str, Any]:
    """The parameters as they were sent, nested, still text; of V2 calls, JSON.

    Raises StripeError (400) for what cannot be read, and for JSON on V1.
    """
    if request.path.startswith("/v2/"):
        return forms.parse(request.query) | forms.json_object(request.body)
    if request.headers.get("content-type", "").startswith("application/json") and request.body:
        text = "Invalid request: the V1 API takes form-encoded parameters, not JSON."
        raise errors.StripeError(400, text, storable=False)
    if request.parts:
        fields = [(name, part.content.decode()) for name, part in request.parts.items() if part.filename is None]
        return forms.nest(fields)
    body = request.body.decode("utf-8", "replace")
    return forms.parse("&".join(filter(None, [request.query, body])))
