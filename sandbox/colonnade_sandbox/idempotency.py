"""Idempotency keys: an executed POST is never executed again (Stripe docs, "Idempotent requests")."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from colonnade_sandbox import errors
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import Object

KIND = "_idempotency"
LONGEST = 255
KEPT = 24 * 3600


def fingerprint(request: Request, params: dict[str, Any]) -> dict[str, str]:
    """What must be equal when a key comes again: parameters count as parsed, whatever their order."""
    files = [part.content for part in request.parts.values() if part.filename is not None]
    canonical = msgspec.json.encode(
        [params, [hashlib.sha256(content).hexdigest() for content in files]], order="sorted"
    )
    return {"path": request.path, "digest": hashlib.sha256(canonical).hexdigest()}


class Keys:
    """Stored answers by account and key."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._running: set[tuple[str, str]] = set()

    def stored(self, account: str, name: str, print_: dict[str, str]) -> Response | None:
        """The answer that the key got before, or None if it is new.

        Raises StripeError: 400 where the key was used for another request, 409 while the first one runs.
        """
        if len(name) > LONGEST:
            raise _misused(f"Idempotency keys may be at most {LONGEST} characters long.")
        if (account, name) in self._running:
            text = (
                f"There is currently another in-progress request using this Idempotent Key: {name} (that probably "
                "means you submitted twice, and the other request is still going through)."
            )
            raise errors.StripeError(409, text, type="idempotency_error", code="idempotency_key_in_use", storable=False)
        found = self._sandbox.store.find(account, KIND, name)
        if found is None or found["created"] < self._sandbox.clock.now() - KEPT:
            return None
        return self._replayed(name, found, print_)

    def _replayed(self, name: str, found: Object, print_: dict[str, str]) -> Response:
        if found["path"] != print_["path"]:
            raise _misused(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{print_['path']}' vs '{found['path']}'). Try using a key other than '{name}' if you meant to "
                "execute a different request."
            )
        if found["digest"] != print_["digest"]:
            raise _misused(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{name}' if you meant to execute a different request."
            )
        headers = [
            ("content-type", "application/json"),
            ("original-request", found["request_id"]),
            ("idempotent-replayed", "true"),
        ]
        return Response(found["status"], found["body"].encode(), headers)

    @contextmanager
    def in_flight(self, account: str, name: str) -> Iterator[None]:
        self._running.add((account, name))
        try:
            yield
        finally:
            self._running.discard((account, name))

    def keep(self, account: str, name: str, print_: dict[str, str], request_id: str, response: Response) -> None:
        entry = print_ | {
            "id": name,
            "created": self._sandbox.clock.now(),
            "request_id": request_id,
            "status": response.status,
            "body": response.body.decode(),
        }
        self._sandbox.store.put(account, KIND, name, entry)


def _misused(text: str) -> errors.StripeError:
    return errors.StripeError(400, text, type="idempotency_error", storable=False)
