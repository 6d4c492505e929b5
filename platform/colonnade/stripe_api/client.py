"""One Stripe client for the process; each call goes through a client bound to one account."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import stripe
import structlog

from colonnade.errors import Conflict, NotFound, StripeRefused, StripeUnavailable
from colonnade.settings import Settings

log = structlog.get_logger()

TIMEOUT = 15
"""Seconds for one try. The SDK's own limit of 80 would hold a web request for minutes."""


class StripeClient:
    """Calls on one account: the platform's own, or a connected one by `Stripe-Account`.

    Every method raises `NotFound` for an object that Stripe does not have, `StripeRefused` for a request that Stripe
    finds wrong, `Conflict` for an idempotency key that came with another request, and `StripeUnavailable` when asking
    again later may help.
    """

    def __init__(self, sdk: stripe.StripeClient, account: str | None) -> None:
        self._sdk = sdk
        self.account = account

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The reply to `GET path`, decoded."""
        return await self._request("get", path, params)

    async def dated(self, path: str, params: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], datetime]:
        """As `get`, and what time it was for Stripe."""
        reply = await self._reply("get", path, params)
        data: dict[str, Any] = reply.data
        return data, parsedate_to_datetime(reply.headers["Date"])

    async def post(
        self, path: str, params: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The reply to `POST path`. The same *idempotency_key* with the same *params* is done once."""
        return await self._request("post", path, params, idempotency_key)

    async def delete(self, path: str) -> dict[str, Any]:
        """The reply to `DELETE path`."""
        return await self._request("delete", path, None)

    async def _request(
        self, method: str, path: str, params: Mapping[str, Any] | None, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        data: dict[str, Any] = (await self._reply(method, path, params, idempotency_key)).data
        return data

    async def _reply(
        self, method: str, path: str, params: Mapping[str, Any] | None, idempotency_key: str | None = None
    ) -> Any:
        options: dict[str, Any] = {}
        if self.account:
            options["stripe_account"] = self.account
        if idempotency_key:
            options["idempotency_key"] = idempotency_key
        try:
            return await self._sdk.raw_request_async(method, path, **(params or {}), **options)
        except stripe.StripeError as error:
            raise _translated(error) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            # The SDK's aiohttp transport lets a body that was cut off through as it is.
            raise StripeUnavailable("Stripe's answer was cut off; try again.") from error


def as_path(param: str) -> str:
    """Stripe's `items[0][price]` as our `items[0].price`."""
    return re.sub(r"\[([^\]\d][^\]]*)\]", r".\1", param)


def _translated(error: stripe.StripeError) -> Conflict | NotFound | StripeRefused | StripeUnavailable:
    detail = error.error
    # 401, 403, 409 and 429 leave the exception's own `code` empty.
    code = error.code or getattr(detail, "code", None)
    param = as_path(getattr(error, "param", None) or "") or None
    status = error.http_status
    log.warning("stripe error", status=status, code=code, param=param, stripe_request=error.request_id)
    # 401 is about our own key: nothing that a caller could mend.
    if status is None or status >= 500 or status in {401, 409, 429}:
        return StripeUnavailable("Stripe cannot be asked right now; try again.")
    if isinstance(error, stripe.IdempotencyError):
        return Conflict("This Idempotency-Key came with another request before.", "Idempotency-Key")
    message = error.user_message or "Stripe refused the request."
    if code == "resource_missing" and status == 404:
        return NotFound(message, param)
    return StripeRefused(message, status=status, code=code, param=param)


class StripeGateway:
    """The process's connection to Stripe. Open it in the event loop that uses it, and close it there."""

    def __init__(self, settings: Settings) -> None:
        # Telemetry writes a file below the home directory, and fails where there is none (containers).
        stripe.enable_telemetry = False
        self._http = stripe.AIOHTTPClient(timeout=TIMEOUT)
        base = settings.stripe_api_base
        self._sdk = stripe.StripeClient(
            settings.stripe_api_key or "",
            http_client=self._http,
            max_network_retries=2,
            base_addresses={"api": base, "files": base, "connect": base} if "stripe.com" not in base else {},
        )

    @property
    def platform(self) -> StripeClient:
        """Calls on the platform's own account."""
        return StripeClient(self._sdk, None)

    def account(self, account: str) -> StripeClient:
        """Calls on the connected account *account*."""
        return StripeClient(self._sdk, account)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]
