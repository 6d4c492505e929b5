"""The loop over real HTTP: Stripe's events become the tenant's entitlements, whatever happens to the deliveries."""

import itertools
import json
from typing import Any
from urllib.parse import quote

import pytest
import stripe

from tests.end_to_end.demo import Demo, call, until

pytestmark = pytest.mark.slow

FERN, KILN = 0, 1


def _events_of(demo: Demo, subscription: str) -> list[dict[str, Any]]:
    """The subscription's events, oldest first."""
    listed = demo.stripe("GET", "/v1/events?limit=100")["data"]
    return [event for event in reversed(listed) if event["data"]["object"]["id"] == subscription]


def _deliver(demo: Demo, event: dict[str, Any], *, secret: str | None = None, kind: str = "platform") -> int:
    """Deliver *event* as Stripe does: signed over the exact bytes."""
    endpoint = next(endpoint for endpoint in demo.said["webhook_endpoints"] if endpoint["kind"] == kind)
    body = json.dumps(event)
    header = stripe.WebhookSignature.generate_signature_header(body, secret or endpoint["secret"])
    return call("POST", endpoint["url"], body.encode(), headers={"Stripe-Signature": header}).status


def test_starting_a_subscription_grants_its_plan(demo: Demo) -> None:
    demo.new_customer(FERN, "starts", plan=0, quantity=3)
    granted = until(lambda: demo.entitlements(FERN, "starts"))
    assert granted == {"plant-library": True, "beds": 3, "gardeners": 3}


def test_the_subscription_carries_the_tenants_account(demo: Demo) -> None:
    subscription = demo.new_customer(FERN, "carries")
    found = demo.stripe("GET", f"/v1/subscriptions/{subscription}")
    account = demo.tenant(FERN)["account"]
    assert (found["on_behalf_of"], found["transfer_data"]["destination"]) == (account, account)
    assert found["application_fee_percent"] == 5


def test_cancelling_at_once_takes_the_plan_away(demo: Demo) -> None:
    subscription = demo.new_customer(KILN, "ends", plan=1)
    until(lambda: demo.entitlements(KILN, "ends"))
    demo.stripe("DELETE", f"/v1/subscriptions/{subscription}")
    until(lambda: demo.entitlements(KILN, "ends") == {}, seconds=5)


def test_cancelling_at_period_end_keeps_the_plan_until_then(demo: Demo) -> None:
    subscription = demo.new_customer(FERN, "leaves")
    until(lambda: demo.entitlements(FERN, "leaves"))
    cancelled = demo.stripe("POST", f"/v1/subscriptions/{subscription}", "cancel_at_period_end=true")

    def ends() -> list[int]:
        rows = demo.api("GET", "/customers/leaves/entitlements", tenant=FERN).json["data"]
        return [row["valid_until"] for row in rows if row["valid_until"]]

    found = until(ends, seconds=5)
    assert len(found) == 3
    ends_at = cancelled["items"]["data"][0]["current_period_end"]
    assert {stamp[:16] for stamp in found} == {_iso(ends_at)[:16]}
    demo.stripe("POST", f"/v1/subscriptions/{subscription}", "cancel_at_period_end=false")
    until(lambda: not ends(), seconds=5)


def _iso(timestamp: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(timestamp, UTC).isoformat()


def test_switching_the_plan_changes_the_features_within_two_seconds(demo: Demo) -> None:
    subscription = demo.new_customer(KILN, "switches", plan=0)
    until(lambda: demo.entitlements(KILN, "switches"))
    item = demo.stripe("GET", f"/v1/subscriptions/{subscription}")["items"]["data"][0]["id"]
    price = demo.tenant(KILN)["plans"][1]["price"]
    demo.stripe("POST", f"/v1/subscriptions/{subscription}", f"items[0][id]={item}&items[0][price]={price}")
    wanted = {"night-access": True, "glaze-lab": True, "shelves": 4, "firings": 12}
    until(lambda: demo.entitlements(KILN, "switches") == wanted, seconds=2)


def test_any_order_and_any_duplicates_end_in_the_same_state(demo: Demo) -> None:
    """The same events are delivered again in every order: nothing changes, whichever comes last."""
    subscription = demo.new_customer(FERN, "shuffled")
    for form in ("metadata[step]=1", "cancel_at_period_end=true", "cancel_at_period_end=false"):
        demo.stripe("POST", f"/v1/subscriptions/{subscription}", form)
    item = demo.stripe("GET", f"/v1/subscriptions/{subscription}")["items"]["data"][0]["id"]
    demo.stripe("POST", f"/v1/subscriptions/{subscription}", f"items[0][id]={item}&items[0][quantity]=7")
    wanted = {"plant-library": True, "beds": 3, "gardeners": 7}
    until(lambda: demo.entitlements(FERN, "shuffled") == wanted)
    events = _events_of(demo, subscription)
    assert len(events) >= 4
    for round_, order in enumerate(itertools.islice(itertools.permutations(events[:4]), 0, 24, 5)):
        for event in order:
            # The same event is a duplicate; under another id it is news of the same moment.
            assert _deliver(demo, event) == 200
            assert _deliver(demo, {**event, "id": f"{event['id']}x{round_}"}) == 200
    _settle(demo)
    assert demo.entitlements(FERN, "shuffled") == wanted


def _settle(demo: Demo) -> None:
    """Wait until the inbox has nothing left to do."""
    until(lambda: demo.api("GET", "/v1/events?state=pending").json["data"] == [])


def test_a_late_update_does_not_bring_back_what_was_cancelled(demo: Demo) -> None:
    subscription = demo.new_customer(KILN, "gone")
    until(lambda: demo.entitlements(KILN, "gone"))
    created = _events_of(demo, subscription)[0]
    demo.stripe("DELETE", f"/v1/subscriptions/{subscription}")
    until(lambda: demo.entitlements(KILN, "gone") == {})
    assert _deliver(demo, {**created, "id": "evt_late", "type": "customer.subscription.updated"}) == 200
    _settle(demo)
    assert demo.entitlements(KILN, "gone") == {}


@pytest.mark.parametrize("secret", ["whsec_wrong", "connect"])
def test_a_delivery_with_another_secret_is_refused(demo: Demo, secret: str) -> None:
    secrets = {endpoint["kind"]: endpoint["secret"] for endpoint in demo.said["webhook_endpoints"]}
    event = demo.stripe("GET", "/v1/events?limit=1")["data"][0]
    assert _deliver(demo, {**event, "id": "evt_forged"}, secret=secrets.get(secret, secret)) == 400
    listed = demo.api("GET", "/v1/events?limit=100").json["data"]
    assert "evt_forged" not in {row["id"] for row in listed}


def test_an_event_that_names_two_tenants_changes_neither(demo: Demo) -> None:
    subscription = demo.new_customer(FERN, "claimed")
    until(lambda: demo.entitlements(FERN, "claimed"))
    event = _events_of(demo, subscription)[0]
    event["id"] = "evt_two_tenants"
    event["created"] += 60
    event["data"]["object"] |= {"on_behalf_of": demo.tenant(KILN)["account"], "status": "canceled"}
    assert _deliver(demo, event) == 200
    _settle(demo)
    assert demo.entitlements(FERN, "claimed")
    quarantined = demo.api("GET", "/v1/events?state=quarantined&limit=100").json["data"]
    assert "evt_two_tenants" in {row["id"] for row in quarantined}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/branding"),
        ("GET", "/readiness"),
        ("GET", "/portal-configurations"),
        ("GET", "/features"),
        ("GET", "/plans"),
        ("GET", "/customers"),
        ("GET", "/customers/ada"),
        ("GET", "/customers/ada/entitlements"),
        ("GET", "/customers/ada/entitlements/beds"),
        ("GET", "/customers/ada/subscriptions"),
        ("POST", "/customers/ada/portal-sessions"),
        ("POST", "/customers/ada/portal-tokens"),
        ("GET", "/events"),
    ],
)
def test_another_tenants_key_finds_nothing(demo: Demo, method: str, path: str) -> None:
    body = {} if method == "POST" else None
    answer = demo.api(method, path, body, tenant=FERN, key=demo.tenant(KILN)["key"])
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_a_customer_of_another_tenant_is_unknown(demo: Demo) -> None:
    answer = demo.api("GET", "/customers/ada/entitlements", tenant=KILN)
    assert answer.status == 404
    assert answer.json["param"] == "reference"


def test_the_browser_route_goes_to_the_portal_once_asked(demo: Demo) -> None:
    answer = demo.api("POST", "/customers/ada/portal-tokens", {}, tenant=FERN)
    assert answer.status == 201, answer.content
    form = f"token={quote(answer.json['token'])}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": demo.said["site_url"]}
    opened = call("POST", f"{demo.url}/portal", form, headers=headers)
    assert opened.status == 303
    assert opened.headers["Location"].startswith(f"{demo.sandbox}/p/session/")
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    forged = call("POST", f"{demo.url}/portal", form[:-40] + b"a" * 40, headers=headers)
    assert forged.status in {400, 401}
