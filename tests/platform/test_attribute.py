"""The ladder: each rung in both custody modes, disagreements, and that no event goes where no rung points."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.webhooks import clues as reading
from colonnade.webhooks.attribute import (
    Attribution,
    Former,
    Known,
    Nobodys,
    Quarantine,
    Removed,
    Waiting,
    decide,
    evidence,
)
from colonnade.webhooks.clues import clues
from colonnade.webhooks.delivery import read
from colonnade.webhooks.inbox import Claimed

ANNA, BERT = 1, 2
KNOWN = Known(
    account={"acct_anna": ANNA, "acct_bert": BERT},
    object={
        f"{kind}_{name}": tenant for kind in ("cus", "sub", "bpc") for name, tenant in (("anna", ANNA), ("bert", BERT))
    },
    tenant={"ten_anna": ANNA, "ten_bert": BERT},
    plan={"prod_anna": {ANNA}, "price_anna": {ANNA}, "prod_both": {ANNA, BERT}},
    names={ANNA: "ten_anna", BERT: "ten_bert"},
)

Outcome = Attribution | Waiting | Nobodys | Former | Removed | Quarantine


def attribute(
    thing: dict[str, Any], account: str | None = None, *, previous: dict[str, Any] | None = None, known: Known = KNOWN
) -> Outcome:
    """Of an event at the endpoint where such an event belongs."""
    return decide("connect" if account else "platform", account, clues(account, thing, previous), known)


BY_BERT = Attribution(BERT, "account")
DETACHED = {"customer": "cus_anna"}
ON_PLATFORM: list[tuple[str, str, dict[str, Any]]] = [
    ("subscription", "on_behalf_of", {"id": "sub_new", "object": "subscription", "on_behalf_of": "acct_anna"}),
    ("expanded account", "on_behalf_of", {"id": "sub_new", "on_behalf_of": {"id": "acct_anna", "object": "account"}}),
    ("invoice", "on_behalf_of", {"id": "in_1", "on_behalf_of": "acct_anna", "customer": "cus_new"}),
    ("setup intent", "on_behalf_of", {"id": "seti_1", "on_behalf_of": "acct_anna"}),
    ("payment intent", "on_behalf_of", {"id": "pi_1", "on_behalf_of": "acct_anna", "customer": "cus_new"}),
    ("portal session", "on_behalf_of", {"id": "bps_1", "on_behalf_of": "acct_anna", "configuration": "bpc_new"}),
    ("schedule", "on_behalf_of", {"id": "sub_sched_1", "default_settings": {"on_behalf_of": "acct_anna"}}),
    (
        "schedule by a phase",
        "on_behalf_of",
        {"id": "sub_sched_1", "phases": [{"on_behalf_of": None}, {"on_behalf_of": "acct_anna"}]},
    ),
    ("transfer", "transfer_data.destination", {"id": "sub_new", "transfer_data": {"destination": "acct_anna"}}),
    (
        "schedule's transfer",
        "transfer_data.destination",
        {"id": "sub_sched_1", "default_settings": {"transfer_data": {"destination": {"id": "acct_anna"}}}},
    ),
    (
        "transfer of a schedule's phase",
        "transfer_data.destination",
        {"id": "sub_sched_1", "phases": [{"transfer_data": {"destination": "acct_anna"}}]},
    ),
    ("known subscription", "subscription", {"id": "sub_anna", "object": "subscription", "on_behalf_of": None}),
    ("subscription by its id alone", "subscription", {"id": "sub_anna", "transfer_data": None}),
    ("schedule of a subscription", "subscription", {"id": "sub_sched_1", "subscription": "sub_anna"}),
    (
        "invoice by its parent",
        "subscription",
        {"id": "in_1", "parent": {"subscription_details": {"subscription": "sub_anna"}}},
    ),
    ("portal configuration", "configuration", {"id": "bpc_anna", "object": "billing_portal.configuration"}),
    ("session of a configuration", "configuration", {"id": "bps_1", "configuration": {"id": "bpc_anna"}}),
    ("customer", "customer", {"id": "cus_anna", "object": "customer"}),
    ("payment method", "customer", {"id": "pm_1", "object": "payment_method", "customer": "cus_anna"}),
    ("tax id", "customer", {"id": "txi_1", "object": "tax_id", "customer": {"id": "cus_anna"}}),
    ("schedule of a customer", "customer", {"id": "sub_sched_1", "customer": "cus_anna", "phases": []}),
    ("portal session of a customer", "customer", {"id": "bps_1", "customer": "cus_anna", "configuration": "bpc_new"}),
    ("entitlements", "customer", {"object": "entitlements.active_entitlement_summary", "customer": "cus_anna"}),
    ("promotion code for one", "customer", {"id": "promo_1", "object": "promotion_code", "customer": "cus_anna"}),
    ("new customer", "metadata", {"id": "cus_new", "metadata": {"colonnade_tenant": "ten_anna"}}),
    ("configuration", "metadata", {"id": "bpc_new", "metadata": {"colonnade_tenant": "ten_anna"}}),
    (
        "metadata of the invoice's subscription",
        "metadata",
        {"id": "in_1", "parent": {"subscription_details": {"metadata": {"colonnade_tenant": "ten_anna"}}}},
    ),
    ("product", "catalogue", {"id": "prod_anna", "object": "product", "metadata": {}}),
    ("price of a product", "catalogue", {"id": "price_new", "object": "price", "product": "prod_anna"}),
    ("price", "catalogue", {"id": "price_anna", "object": "price", "product": "prod_new"}),
]
IDS = [case[0] for case in ON_PLATFORM]


@pytest.mark.parametrize(("rung", "thing"), [case[1:] for case in ON_PLATFORM], ids=IDS)
def test_on_the_platform_the_object_names_the_tenant(rung: str, thing: dict[str, Any]) -> None:
    assert attribute(thing) == Attribution(ANNA, rung)


@pytest.mark.parametrize("thing", [case[2] for case in ON_PLATFORM], ids=IDS)
def test_on_a_connected_account_the_account_names_the_tenant(thing: dict[str, Any]) -> None:
    assert attribute(thing, "acct_anna") == Attribution(ANNA, "account")


@pytest.mark.parametrize("metadata", [{}, [], 7, {"colonnade_tenant": [1]}, {"colonnade_tenant": None}], ids=repr)
@pytest.mark.parametrize("thing", [case[2] for case in ON_PLATFORM], ids=IDS)
def test_of_a_stored_event_all_is_read_that_could_name_a_tenant(thing: dict[str, Any], metadata: Any) -> None:
    thing = {"metadata": metadata, "items": {"data": []}} | thing
    body = msgspec.json.encode({"data": {"object": thing}})
    now = datetime.now(UTC)
    row = Claimed(1, "evt_1", "platform", None, "x", "x", created=now, body=body, attempts=0, lane="-", received_at=now)
    assert read(row).clues == clues(None, thing)


CLAIMS = [case for case in ON_PLATFORM if case[1] in {"on_behalf_of", "transfer_data.destination", "metadata"}]


@pytest.mark.parametrize("thing", [case[2] for case in CLAIMS], ids=[case[0] for case in CLAIMS])
def test_what_claims_another_tenant_than_the_account_is_quarantined(thing: dict[str, Any]) -> None:
    assert isinstance(attribute(thing, "acct_bert"), Quarantine)


OTHERS = [case for case in ON_PLATFORM if case not in CLAIMS]


@pytest.mark.parametrize("thing", [case[2] for case in OTHERS], ids=[case[0] for case in OTHERS])
def test_an_id_on_a_connected_account_is_no_object_elsewhere(thing: dict[str, Any]) -> None:
    assert attribute(thing, "acct_bert") == BY_BERT
    named = {clue.key for clue in clues("acct_bert", thing) if clue.kind == "object"}
    assert all(key.startswith("acct_bert/") for key in named)


def test_a_product_whose_id_begins_like_a_customers_is_a_product() -> None:
    thing = {"id": "cus_anna", "object": "product"}
    assert isinstance(attribute(thing), Nobodys)
    assert [clue.rung for clue in clues("acct_bert", thing)] == ["account"]


@pytest.mark.parametrize(
    "thing",
    [
        {"id": "prod_both", "object": "product"},
        {"id": "price_new", "object": "price", "product": "prod_both"},
        {"id": "prod_new", "object": "product"},
        {"id": "SUMMER", "object": "coupon"},
        {"id": "promo_1", "object": "promotion_code", "customer": None},
    ],
    ids=lambda thing: f"{thing['object']} {thing['id']}",
)
def test_what_no_tenants_plans_alone_sell_is_nobodys(thing: dict[str, Any]) -> None:
    assert isinstance(attribute(thing), Nobodys)


def of_rung(rung: str) -> set[str]:
    return {name for name, named_by, _ in ON_PLATFORM if named_by == rung}


def attributed() -> set[str]:
    """The cases that the ladder as it stands gets right, in either custody."""
    cases = [(name, Attribution(ANNA, rung), thing, None) for name, rung, thing in ON_PLATFORM]
    cases += [
        (f"{name} on account", Attribution(ANNA, "account"), thing, "acct_anna") for name, _, thing in ON_PLATFORM
    ]
    return {name for name, expected, thing, account in cases if attribute(thing, account) == expected}


BROKEN = {
    "on_behalf_of": of_rung("on_behalf_of"),
    "transfer_data.destination": of_rung("transfer_data.destination"),
    "subscription": of_rung("subscription"),
    "configuration": of_rung("configuration"),
    "customer": of_rung("customer"),
    "metadata": of_rung("metadata"),
    "catalogue": of_rung("catalogue"),
    "account": {f"{name} on account" for name in IDS},
}


@pytest.mark.parametrize("rung", BROKEN)
def test_without_a_rung_exactly_its_cases_fail(rung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = attributed()
    assert whole == {*IDS, *(f"{name} on account" for name in IDS)}
    real = reading.clues

    def without(*given: Any, **named: Any) -> list[reading.Clue]:
        return [clue for clue in real(*given, **named) if clue.rung != rung]

    monkeypatch.setitem(globals(), "clues", without)
    assert whole - attributed() == BROKEN[rung]


READ_BY = {
    "on_behalf_of": {"subscription", "expanded account", "invoice", "setup intent", "payment intent", "portal session"},
    "default_settings.on_behalf_of": {"schedule"},
    "phases[].on_behalf_of": {"schedule by a phase"},
    "transfer_data.destination": {"transfer"},
    "default_settings.transfer_data.destination": {"schedule's transfer"},
    "phases[].transfer_data.destination": {"transfer of a schedule's phase"},
    "subscription": {"schedule of a subscription"},
    "parent.subscription_details.subscription": {"invoice by its parent"},
    "configuration": {"session of a configuration"},
    "customer": {
        *("payment method", "tax id", "schedule of a customer", "portal session of a customer"),
        *("entitlements", "promotion code for one"),
    },
    "metadata.colonnade_tenant": {"new customer", "configuration"},
    "parent.subscription_details.metadata.colonnade_tenant": {"metadata of the invoice's subscription"},
}


@pytest.mark.parametrize("path", [path for _, _, paths in reading._PATHS for path in paths])
def test_without_a_path_exactly_its_cases_fail(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = attributed()
    left = tuple(each for each in reading._STEPS if each[2] != reading._steps(path))
    monkeypatch.setattr(reading, "_STEPS", left)
    assert whole - attributed() == READ_BY[path]


def test_the_evidence_says_what_named_whom() -> None:
    thing = {"id": "sub_new", "on_behalf_of": "acct_anna", "customer": "cus_bert", "metadata": {}}
    found = clues(None, thing)
    assert isinstance(decide("platform", None, found, KNOWN), Quarantine)
    assert evidence(found, KNOWN) == [
        {"rung": "on_behalf_of", "key": "acct_anna", "tenant": "ten_anna"},
        {"rung": "subscription", "key": "sub_new", "tenant": None},
        {"rung": "customer", "key": "cus_bert", "tenant": "ten_bert"},
    ]


@pytest.mark.parametrize(
    ("event", "thing"),
    [
        ("account.updated", {"id": "acct_anna", "object": "account"}),
        ("account.application.deauthorized", {"id": "ca_1", "object": "application"}),
        ("capability.updated", {"id": "card_payments", "object": "capability", "account": "acct_anna"}),
        ("payout.paid", {"id": "po_1", "object": "payout"}),
    ],
)
def test_events_about_the_account_go_by_it(event: str, thing: dict[str, Any]) -> None:
    assert attribute(thing, "acct_anna") == Attribution(ANNA, "account")


@pytest.mark.parametrize(
    "thing",
    [
        {"id": "acct_bert", "object": "account"},
        {"id": "card_payments", "object": "capability", "account": "acct_bert"},
        {"id": "person_1", "object": "person", "account": "acct_bert"},
    ],
    ids=lambda thing: thing["object"],
)
def test_a_part_of_another_account_is_quarantined(thing: dict[str, Any]) -> None:
    assert isinstance(attribute(thing, "acct_anna"), Quarantine)


def test_a_detached_payment_method_goes_by_its_previous_customer() -> None:
    thing = {"id": "pm_1", "object": "payment_method", "customer": None}
    assert attribute(thing, previous=DETACHED) == Attribution(ANNA, "customer")
    assert isinstance(attribute(thing), Waiting)
    assert attribute(thing, "acct_anna", previous=DETACHED) == Attribution(ANNA, "account")


def test_a_thin_event_goes_by_its_related_object() -> None:
    assert decide("platform", None, clues(None, {}, related="sub_anna"), KNOWN) == Attribution(ANNA, "subscription")
    assert decide("connect", "acct_bert", clues("acct_bert", {}, related="sub_anna"), KNOWN) == BY_BERT


WORDS = ("on_behalf_of", "transfer_data.destination", "subscription", "configuration", "customer", "metadata")


def claim(rung: str, who: str) -> dict[str, Any]:
    """An object on which *rung* alone names *who*."""
    found: dict[str, Any] = {
        "on_behalf_of": {"on_behalf_of": f"acct_{who}"},
        "transfer_data.destination": {"transfer_data": {"destination": f"acct_{who}"}},
        "subscription": {"subscription": f"sub_{who}"},
        "configuration": {"configuration": f"bpc_{who}"},
        "customer": {"customer": f"cus_{who}"},
        "metadata": {"metadata": {"colonnade_tenant": f"ten_{who}"}},
    }[rung]
    return found


PAIRS = [(first, second) for first in WORDS for second in WORDS if WORDS.index(first) < WORDS.index(second)]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_any_two_rungs_that_disagree_quarantine_and_the_stronger_of_two_that_agree_is_named(
    first: str, second: str
) -> None:
    assert attribute({**claim(first, "anna"), **claim(second, "anna")}) == Attribution(ANNA, first)
    outcome = attribute({**claim(first, "anna"), **claim(second, "bert")})
    assert isinstance(outcome, Quarantine)
    assert first in outcome.reason
    assert second in outcome.reason


@pytest.mark.parametrize("rung", WORDS)
def test_an_event_at_the_wrong_endpoint_is_quarantined_whatever_it_claims(rung: str) -> None:
    thing = claim(rung, "anna")
    at_platform = decide("platform", "acct_anna", clues("acct_anna", thing), KNOWN)
    at_connect = decide("connect", None, clues(None, thing), KNOWN)
    assert isinstance(at_platform, Quarantine)
    assert isinstance(at_connect, Quarantine)


@pytest.mark.parametrize("rung", WORDS)
def test_an_unknown_account_is_quarantined_even_if_a_weaker_rung_names_a_tenant(rung: str) -> None:
    assert isinstance(attribute(claim(rung, "anna"), "acct_stranger"), Quarantine)
    assert isinstance(attribute({**claim(rung, "anna"), "on_behalf_of": "acct_stranger"}), Quarantine)


def test_an_unknown_account_waits_while_a_tenant_is_being_created() -> None:
    creating = Known(KNOWN.account, KNOWN.object, KNOWN.tenant, creating=True)
    assert isinstance(attribute({"id": "acct_new"}, "acct_new", known=creating), Waiting)
    assert isinstance(attribute({"id": "acct_new"}, "acct_new"), Quarantine)


NOTHING: list[dict[str, Any]] = [
    {},
    {"id": "cus_new", "metadata": {}},
    {"id": "cus_new", "metadata": {"colonnade_tenant": "ten_stranger"}},
    {"id": None, "customer": None, "on_behalf_of": None, "parent": None, "metadata": None},
    {"id": 5, "customer": ["cus_anna"], "on_behalf_of": 7, "transfer_data": "acct_anna", "metadata": "ten_anna"},
    {"id": "", "customer": "", "on_behalf_of": {"id": None}},
    {"description": "cus_anna", "email": "anna@example.com"},
]


@pytest.mark.parametrize("thing", NOTHING, ids=str)
def test_an_event_that_names_nothing_known_waits(thing: dict[str, Any]) -> None:
    assert isinstance(attribute(thing), Waiting)


_names = st.sampled_from(["anna", "bert", "stranger"])
_things = st.fixed_dictionaries(
    {},
    optional={
        "id": st.builds("{}_{}".format, st.sampled_from(["acct", "sub", "cus", "bpc", "in"]), _names),
        "on_behalf_of": st.none() | st.builds("acct_{}".format, _names),
        "transfer_data": st.none() | st.fixed_dictionaries({"destination": st.builds("acct_{}".format, _names)}),
        "subscription": st.builds("sub_{}".format, _names),
        "configuration": st.builds("bpc_{}".format, _names),
        "customer": st.builds("cus_{}".format, _names) | st.builds(lambda name: {"id": f"cus_{name}"}, _names),
        "metadata": st.fixed_dictionaries({"colonnade_tenant": st.builds("ten_{}".format, _names)}),
        "note": _names,
    },
)


@given(
    endpoint=st.sampled_from(["platform", "connect"]),
    account=st.none() | st.builds("acct_{}".format, _names),
    thing=_things,
    previous=st.none() | st.fixed_dictionaries({"customer": st.builds("cus_{}".format, _names)}),
    creating=st.booleans(),
)
def test_no_event_goes_to_a_tenant_that_none_or_not_all_of_its_rungs_name(
    endpoint: str, account: str | None, thing: dict[str, Any], previous: dict[str, Any] | None, creating: bool
) -> None:
    known = Known(KNOWN.account, KNOWN.object, KNOWN.tenant, creating)
    outcome = decide(endpoint, account, clues(account, thing, previous), known)
    # On a connected account the ids of other objects are that account's own.
    everywhere = "acct|ten" if account else "acct|sub|cus|bpc|ten"
    said = set(re.findall(f"(?:{everywhere})_(anna|bert)", repr((account, thing, previous))))
    if isinstance(outcome, Attribution):
        assert said == {{ANNA: "anna", BERT: "bert"}[outcome.tenant_id]}
        assert (endpoint == "connect") == (account is not None)
    if not said:
        assert not isinstance(outcome, Attribution)
