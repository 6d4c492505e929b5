"""Request bodies are decoded strictly: `"2"` is no number, `1` is no boolean, a body is JSON, and its values in bounds.

Litestar by itself converts as it does for query parameters, which are text and have to be read leniently.
"""

from functools import cache
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ClientException, HTTPException

from colonnade.conventions.bounds import require_bounds
from colonnade.conventions.wording import invalid

MERGE_PATCH = "application/merge-patch+json"
"""RFC 7396; what our PATCH bodies are: null clears a field, a field left out stays as it is."""


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON body is what its handler's `data` says."""

    async def json(self) -> Any:
        """The body as the handler's type. Raises `Invalid`, and what `problems` answers 400 and 415 for."""
        self._require_json()
        field = self.route_handler.parsed_data_field
        return decoded(await self.body(), Any if field is None else field.annotation)

    def _require_json(self) -> None:
        taken = {"", "application/json"} | ({MERGE_PATCH} if self.method == "PATCH" else set())
        if self.content_type[0].lower() not in taken:
            raise HTTPException(status_code=415, detail="Send the body as application/json.")


def decoded(body: bytes, kind: Any) -> Any:
    """*body* as a *kind*. Raises `Invalid`, and `ClientException` for what is not JSON."""
    try:
        found = _decoder(kind).decode(body)
        require_bounds(found)
    except msgspec.ValidationError as error:
        raise invalid(error, kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ClientException(f"The body is not JSON: {error}") from error
    return found


@cache
def _decoder(annotation: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(annotation)
