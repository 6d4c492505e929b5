"""What a route's function says of itself: the types of its body and of its answer."""

from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect, Stream


class Types(NamedTuple):
    """What msgspec decodes and encodes: *body* (None: no JSON), and by status *answers*, each one of several types.

    The status "" stands for those that are not named. *opt* is the route's.
    """

    body: Any
    answers: dict[str, tuple[Any, ...]]
    opt: dict[str, Any]

    def answer(self, status: str) -> tuple[Any, ...]:
        """The types of the answer with that status; none: no JSON."""
        return self.answers.get(status, self.answers[""])


def camel(name: str) -> str:
    """`list_tenants` as an operation id: `listTenants`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def described(routes: Iterable[Any]) -> dict[str, Types]:
    """The types of each route by its operation's id. Raises `ValueError` where two have the same."""
    found: dict[str, Types] = {}
    for route in routes:
        if not isinstance(route, HTTPRouteHandler) or route.include_in_schema is False:
            continue
        name = route.operation_id if isinstance(route.operation_id, str) else camel(route.handler_name)
        if name in found:
            raise ValueError(f"two operations are called {name}")
        hints = get_type_hints(route.fn, include_extras=True)
        answers = {"": _choices(hints.get("return"))}
        for status, spec in (route.responses or {}).items():
            answers[str(status)] = _choices(spec.data_container)
        found[name] = Types(_plain(hints.get("data")), answers, route.opt)
    return found


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _choices(hint: Any) -> tuple[Any, ...]:
    """The types that *hint* may be; structs that nothing on the wire tells apart are several."""
    found = get_args(hint)[0] if get_origin(hint) is Response else hint
    if found in (bytes, str, Any, type(None), Redirect, Stream, None):
        return ()
    try:
        msgspec.json.Decoder(found)
    except TypeError:
        return tuple(get_args(found))
    return (found,)
