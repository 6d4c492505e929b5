"""Restricted keys, and the header that names an account by its path."""

from typing import Any

import aiohttp
import pytest

from tests.sandbox.conftest import Wire, connected_account


async def restricted(wire: Wire, http: aiohttp.ClientSession, permissions: dict[str, str]) -> Wire:
    headers = {"Authorization": f"Bearer {wire.key}"}
    wanted = {"permissions": permissions}
    async with http.post(f"{wire.url}/_sandbox/restricted_keys", json=wanted, headers=headers) as answer:
        return Wire(http, wire.url, (await answer.json())["key"])


async def test_a_restricted_key_does_what_it_may_for_its_account(wire: Wire, http: aiohttp.ClientSession) -> None:
    reader = await restricted(wire, http, {"customers": "read", "products": "write"})
    made = (await wire.post("/v1/customers", "name=Ann")).body["id"]
    assert (await reader.get(f"/v1/customers/{made}")).body["name"] == "Ann"
    assert (await reader.post("/v1/products", "name=Gold")).status == 200
    assert (await reader.get("/v1/products")).status == 200
    for refused, permission in (
        (await reader.post("/v1/customers", "name=Bob"), "rak_customer_write"),
        (await reader.get("/v1/prices"), "rak_price_read"),
    ):
        assert (refused.status, refused.error["type"], "code" in refused.error) == (403, "invalid_request_error", False)
        assert refused.error["message"].startswith(
            "The provided key 'rk_test_***' does not have the required permissions for this endpoint on account 'acct_"
        )
        assert f"'{permission}'" in refused.error["message"]
    assert len((await wire.get("/v1/customers")).body["data"]) == 1


async def test_everything_may_be_granted_at_once(wire: Wire, http: aiohttp.ClientSession) -> None:
    reader = await restricted(wire, http, {"*": "read"})
    assert (await reader.get("/v1/prices")).status == 200
    assert (await reader.post("/v1/customers", "name=Bob")).status == 403


async def test_a_context_names_an_account_as_the_older_header_does(sdk: Any, wire: Wire) -> None:
    account = await connected_account(sdk)
    own = (await wire.get("/v1/account")).body["id"]
    made = await sdk.customers.create_async({"name": "Ann"}, {"stripe_account": account})
    for context in (account, f"{own}/{account}"):
        assert (await wire.get(f"/v1/customers/{made.id}", Stripe_Context=context)).status == 200
    assert (await wire.get(f"/v1/customers/{made.id}", Stripe_Context=own)).status == 404
    assert (await sdk.customers.retrieve_async(made.id, options={"stripe_context": account})).name == "Ann"


@pytest.mark.parametrize("context", ["acct_none", "acct_none/{account}", "{account}/acct_none"])
async def test_a_foreign_context_is_refused(sdk: Any, wire: Wire, context: str) -> None:
    account = await connected_account(sdk)
    reply = await wire.get("/v1/customers", Stripe_Context=context.replace("{account}", account))
    assert (reply.status, reply.error["code"]) == (403, "account_invalid")


async def test_two_headers_must_agree(sdk: Any, wire: Wire) -> None:
    one, two = await connected_account(sdk), await connected_account(sdk)
    assert (await wire.get("/v1/customers", Stripe_Context=one, Stripe_Account=two)).status == 400
    assert (await wire.get("/v1/customers", Stripe_Context=one, Stripe_Account=one)).status == 200
