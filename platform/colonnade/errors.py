"""What can go wrong beside a tenant's own data. Nothing here knows HTTP; `problems` maps each to an answer.

DomainError (colonnade_tenants.errors)
├── Unauthenticated      no key, or one that does not exist or was revoked
├── Forbidden            a valid key that may not do this
├── PreconditionFailed   it changed since the caller read it
├── StripeRefused        Stripe answered that the request is wrong
├── Closed (Conflict)    the tenant is suspended, disconnected, archived or deleted
├── DeadEnd (Conflict)   the portal could not do what the customer is sent there for
└── Unavailable          Stripe or the database cannot be asked now; trying later may help
    ├── StripeUnavailable
    │   └── WrongAccount the key is not of the platform's account that the database belongs to
    └── TooMany          this customer had enough of them for now
"""

from colonnade_tenants.errors import Conflict, DomainError, Invalid, NotFound

__all__ = [
    "Closed",
    "Conflict",
    "DeadEnd",
    "DomainError",
    "Forbidden",
    "Invalid",
    "NotFound",
    "PreconditionFailed",
    "StripeRefused",
    "StripeUnavailable",
    "TooMany",
    "Unauthenticated",
    "Unavailable",
    "WrongAccount",
]


class Unauthenticated(DomainError):
    """No key, or one that does not exist or was revoked."""


class Forbidden(DomainError):
    """A valid key that may not do this."""


class PreconditionFailed(DomainError):
    """It changed since the caller read it."""


class StripeRefused(DomainError):
    """Stripe finds the request wrong; *code* is Stripe's, *param* its parameter as a path: `items[0].price`."""

    def __init__(self, message: str, *, status: int, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message, param)
        self.status = status
        self.code = code


class Closed(Conflict):
    """The tenant is in a state that does not allow it; *code* is that state, for programs."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message, "tenant")
        self.code = code


class DeadEnd(Conflict):
    """The portal could not do what the customer is sent there for; *code* says why, for programs."""

    def __init__(self, message: str, param: str | None = None, *, code: str | None = None) -> None:
        super().__init__(message, param)
        self.code = code


class Unavailable(DomainError):
    """Something that is needed cannot be asked now; *retry_after* is in seconds."""

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StripeUnavailable(Unavailable):
    """Stripe is unreachable, failing, or limits our calls."""


class WrongAccount(StripeUnavailable):
    """The key is not of the platform's account that the database belongs to; its operator has to mend that."""


class TooMany(Unavailable):
    """This customer had enough of them for now."""
