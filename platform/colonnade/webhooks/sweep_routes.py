"""How complete what was received is, account by account, for the platform team."""

from litestar import get
from litestar.di import NamedDependency

from colonnade.access.scopes import Scope, allow
from colonnade.services import Services
from colonnade.web import After, Limit, Page, as_it_is, from_cursor, page_of
from colonnade.webhooks import sweeps
from colonnade.webhooks.sweeps import SweepView

_PLATFORM = "platform"
"""In a cursor, the platform's own account."""


@get(
    "/webhooks/sweeps",
    summary="Up to when no event is missing, for each account",
    tags=["Events"],
    opt=allow(Scope.READ),
)
async def list_sweeps(services: NamedDependency[Services], limit: Limit = 20, after: After = None) -> Page[SweepView]:
    last = from_cursor(after)
    rows = await sweeps.page(services.database.platform_pool, "" if last == _PLATFORM else last, limit + 1)
    return page_of(rows, limit, lambda each: each.account or _PLATFORM, as_it_is)


ROUTES = (list_sweeps,)
