"""What accounts must tell, by their kind, and what follows from it."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Wire, connected_account

CARD = {"card_payments": {"requested": True}, "transfers": {"requested": True}}
PROFILE = {"mcc": "5734", "url": "https://aurora.example"}
ADDRESS = {"line1": "1 Road", "city": "Seattle", "postal_code": "98101", "state": "WA"}
PERSON = {
    "first_name": "Ada",
    "last_name": "Stone",
    "email": "ada@example.com",
    "phone": "+12065550100",
    "dob": {"day": 1, "month": 2, "year": 1980},
    "address": ADDRESS,
    "ssn_last_4": "0000",
}
COMPANY = {"name": "Aurora Inc", "phone": "+12065550100", "tax_id": "000000000", "address": ADDRESS}
TOLD = {
    "business_profile": PROFILE,
    "external_account": "btok_us",
    "tos_acceptance": {"date": 1700000000, "ip": "127.0.0.1"},
}


async def types_of(sdk: Any, account: str) -> list[str]:
    events = await sdk.events.list_async({"limit": 100}, {"stripe_account": account})
    return [event.type for event in events.data]


async def enabled(sdk: Any, wire: Wire, **given: Any) -> str:
    account = (await sdk.accounts.create_async({"capabilities": CARD} | given)).id
    await wire.control("account_states", {"account": account, "state": "enabled"})
    return str(account)


async def test_what_is_due_follows_from_the_type_of_business(sdk: Any) -> None:
    made = await sdk.accounts.create_async({"type": "custom", "country": "US", "capabilities": CARD})
    due = set(made.requirements.currently_due)
    assert due == {
        "business_profile.mcc",
        "business_profile.url",
        "business_type",
        "external_account",
        "tos_acceptance.date",
        "tos_acceptance.ip",
    }
    person = await sdk.accounts.update_async(made.id, {"business_type": "individual"})
    assert {"individual.ssn_last_4", "individual.dob.day"} < set(person.requirements.past_due)
    company = await sdk.accounts.update_async(made.id, {"business_type": "company"})
    assert {"company.tax_id", "representative.relationship.title"} < set(company.requirements.eventually_due)
    assert (company.requirements.disabled_reason, company.charges_enabled) == ("requirements.past_due", False)


async def test_transfers_alone_need_no_website(sdk: Any) -> None:
    wanted = {"type": "express", "capabilities": {"transfers": {"requested": True}}}
    made = await sdk.accounts.create_async(wanted)
    assert not {"business_profile.url", "business_profile.mcc"} & set(made.requirements.currently_due)
    more = await sdk.accounts.update_async(made.id, {"capabilities": {"card_payments": {"requested": True}}})
    assert "business_profile.url" in more.requirements.currently_due


async def test_an_individual_who_tells_everything_may_charge(sdk: Any) -> None:
    wanted = {"type": "custom", "business_type": "individual", "capabilities": CARD, "individual": PERSON}
    made = await sdk.accounts.create_async(wanted)
    assert made.individual.first_name == "Ada"
    assert (made.individual.ssn_last_4_provided, "ssn_last_4" in made.individual) == (True, False)
    assert not [field for field in made.requirements.currently_due if field.startswith("individual")]
    done = await sdk.accounts.update_async(made.id, TOLD)
    assert (done.charges_enabled, done.payouts_enabled, done.details_submitted) == (True, True, True)
    assert done.requirements.disabled_reason is None
    assert done.external_accounts.data[0].last4 == "6789"


async def test_a_company_needs_a_representative(sdk: Any) -> None:
    wanted = {"type": "custom", "business_type": "company", "company": COMPANY, "capabilities": CARD} | TOLD
    account = (await sdk.accounts.create_async(wanted)).id
    nameless = await sdk.accounts.persons.create_async(account, {"relationship": {"representative": True}})
    found = await sdk.accounts.retrieve_async(account)
    assert f"{nameless.id}.first_name" in found.requirements.currently_due
    assert "first_name" in (await sdk.accounts.persons.retrieve_async(account, nameless.id)).requirements.past_due
    told = PERSON | {"relationship": {"title": "Owner"}}
    person = await sdk.accounts.persons.update_async(account, nameless.id, told)
    assert (list(person.requirements.currently_due), person.relationship.representative) == ([], True)
    assert (await sdk.accounts.retrieve_async(account)).charges_enabled
    assert [row.id for row in (await sdk.accounts.persons.list_async(account)).data] == [person.id]
    assert (await sdk.accounts.persons.delete_async(account, person.id)).deleted
    assert not (await sdk.accounts.retrieve_async(account)).charges_enabled
    types = await types_of(sdk, account)
    assert {"person.created", "person.updated", "person.deleted", "capability.updated", "account.updated"} <= set(types)


async def test_capabilities_are_asked_for_and_given_back(sdk: Any, wire: Wire) -> None:
    account = await enabled(sdk, wire, type="custom")
    capabilities = sdk.accounts.capabilities
    assert {row.id: row.status for row in (await capabilities.list_async(account)).data} == {
        "card_payments": "active",
        "transfers": "active",
    }
    other = await capabilities.retrieve_async(account, "sepa_debit_payments")
    assert (other.requested, other.status, other.requested_at) == (False, "unrequested", None)
    asked = await capabilities.update_async(account, "sepa_debit_payments", {"requested": True})
    assert (asked.requested, asked.status, asked.account) == (True, "active", account)
    back = await capabilities.update_async(account, "card_payments", {"requested": False})
    assert back.status == "unrequested"
    assert not (await sdk.accounts.retrieve_async(account)).charges_enabled
    events = await sdk.events.list_async({"type": "capability.updated"}, {"stripe_account": account})
    assert [event.data.object.id for event in events.data][:2] == ["card_payments", "sepa_debit_payments"]
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await capabilities.retrieve_async(account, "teleportation")
    assert (unknown.value.http_status, unknown.value.param) == (404, "capability")


STATES = [
    ("restricted", "requirements.past_due", False, False, "inactive"),
    ("restricted_soon", None, True, True, "active"),
    ("future", None, True, True, "active"),
    ("pending", "requirements.pending_verification", False, True, "pending"),
    ("payouts_disabled", None, True, False, "active"),
    ("rejected", "rejected.fraud", False, False, "inactive"),
    ("disabled", "under_review", False, False, "inactive"),
]


@pytest.mark.parametrize(("state", "reason", "charges", "payouts", "status"), STATES)
async def test_an_account_can_be_put_into_every_state(
    sdk: Any, wire: Wire, state: str, reason: str | None, charges: bool, payouts: bool, status: str
) -> None:
    account = await enabled(sdk, wire, type="express")
    put = await wire.control("account_states", {"account": account, "state": state, "deadline": 3600})
    found = await sdk.accounts.retrieve_async(account)
    assert put["id"] == found.id
    assert (found.requirements.disabled_reason, found.charges_enabled, found.payouts_enabled) == (
        reason,
        charges,
        payouts,
    )
    assert found.capabilities.card_payments == status
    assert (await types_of(sdk, account))[0] in ("account.updated", "capability.updated")
    await wire.control("account_states", {"account": account, "state": "enabled"})
    assert (await sdk.accounts.retrieve_async(account)).charges_enabled


async def test_a_deadline_that_passes_restricts_the_account(sdk: Any, wire: Wire) -> None:
    account = await enabled(sdk, wire, type="express")
    wanted = {"account": account, "state": "restricted_soon", "deadline": 3600, "fields": ["company.verification"]}
    await wire.control("account_states", wanted)
    soon = (await sdk.accounts.retrieve_async(account)).requirements
    assert (list(soon.currently_due), list(soon.past_due)) == (["company.verification"], [])
    now = (await wire.get("/_sandbox/health")).body["now"]
    assert now < soon.current_deadline <= now + 3600
    await wire.control("advance", {"seconds": 3601})
    late = await sdk.accounts.retrieve_async(account)
    assert (list(late.requirements.past_due), late.charges_enabled) == (["company.verification"], False)
    assert (await types_of(sdk, account))[:2] == ["capability.updated", "capability.updated"]


async def test_future_requirements_have_their_deadline(sdk: Any, wire: Wire) -> None:
    account = await enabled(sdk, wire, type="express")
    await wire.control("account_states", {"account": account, "state": "future"})
    found = await sdk.accounts.retrieve_async(account)
    assert list(found.requirements.currently_due) == []
    assert list(found.future_requirements.currently_due) == ["company.verification.document"]
    assert found.future_requirements.current_deadline is not None


async def test_a_platform_rejects_what_it_is_liable_for(sdk: Any, wire: Wire) -> None:
    account = await enabled(sdk, wire, type="custom")
    rejected = await sdk.accounts.reject_async(account, {"reason": "terms_of_service"})
    assert rejected.requirements.disabled_reason == "rejected.platform_terms_of_service"
    assert (rejected.charges_enabled, rejected.payouts_enabled) == (False, False)
    capability = await sdk.accounts.capabilities.retrieve_async(account, "card_payments")
    assert capability.requirements.disabled_reason == "rejected.other"
    with pytest.raises(stripe.InvalidRequestError, match="already been rejected"):
        await sdk.accounts.reject_async(account, {"reason": "other"})
    again = await wire.post(f"/v1/accounts/{account}/unreject")
    assert (again.status, again.body["charges_enabled"]) == (200, True)
    standard = (await sdk.accounts.create_async({"type": "standard"})).id
    with pytest.raises(stripe.InvalidRequestError, match="liable"):
        await sdk.accounts.reject_async(standard, {"reason": "other"})


async def test_external_accounts_have_one_default_each_currency(sdk: Any) -> None:
    account = await connected_account(sdk)
    api = sdk.accounts.external_accounts
    first = await api.create_async(account, {"external_account": "btok_us_verified"})
    bank = {"object": "bank_account", "country": "US", "currency": "usd", "account_number": "000999999991"}
    second = await api.create_async(account, {"external_account": bank, "default_for_currency": True})
    assert (first.object, first.last4, second.last4) == ("bank_account", "6789", "9991")
    rows = {row.id: row.default_for_currency for row in (await api.list_async(account)).data}
    assert rows == {first.id: False, second.id: True}
    with pytest.raises(stripe.InvalidRequestError, match="default external account"):
        await api.delete_async(account, second.id)
    assert (await api.delete_async(account, first.id)).deleted
    card = await api.create_async(account, {"external_account": "tok_visa_debit"})
    assert (card.object, card.last4) == ("card", "5556")
    assert [row.id for row in (await api.list_async(account, {"object": "card"})).data] == [card.id]
    renamed = await api.update_async(account, second.id, {"metadata": {"a": "b"}, "account_holder_name": "Ada"})
    assert (renamed.metadata.a, renamed.account_holder_name) == ("b", "Ada")
    types = await types_of(sdk, account)
    assert {f"account.external_account.{what}" for what in ("created", "updated", "deleted")} <= set(types)
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await api.create_async(account, {"external_account": "nonsense"})
    assert unknown.value.param == "external_account"


async def test_login_links_are_for_express(sdk: Any, wire: Wire) -> None:
    express = await enabled(sdk, wire, type="express")
    assert (await sdk.accounts.login_links.create_async(express)).url.startswith("http")
    for other in (await enabled(sdk, wire, type="custom"), (await sdk.accounts.create_async({"type": "express"})).id):
        with pytest.raises(stripe.InvalidRequestError, match="login link"):
            await sdk.accounts.login_links.create_async(other)


async def test_an_account_session_has_a_secret_and_hands_over_control(sdk: Any) -> None:
    account = (await sdk.accounts.create_async({"type": "standard"})).id
    components = {"account_onboarding": {"enabled": True}}
    session = await sdk.account_sessions.create_async({"account": account, "components": components})
    assert session.client_secret.startswith("accs_secret_")
    assert (session.components.account_onboarding.enabled, session.components.payments.enabled) == (True, False)
    with pytest.raises(stripe.PermissionError) as refused:
        await sdk.accounts.persons.create_async(account, {"first_name": "Ada"})
    assert refused.value.error is not None
    assert refused.value.error.code == "oauth_not_supported"
