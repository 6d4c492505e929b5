"""Every kind of error answer that there is: a closed set, which `docs/errors.md` explains one by one.

A program tells them apart by `type`; `title` and `detail` are for people, and their wording may change.
"""

from typing import NamedTuple


class ProblemType(NamedTuple):
    """*meaning* when it is answered; *example* a `detail`, with the *param* that it names."""

    status: int
    meaning: str
    example: str
    param: str | None = None


PROBLEMS = {
    "invalid": ProblemType(
        400,
        "A field or parameter is missing, of another type, or not acceptable; `param` names it. Nothing was written.",
        "Must be a whole number, not text.",
        "event_weight",
    ),
    "request": ProblemType(
        400, "The request cannot be served for a reason that has no type of its own.", "The request cannot be served."
    ),
    "unauthenticated": ProblemType(
        401,
        "There is no key, or one that does not exist, was revoked or has expired; or a link or token has expired.",
        "This API key does not exist or was revoked.",
    ),
    "forbidden": ProblemType(
        403,
        "The key is good, and may not do this: another scope or the platform team's key is needed.",
        "This route is for the platform team's keys.",
    ),
    "not-found": ProblemType(
        404,
        "What the path names does not exist, or is another tenant's.",
        "There is no customer with this reference.",
        "reference",
    ),
    "method-not-allowed": ProblemType(
        405, "The path exists and has not this method; the header `Allow` names those it has.", "Method Not Allowed"
    ),
    "conflict": ProblemType(
        409,
        "It does not go with what is there, or the same `Idempotency-Key` came with another request before.",
        "This Idempotency-Key came with another request before.",
        "Idempotency-Key",
    ),
    "tenant-closed": ProblemType(
        409,
        "The tenant is suspended, disconnected or archived, and this waits until it is back; `code` says which.",
        "This tenant is suspended: it can be read, and not changed.",
        "tenant",
    ),
    "dead-end": ProblemType(
        409,
        "The portal could not do what the customer is sent there for; `code` says why.",
        "The subscription ends already.",
        "flow",
    ),
    "precondition-failed": ProblemType(
        412,
        "`If-Match` does not name what is there now: somebody changed it. Nothing was written.",
        "It changed since you read it; read it again.",
        "If-Match",
    ),
    "too-large": ProblemType(413, "The body has more bytes than this route takes.", "Request Entity Too Large"),
    "unsupported-media-type": ProblemType(
        415, "The body is sent as something other than JSON.", "Send the body as application/json."
    ),
    "stripe-refused": ProblemType(
        422,
        "Stripe finds the request wrong; `code` is Stripe's, `param` Stripe's name of the field.",
        "No such price: 'price_1'",
        "items[0].price",
    ),
    "too-many-requests": ProblemType(
        429, "Too many requests; `Retry-After` says when to come again.", "This customer opened many portals lately."
    ),
    "internal": ProblemType(
        500, "A defect of ours. The request id helps to find it.", "Something went wrong on our side."
    ),
    "unavailable": ProblemType(
        503,
        "Something that is needed cannot be asked now, such as the database; nothing was written.",
        "The database cannot be reached; nothing was written.",
    ),
    "stripe-unavailable": ProblemType(
        503,
        "Stripe is unreachable, failing, or limits our calls; repeat the request, with the same `Idempotency-Key`.",
        "Stripe does not answer at present; try again.",
    ),
}


def problem_type(kind: str) -> str:
    """The `type` of a problem of this *kind*."""
    return f"urn:colonnade:problem:{kind}"


def title_of(kind: str) -> str:
    """The `title` of a problem of this *kind*."""
    return kind.replace("-", " ").capitalize()
