"""Stripe's own command line program works against the sandbox as it is."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Receiver, Wire, catalogue, client_for, connected_account, start
from tests.sandbox.official_cli import Cli, program

pytestmark = pytest.mark.slow

FAMILIES = {
    "billing_portal.configuration": "created updated",
    "billing_portal.session": "created",
    "coupon": "created deleted updated",
    "customer": "created deleted updated",
    "customer.source": "created updated",
    "customer.subscription": "created deleted paused trial_will_end updated",
    "invoice": "created deleted finalized marked_uncollectible paid payment_action_required payment_failed "
    "payment_succeeded sent updated voided",
    "invoiceitem": "created deleted",
    "payment_method": "attached detached updated",
    "price": "created updated",
    "product": "created deleted updated",
    "setup_intent": "requires_action",
    "test_helpers.test_clock": "advancing created deleted ready",
}
TRIGGERS = [f"{family}.{verb}" for family, verbs in FAMILIES.items() for verb in verbs.split()]
# What the CLI sends here is taken by older versions only; without a version it is refused, as on Stripe.
OLDER = {
    "customer.discount": "created deleted updated",
    "promotion_code": "created updated",
    "setup_intent": "canceled created setup_failed succeeded",
    "subscription_schedule": "canceled created released updated",
}
OLDER_TRIGGERS = [f"{family}.{verb}" for family, verbs in OLDER.items() for verb in verbs.split()]
# Their steps lead elsewhere: a schedule is canceled by hand, one has nobody to pay for it, one ends too late.
OLDER_CAUSES = {
    "subscription_schedule.aborted": "subscription_schedule.canceled",
    "subscription_schedule.completed": "subscription_schedule.aborted",
    "subscription_schedule.expiring": "test_helpers.test_clock.advancing",
}
# Triggers that are named after no event of Stripe's, with the event that they cause.
ACCOUNT_TRIGGERS = ["account.updated", "account.application.deauthorized"]
CAUSES = {"subscription.payment_failed": "invoice.payment_failed", "subscription.payment_succeeded": "invoice.paid"}


@pytest.fixture
def cli(url: str, key: str, tmp_path: Path) -> Cli:
    return Cli(program(), url, key, tmp_path)


async def events(wire: Wire, type_: str, **headers: str) -> list[Any]:
    return list((await wire.get(f"/v1/events?type={type_}", **headers)).body["data"])


async def awaited(wire: Wire, type_: str) -> Any:
    """The newest event of a type; what is not a call's own doing comes a moment after it."""
    async with asyncio.timeout(10):
        while not (found := await events(wire, type_)):
            await asyncio.sleep(0.1)
    return found[0]


async def last_request(wire: Wire) -> Any:
    async with wire.session.get(f"{wire.url}/_sandbox/requests") as answer:
        return (await answer.json())["data"][-1]


@pytest.mark.parametrize("type_", TRIGGERS)
async def test_a_trigger_causes_its_event(cli: Cli, wire: Wire, type_: str) -> None:
    await wire.send("POST", "/_sandbox/portal_configuration")
    printed = await cli.run("trigger", type_)
    assert "Trigger succeeded!" in printed
    assert (await awaited(wire, type_))["type"] == type_


@pytest.mark.parametrize("type_", OLDER_TRIGGERS)
async def test_a_trigger_of_older_parameters_works_in_a_version_that_has_them(cli: Cli, wire: Wire, type_: str) -> None:
    await cli.run("trigger", type_, "--api-version", "2025-02-24.acacia")
    assert (await awaited(wire, type_))["type"] == type_


@pytest.mark.parametrize(("trigger", "type_"), OLDER_CAUSES.items())
async def test_an_older_trigger_without_an_event_of_its_name(cli: Cli, wire: Wire, trigger: str, type_: str) -> None:
    await cli.run("trigger", trigger, "--api-version", "2025-02-24.acacia")
    assert (await awaited(wire, type_))["type"] == type_


async def test_in_the_pinned_version_the_cli_still_sends_what_that_dropped(cli: Cli) -> None:
    printed = await cli.run("trigger", "customer.discount.created", status=1)
    assert "Received unknown parameter: coupon" in printed


@pytest.mark.parametrize(("trigger", "type_"), CAUSES.items())
async def test_a_trigger_without_an_event_of_its_name(cli: Cli, wire: Wire, trigger: str, type_: str) -> None:
    await cli.run("trigger", trigger)
    assert len(await events(wire, type_)) == 1


@pytest.mark.parametrize("type_", ACCOUNT_TRIGGERS)
async def test_account_triggers_cause_events_of_the_account(cli: Cli, wire: Wire, receivers: Any, type_: str) -> None:
    receiver: Receiver = await receivers()
    await wire.post("/v1/webhook_endpoints", f"url={receiver.url}&enabled_events[]={type_}&connect=true")
    await cli.run("trigger", type_)
    (delivery,) = await receiver.wait_for(1)
    assert delivery.event["type"] == type_
    assert delivery.event["account"].startswith("acct_")


async def test_every_trigger_of_these_families_is_tried(cli: Cli) -> None:
    printed = await cli.run("trigger", "--help")
    known = {line.strip() for line in printed.splitlines() if line.startswith("  ") and "." in line.split()[0]}
    tried = {*TRIGGERS, *CAUSES, *ACCOUNT_TRIGGERS, *OLDER_TRIGGERS, *OLDER_CAUSES}
    families = ("account", "billing_portal", "coupon", "customer.", "invoice", "payment_method.", "price", "product")
    families += ("promotion_code", "setup_intent", "subscription", "test_helpers")
    assert {name for name in known if name.startswith(families)} <= tried


async def test_a_trigger_without_a_default_configuration_says_so(cli: Cli) -> None:
    printed = await cli.run("trigger", "billing_portal.session.created", status=1)
    assert "your test mode default configuration has not been created" in printed


async def test_objects_are_created_read_changed_listed_and_deleted(cli: Cli) -> None:
    made = await cli.call("customers", "create", "--name", "Ann", "-d", "metadata[a]=b")
    assert (made["name"], made["metadata"]) == ("Ann", {"a": "b"})
    changed = await cli.call("customers", "update", made["id"], "--email", "ann@example.com")
    assert changed == await cli.call("customers", "retrieve", made["id"])
    await cli.run("customers", "create", "--name", "Bob")
    listed = await cli.call("customers", "list", "--limit", "1")
    assert ([row["name"] for row in listed["data"]], listed["has_more"]) == (["Bob"], True)
    gone = await cli.call("customers", "delete", made["id"], "--confirm")
    assert gone == {"id": made["id"], "object": "customer", "deleted": True}


async def test_any_path_is_called_by_its_method(cli: Cli) -> None:
    customer = await cli.call(
        "post",
        "/v1/customers",
        "-d",
        "payment_method=pm_card_visa",
        "-d",
        "invoice_settings[default_payment_method]=pm_card_visa",
    )
    product = await cli.call("post", "/v1/products", "-d", "name=Gold")
    price = await cli.call(
        "post",
        "/v1/prices",
        *("-d", f"product={product['id']}", "-d", "currency=usd", "-d", "unit_amount=1000"),
        *("-d", "recurring[interval]=month"),
    )
    made = await cli.call(
        "post", "/v1/subscriptions", "-d", f"customer={customer['id']}", "-d", f"items[0][price]={price['id']}"
    )
    read = await cli.call("get", f"/v1/subscriptions/{made['id']}", "-e", "customer", "-e", "items.data.price.product")
    assert (read["status"], read["customer"]["id"]) == ("active", customer["id"])
    assert read["items"]["data"][0]["price"]["product"]["name"] == "Gold"
    ended = await cli.call("delete", f"/v1/subscriptions/{made['id']}", "--confirm")
    assert ended["status"] == "canceled"


async def test_a_portal_session_for_a_connected_account(cli: Cli, sdk: Any) -> None:
    account = await connected_account(sdk)
    customer = await cli.call("customers", "create", "--name", "Ann")
    configuration = await cli.call(
        "billing_portal", "configurations", "create", "-d", "features[invoice_history][enabled]=true"
    )
    session = await cli.call(
        *("billing_portal", "sessions", "create", "--customer", customer["id"], "--on-behalf-of", account),
        *("--return-url", "https://example.com/back", "--configuration", configuration["id"]),
    )
    assert (session["on_behalf_of"], session["return_url"]) == (account, "https://example.com/back")


async def test_headers_follow_the_flags(cli: Cli, sdk: Any, wire: Wire) -> None:
    account = await connected_account(sdk)
    arguments = ("customers", "create", "--name", "Ann", "--stripe-account", account, "-i", "key-1")
    made = await cli.call(*arguments)
    row = await last_request(wire)
    assert (row["account"], row["idempotency_key"]) == (account, "key-1")
    assert await cli.call(*arguments) == made
    assert (await last_request(wire))["replayed"] is True
    other = await cli.call("customers", "retrieve", made["id"])
    assert other["error"]["code"] == "resource_missing"


async def test_a_resource_command_prints_an_error_and_succeeds(cli: Cli) -> None:
    printed = await cli.call("customers", "retrieve", "cus_none")
    assert (printed["error"]["code"], printed["error"]["param"]) == ("resource_missing", "id")


async def test_fixtures_fill_names_in_and_send_headers(cli: Cli, sdk: Any, wire: Wire, tmp_path: Path) -> None:
    account = await connected_account(sdk)
    steps = [
        {"name": "ann", "path": "/v1/customers", "method": "post", "params": {"name": "Ann"}},
        {"name": "card", "path": "/v1/payment_methods/pm_card_visa/attach", "method": "post"},
        {"name": "bob", "path": "/v1/customers", "method": "post", "params": {"name": "${ann:name}"}},
        {"name": "none", "path": "/v1/customers/cus_none", "method": "get"},
    ]
    steps[1]["params"] = {"customer": "${ann:id}"}
    steps[2]["headers"] = {"Stripe-Account": account}
    steps[3]["expected_error_type"] = "invalid_request_error"
    file = tmp_path / "fixtures.json"
    file.write_text(json.dumps({"_meta": {"template_version": 0}, "fixtures": steps}))
    await cli.run("fixtures", str(file))
    (attached,) = await events(wire, "payment_method.attached")
    (ann,) = (await wire.get("/v1/customers")).body["data"]
    assert attached["data"]["object"]["customer"] == ann["id"]
    (bob,) = (await wire.get("/v1/customers", Stripe_Account=account)).body["data"]
    assert bob["name"] == "Ann"


async def test_an_event_is_sent_again_to_an_endpoint(cli: Cli, wire: Wire, sdk: Any, receivers: Any) -> None:
    receiver: Receiver = await receivers()
    made = (await wire.post("/v1/webhook_endpoints", f"url={receiver.url}&enabled_events[]=customer.created")).body
    account = await connected_account(sdk)
    await sdk.customers.create_async({"name": "theirs"}, {"stripe_account": account})
    await cli.run("customers", "create", "--name", "ours")
    (first,) = await receiver.wait_for(1)
    again = await cli.call("events", "resend", first.event["id"], "--webhook-endpoint", made["id"])
    assert again["id"] == first.event["id"]
    (theirs,) = await events(wire, "customer.created", Stripe_Account=account)
    arguments = ("events", "resend", theirs["id"], "--account", account, "--webhook-endpoint", made["id"])
    await cli.run(*arguments)
    _, second, third = await receiver.wait_for(3)
    assert [second.event["id"], third.event["id"]] == [first.event["id"], theirs["id"]]


async def test_listen_forwards_signed_events(cli: Cli, wire: Wire, sdk: Any, receivers: Any) -> None:
    own, connect = await receivers(), await receivers()
    secret = (await cli.run("listen", "--print-secret")).split()[-1]
    arguments = ("--all-snapshot", "--forward-to", own.url, "--forward-connect-to", connect.url)
    async with cli.listen(*arguments) as listening:
        assert listening.secret == secret
        account = await connected_account(sdk)
        await sdk.customers.create_async({"name": "theirs"}, {"stripe_account": account})
        made = await sdk.customers.create_async({"name": "ours"})
        (ours,) = await own.wait_for(1)
        await connect.wait_for(2)
        assert ours.event["data"]["object"]["id"] == made.id
        stripe.Webhook.construct_event(ours.body, ours.headers["Stripe-Signature"], secret)
        theirs = next(each for each in connect.received if each.event["type"] == "customer.created")
        stripe.Webhook.construct_event(theirs.body, theirs.headers["Stripe-Signature"], secret)
        assert theirs.event["account"] == account
        await cli.run("events", "resend", ours.event["id"])
        assert (await own.wait_for(2))[1].event == ours.event
    rows = await attempts(wire, own.url)
    assert [row["status"] for row in rows] == [200, 200]


async def attempts(wire: Wire, target: str) -> list[Any]:
    async with wire.session.get(f"{wire.url}/_sandbox/attempts", params={"url": target}) as answer:
        return list((await answer.json())["data"])


async def test_listen_takes_the_events_it_names(cli: Cli, sdk: Any, receivers: Any) -> None:
    receiver: Receiver = await receivers()
    async with cli.listen("--events", "product.created", "--forward-to", receiver.url):
        await sdk.customers.create_async({"name": "Ann"})
        await catalogue(sdk)
        await receiver.wait_for(1)
    assert receiver.types() == ["product.created"]


async def test_listen_forwards_thin_events(cli: Cli, sdk: Any, receivers: Any, transport: stripe.AIOHTTPClient) -> None:
    receiver: Receiver = await receivers()
    async with cli.listen("--all-thin", "--forward-to", receiver.url) as listening:
        made = await sdk.customers.create_async({"name": "Ann"})
        (delivery,) = await receiver.wait_for(1)
    client = client_for(cli.url, cli.key, transport)
    notification = client.parse_event_notification(
        delivery.body, delivery.headers["Stripe-Signature"], listening.secret
    )
    assert (notification.type, notification.related_object.id) == ("v1.customer.created", made.id)


async def test_listen_outlives_the_sandbox(cli: Cli, receivers: Any, tmp_path: Path, wire: Wire) -> None:
    """A session is lost with its process; the CLI then asks for another by itself."""
    receiver: Receiver = await receivers()
    first = start("--data", str(tmp_path / "sandbox.sqlite"))
    port = first.url.rpartition(":")[2]
    cli.url = wire.url = first.url
    second = None
    try:
        async with cli.listen("--all-snapshot", "--forward-to", receiver.url):
            first.stop()
            second = start("--data", str(tmp_path / "sandbox.sqlite"), "--port", port)
            for _ in range(100):
                await wire.post("/v1/customers", "name=Ann")
                if receiver.received:
                    break
                await asyncio.sleep(0.3)
            assert receiver.types()[0] == "customer.created"
    finally:
        for process in (first, second):
            if process is not None:
                process.stop()
