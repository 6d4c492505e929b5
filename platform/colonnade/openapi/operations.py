"""What a route's function says of itself: the types of its body and of its answer."""

from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect


class Types(NamedTuple):
    """*body* and *answer* are what msgspec decodes and encodes; None: no JSON. *opt* is the route's."""

    body: Any
    answer: Any
    opt: dict[str, Any]


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
        found[name] = Types(_plain(hints.get("data")), _answer(route, hints.get("return")), route.opt)
    return found


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _answer(route: HTTPRouteHandler, hint: Any) -> Any:
    """What is said of a response's content (`responses={200: …}`) goes before the function's own type."""
    said = [spec.data_container for status, spec in (route.responses or {}).items() if 200 <= status < 300]
    found = said[0] if said else hint
    if get_origin(found) is Response:
        found = get_args(found)[0]
    return None if found in (bytes, str, Any, type(None), Redirect, None) else found
