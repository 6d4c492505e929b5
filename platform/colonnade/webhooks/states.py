"""The states of stored events, and of calls of an operator's own handlers."""

from typing import Literal, get_args

State = Literal["pending", "done", "ignored", "quarantined", "dead", "held"]
"""`held`: its tenant is frozen; it is not due, and no backlog, until the tenant comes back."""

CallState = Literal["pending", "done", "dead"]
CALL_STATES: tuple[CallState, ...] = get_args(CallState)
