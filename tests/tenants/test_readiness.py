"""Readiness is one word for any account whatever, and its words say what is wanted of whom."""

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade_tenants import readiness_words as words
from colonnade_tenants.readiness import ReadinessState, assess, needed

READY: dict[str, Any] = {
    "id": "acct_1",
    "charges_enabled": True,
    "payouts_enabled": True,
    "details_submitted": True,
    "capabilities": {"card_payments": "active", "transfers": "active"},
    "requirements": {"currently_due": [], "past_due": [], "eventually_due": [], "disabled_reason": None},
    "future_requirements": {},
}
SOON = 1_790_000_000
CASES: dict[str, tuple[dict[str, Any], ReadinessState, set[str]]] = {
    "nothing is wanted": ({}, "ready", set()),
    "something is wanted one day": ({"requirements": {"eventually_due": ["company.tax_id"]}}, "ready", set()),
    "Stripe is checking": ({"requirements": {"pending_verification": ["company.tax_id"]}}, "ready", set()),
    "wanted soon": ({"requirements": {"currently_due": ["external_account"]}}, "restricted_soon", {"business"}),
    "of a person": ({"requirements": {"currently_due": ["person_1.dob.day"]}}, "restricted_soon", {"representative"}),
    "rules change": (
        {"future_requirements": {"eventually_due": ["a"], "currently_due": ["b"], "current_deadline": SOON}},
        "restricted_soon",
        {"business"},
    ),
    "overdue": ({"requirements": {"past_due": ["external_account"]}}, "restricted", {"business"}),
    "under review": ({"requirements": {"disabled_reason": "under_review"}}, "restricted", {"stripe"}),
    "paused": ({"requirements": {"disabled_reason": "platform_paused"}}, "restricted", {"platform"}),
    "an unheard-of reason": ({"requirements": {"disabled_reason": "moon.phase"}}, "restricted", {"stripe"}),
    "cards are pending": (
        {"capabilities": {"card_payments": "pending", "transfers": "active"}},
        "restricted",
        {"stripe"},
    ),
    "transfers were never requested": ({"capabilities": {"card_payments": "active"}}, "restricted", {"platform"}),
    "payouts are held": ({"payouts_enabled": False}, "restricted", {"stripe"}),
    "not finished": ({"details_submitted": False, "charges_enabled": False}, "onboarding", set()),
    "rejected before it finished": (
        {"details_submitted": False, "requirements": {"disabled_reason": "rejected.fraud"}},
        "rejected",
        {"stripe"},
    ),
    "rejected by us": ({"requirements": {"disabled_reason": "rejected.platform_other"}}, "rejected", {"platform"}),
}


@pytest.mark.parametrize("story", CASES)
def test_what_an_account_amounts_to_and_whom_it_waits_for(story: str) -> None:
    change, state, waits_for = CASES[story]
    found = assess(READY | change, "destination")
    assert (found.state, set(found.waits_for)) == (state, waits_for)
    assert (found.reason is None) == (state == "ready")


def test_what_nobody_requested_waits_for_the_platform_during_onboarding_too() -> None:
    found = assess(READY | {"details_submitted": False, "capabilities": {"card_payments": "inactive"}}, "destination")
    assert (found.state, "platform" in found.waits_for) == ("onboarding", True)
    assert "capabilities.transfers" in {each.requirement for each in found.requirements}


def test_a_direct_tenant_needs_no_transfers() -> None:
    cards_alone = READY | {"capabilities": {"card_payments": "active"}}
    assert [assess(cards_alone, kind).state for kind in ("direct", "destination", "separate")] == [
        "ready",
        "restricted",
        "restricted",
    ]
    assert needed("direct") == ("card_payments",)


def test_requirements_come_with_deadline_problem_and_alternatives_the_most_urgent_first() -> None:
    due = {
        "past_due": ["individual.verification.document"],
        "currently_due": ["individual.verification.document", "business_profile.url"],
        "pending_verification": ["company.tax_id"],
        "eventually_due": ["representative.ssn_last_4", "business_profile.url"],
        "current_deadline": SOON,
        "errors": [{"requirement": "individual.verification.document", "code": "x", "reason": "It is blurred."}],
        "alternatives": [
            {
                "original_fields_due": ["business_profile.url"],
                "alternative_fields_due": ["business_profile.product_description"],
            }
        ],
    }
    found = assess(READY | {"requirements": due, "future_requirements": {"currently_due": ["new.rule"]}}, "direct")
    shown = [(each.words, each.due, each.waits_for, each.future) for each in found.requirements]
    assert shown == [
        ("A photo of an identity document of the owner", "past_due", "representative", False),
        ("The website of the business", "currently_due", "business", False),
        ("The tax number of the company", "pending_verification", "stripe", False),
        (
            "The last four digits of the social security number of the representative",
            "eventually_due",
            "representative",
            False,
        ),
        ("New: rule", "currently_due", "business", True),
    ]
    at = datetime.fromtimestamp(SOON, UTC)
    assert (found.requirements[0].problem, found.requirements[0].deadline, found.deadline) == ("It is blurred.", at, at)
    assert found.requirements[1].alternatives == ["business_profile.product_description"]
    assert found.waits_for == ["business", "representative", "stripe"]


NAMES = st.sampled_from(["external_account", "person_1.dob.day", "company.tax_id", "x", "", ".", "tos_acceptance.ip"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_LISTS = ("past_due", "currently_due", "pending_verification", "eventually_due", "errors", "alternatives")
DUE = ANYTHING | st.fixed_dictionaries(
    {},
    optional={
        **{name: st.lists(NAMES) | st.lists(ANYTHING) | ANYTHING for name in _LISTS},
        "current_deadline": ANYTHING,
        "disabled_reason": ANYTHING | st.sampled_from(["rejected.", "rejected.fraud", "under_review"]),
    },
)
ACCOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "charges_enabled": st.booleans() | ANYTHING,
        "payouts_enabled": st.booleans() | ANYTHING,
        "details_submitted": st.booleans() | ANYTHING,
        "capabilities": ANYTHING | st.dictionaries(st.sampled_from(["card_payments", "transfers"]), ANYTHING),
        "requirements": DUE,
        "future_requirements": DUE,
    },
)
KINDS = st.sampled_from(["direct", "destination", "separate", "?"])


@given(ACCOUNTS, KINDS)
def test_any_account_whatever_has_one_state_and_words(account: dict[str, Any], kind: str) -> None:
    found = assess(account, kind)
    assert found.state in get_args(ReadinessState)
    assert found.state != "disconnected", "no account object says so"
    assert set(found.waits_for) <= set(get_args(words.Party))
    assert all(each.words for each in found.requirements)
    assert len({each.requirement for each in found.requirements}) == len(found.requirements)
    msgspec.json.encode(found)


RANK = {"ready": 0, "restricted_soon": 1, "restricted": 2, "rejected": 3}


@given(
    wanted=st.dictionaries(st.sampled_from(_LISTS[:4]), st.lists(NAMES.filter(bool))),
    status=st.sampled_from(["active", "pending", "inactive", "unrequested"]),
    charges=st.booleans(),
    reason=st.sampled_from([None, "under_review", "rejected.other"]),
    more=st.sampled_from(["past_due", "currently_due", "reason", "capability", "charges"]),
)
def test_more_trouble_never_makes_an_account_readier(
    wanted: dict[str, list[str]], status: str, charges: bool, reason: str | None, more: str
) -> None:
    account = READY | {
        "requirements": wanted | {"disabled_reason": reason},
        "capabilities": {"card_payments": status, "transfers": "active"},
        "charges_enabled": charges,
    }
    worse = dict(account)
    if more in ("past_due", "currently_due"):
        worse["requirements"] = account["requirements"] | {more: [*wanted.get(more, []), "something.more"]}
    elif more == "reason":
        worse["requirements"] = account["requirements"] | {"disabled_reason": reason or "listed"}
    elif more == "capability":
        worse["capabilities"] = {"card_payments": "inactive", "transfers": "active"}
    else:
        worse["charges_enabled"] = False
    assert RANK[assess(worse, "destination").state] >= RANK[assess(account, "destination").state]
