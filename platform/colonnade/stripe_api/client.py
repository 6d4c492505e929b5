"""One Stripe client for the process; each call goes through a client bound to one account."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg
import stripe

from colonnade.settings import Settings
from colonnade.stripe_api.breaker import Breaker
from colonnade.stripe_api.budget import Budget
from colonnade.stripe_api.calls import Call, Priority, Upload
from colonnade.stripe_api.gate import Gate
from colonnade.stripe_api.home import Home
from colonnade.stripe_api.limits import Limits, Process
from colonnade.stripe_api.sender import LONGEST_TRY, Reply, Sender


class StripeClient:
    """Calls on one account: the platform's own, or a connected one by `Stripe-Account`.

    They take the turn of one tenant, None being the platform team, and have one priority.

    Every method raises `Closed` where the tenant is frozen, `NotFound` for an object that Stripe does not have,
    `StripeRefused` for a request that Stripe finds wrong, `Conflict` for an idempotency key that came with another
    request, and `StripeUnavailable` when asking again later may help.
    """

    def __init__(
        self,
        sender: Sender,
        account: str | None,
        tenant: int | None = None,
        priority: Priority = Priority.REQUEST,
        reconnecting: bool = False,
    ) -> None:
        self._sender = sender
        self._reconnecting = reconnecting
        self.account = account
        self._tenant = tenant
        self._priority = priority

    def bound(self, *, tenant: int | None = None, priority: Priority | None = None) -> "StripeClient":
        """The same account, with another tenant's turn or another priority."""
        chosen = self._priority if priority is None else priority
        turn = self._tenant if tenant is None else tenant
        return StripeClient(self._sender, self.account, turn, chosen, self._reconnecting)

    def reconnecting(self) -> "StripeClient":
        """The same account, to ask about one that had disconnected."""
        return StripeClient(self._sender, self.account, self._tenant, self._priority, True)

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The reply to `GET path`, decoded."""
        return (await self._reply("get", path, params)).data

    async def dated(self, path: str, params: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], datetime]:
        """As `get`, and what time it was for Stripe."""
        reply = await self._reply("get", path, params)
        return reply.data, reply.date

    async def post(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        open_at: float | None = None,
    ) -> dict[str, Any]:
        """The reply to `POST path`. The same *idempotency_key* with the same *params* is done once.

        *open_at*: see `Call`.
        """
        return (await self._reply("post", path, params, idempotency_key, open_at)).data

    async def upload(self, purpose: str, name: str, content: bytes) -> str:
        """Upload a file for *purpose*, such as `business_icon`; its id at Stripe."""
        call = Call(
            method="post",
            path="/v1/files",
            params={"purpose": purpose},
            account=self.account,
            tenant=self._tenant,
            priority=self._priority,
            upload=Upload(name, content),
        )
        return str((await self._sender.send(call)).data["id"])

    async def exchange(self, code: str) -> dict[str, Any]:
        """What *code* gives, which Stripe made when a business let the platform into its account; good once.

        Raises `StripeRefused` with OAuth's error as its code. ("OAuth reference", Stripe docs)
        """
        call = Call(
            method="post",
            path="/oauth/token",
            params={"grant_type": "authorization_code", "code": code},
            tenant=self._tenant,
            priority=self._priority,
            host="connect",
        )
        return (await self._sender.send(call)).data

    async def deauthorize(self, client_id: str, account: str) -> None:
        """Give back the access that a business gave to the application *client_id*. ("OAuth reference", Stripe docs)"""
        call = Call(
            method="post",
            path="/oauth/deauthorize",
            params={"client_id": client_id, "stripe_user_id": account},
            tenant=self._tenant,
            priority=self._priority,
            host="connect",
        )
        await self._sender.send(call)

    async def delete(self, path: str) -> dict[str, Any]:
        """The reply to `DELETE path`."""
        return (await self._reply("delete", path, None)).data

    async def _reply(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        idempotency_key: str | None = None,
        open_at: float | None = None,
    ) -> Reply:
        call = Call(
            method=method,
            path=path,
            params=params or {},
            account=self.account,
            tenant=self._tenant,
            priority=self._priority,
            idempotency_key=idempotency_key,
            reconnecting=self._reconnecting,
            open_at=open_at,
        )
        return await self._sender.send(call)


class StripeGateway:
    """The process's connection to Stripe. Open it in the event loop that uses it, and close it there.

    *process* says which part of Stripe's limits is this one's.
    """

    def __init__(self, settings: Settings, process: Process = "command") -> None:
        # Telemetry writes a file below the home directory, and fails where there is none (containers).
        stripe.enable_telemetry = False
        self._http = stripe.AIOHTTPClient(timeout=LONGEST_TRY)
        base = settings.stripe_api_base
        sdk = stripe.StripeClient(
            settings.stripe_api_key or "",
            http_client=self._http,
            # Each try takes its turn; the SDK's own would not, and never repeats a 429.
            max_network_retries=0,
            base_addresses={"api": base, "files": base, "connect": base} if "stripe.com" not in base else {},
        )
        self._gate, self._home = Gate(), Home(settings.livemode)
        self._sender = Sender(sdk, Budget(Limits(settings, process)), Breaker(), self._gate, self._home)
        self._mode = "live" if settings.livemode else "test"
        self._identity: str | None = None

    def use(self, pool: asyncpg.Pool) -> None:
        """Ask this database, as a duty that sees all tenants, which are frozen and whose key it takes."""
        self._gate.use(pool)
        self._home.use(pool)

    def belong(self, connection: asyncpg.Connection) -> None:
        """Ask this database whose key it takes, and no more."""
        self._home.use(connection)

    @property
    def platform(self) -> StripeClient:
        """Calls on the platform's own account."""
        return StripeClient(self._sender, None)

    async def identity(self) -> str:
        """Whose key this is, and of which mode: `acct_…/test`. Stripe is asked once. Raises Stripe's errors."""
        if self._identity is None:
            self._identity = self.named((await self.platform.get("/v1/account"))["id"])
        return self._identity

    def named(self, platform: str) -> str:
        """The same for *platform*, if the key is known to be its."""
        return f"{platform}/{self._mode}"

    @property
    def refusing(self) -> float | None:
        """Seconds for which this process asks Stripe nothing, since it does not answer; None: it answers."""
        return self._sender.refusing

    def account(self, account: str) -> StripeClient:
        """Calls on the connected account *account*."""
        return StripeClient(self._sender, account)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]
