"""Accounts of the V2 API are the same accounts in another shape."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import client_for

BODY: dict[str, Any] = {
    "contact_email": "fern@example.com",
    "display_name": "Fern",
    "dashboard": "express",
    "identity": {"country": "DE"},
    "defaults": {"responsibilities": {"fees_collector": "application", "losses_collector": "application"}},
    "configuration": {
        "merchant": {"capabilities": {"card_payments": {"requested": True}}},
        "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}},
    },
    "include": ["requirements"],
}


@pytest.fixture
def client(url: str, key: str, transport: stripe.AIOHTTPClient) -> stripe.StripeClient:
    return client_for(url, key, transport)


async def test_an_account_is_one_in_both_apis(client: stripe.StripeClient) -> None:
    made = await client.v2.core.accounts.create_async(BODY)  # type: ignore[arg-type]
    old = await client.v1.accounts.retrieve_async(made.id)
    assert (old.email, old.country, old.business_profile and old.business_profile.name) == (
        "fern@example.com",
        "DE",
        "Fern",
    )
    assert old.capabilities is not None
    assert set(old.capabilities.to_dict()) == {"card_payments", "transfers"}
    assert made.requirements is not None
    assert old.requirements is not None
    due = [entry.description for entry in made.requirements.entries or []]
    assert due == old.requirements.currently_due
    plain = await client.v2.core.accounts.retrieve_async(made.id)
    assert plain.requirements is None, "only what `include` names is shown"
    changed = await client.v2.core.accounts.update_async(made.id, {"contact_email": "new@example.com"})
    assert changed.contact_email == (await client.v1.accounts.retrieve_async(made.id)).email == "new@example.com"
    listed = await client.v2.core.accounts.list_async()
    assert [each.id for each in listed.data] == [made.id]


async def test_responsibilities_have_to_go_with_the_dashboard(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="do not go with the dashboard full"):
        await client.v2.core.accounts.create_async(BODY | {"dashboard": "full"})  # type: ignore[arg-type]


async def test_a_link_of_the_v2_api_opens_the_same_onboarding(client: stripe.StripeClient, url: str) -> None:
    made = await client.v2.core.accounts.create_async(BODY)  # type: ignore[arg-type]
    options: Any = {"refresh_url": "https://a.example/again", "return_url": "https://a.example/done"}
    link = await client.v2.core.account_links.create_async(
        {"account": made.id, "use_case": {"type": "account_onboarding", "account_onboarding": options}}
    )
    assert link.url.startswith(f"{url}/onboarding/")
    with pytest.raises(stripe.InvalidRequestError, match="account_update"):
        await client.v2.core.account_links.create_async({"account": made.id, "use_case": {"type": "account_update"}})
