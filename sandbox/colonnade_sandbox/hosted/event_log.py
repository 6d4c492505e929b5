"""The sandbox's own page of events: what happened, to whom it was delivered, and a button to deliver it again."""

from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nlargest
from urllib.parse import urlencode

from colonnade_sandbox.control_deliveries import Again, deliver
from colonnade_sandbox.hosted import pages
from colonnade_sandbox.hosted.brand import Brand
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object

PATH = "/_sandbox/events"
SHOWN = 100
FILTERS = ("type", "account")


@dataclass(frozen=True, slots=True)
class Row:
    """An event as the page shows it; `tries` are the answers to its deliveries, oldest first."""

    id: str
    type: str
    account: str
    time: str
    tries: list[str]


def page(request: Request, sandbox: Sandbox) -> Response:
    """The newest events; `type` (a beginning is enough) and `account` narrow them."""
    wanted = {name: request.arguments.get(name, "").strip() for name in FILTERS}
    rows = [
        (account, event)
        for account, event in sandbox.store.everywhere("event")
        if event["type"].startswith(wanted["type"]) and wanted["account"] in ("", account)
    ]
    newest = nlargest(SHOWN, enumerate(rows), key=lambda row: (row[1][1]["created"], row[0]))
    return pages.render(
        "events.html",
        brand=Brand("Stripe sandbox"),
        rows=[_row(sandbox, *row) for _, row in newest],
        total=len(rows),
        wanted=wanted,
        sent=request.arguments.get("sent"),
        csrf_token=pages.form_token(sandbox, PATH),
    )


def _row(sandbox: Sandbox, account: str, event: Object) -> Row:
    tries = [row for row in sandbox.deliveries.attempts if row["event"] == event["id"]]
    moment = datetime.fromtimestamp(event["created"], UTC)
    answers = [f"{row['url']}: {row['status'] or 'no answer'}" for row in tries]
    return Row(event["id"], event["type"], account, f"{moment:%Y-%m-%d %H:%M:%S} UTC", answers)


def deliver_again(request: Request, sandbox: Sandbox) -> Response:
    """The button of a row; back on the page it says how many deliveries that made."""
    try:
        pages.check_form(request, sandbox, PATH)
    except pages.Refused as refusal:
        return pages.refusal(refusal, back=(PATH, "Back to the events"))
    count = deliver(sandbox, Again(request.form.get("event", "")))
    kept = {name: value for name in FILTERS if (value := request.form.get(name))}
    return pages.redirect(f"{PATH}?{urlencode(kept | {'sent': str(count)})}")
