"""What can be wrong with a request, in the domain's words. Nothing here knows HTTP.

DomainError
├── Invalid      a value that cannot be used; nothing was written
├── NotFound     no such thing, for this tenant
└── Conflict     it exists, or is in a state that forbids this
"""


class DomainError(Exception):
    """*message* is a sentence for the caller; *param* is the path of the field it is about (`grants[0].feature`)."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class Invalid(DomainError):
    """A value that cannot be used."""


class NotFound(DomainError):
    """No such thing, for this tenant."""


class Conflict(DomainError):
    """It exists already, or its state forbids this."""
