"""Every route that is named in the log is used once, and leaves one line of that name with its request."""

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from colonnade.access.actions import ACTIONS
from tests.conftest import ScratchDatabase
from tests.platform.api import Api, Sandbox, TenantApi, running_api
from tests.platform.portals import edit
from tests.platform.route_bodies import BODIES, SETTINGS
from tests.platform.test_api_branding_images import send
from tests.platform.test_branding_images import picture

CONFIGURATION = {**SETTINGS, "default_return_url": "https://shop.example/account"}
ENDPOINT = {"url": "http://127.0.0.1:9/hook"}
T = "/v1/tenants/{tenant}"
PORTAL = f"{T}/portal-configurations/main"


class Step(NamedTuple):
    """A request. *path* and *body* take what earlier ones found; *finds*: keep the answer's id under this name."""

    route: str
    method: str
    path: str
    body: Any = None
    finds: str | None = None


STEPS = [
    Step("create_tenant", "POST", "/v1/tenants", {"name": "Fern", "country": "DE"}, "own"),
    Step("change_tenant", "PATCH", T, {"name": "Fern & Co"}),
    Step("create_onboarding_link", "POST", f"{T}/onboarding-links", BODIES["create_onboarding_link"]),
    Step("create_key", "POST", f"{T}/keys", {"name": "backend"}, "key"),
    Step("rotate_key", "POST", f"{T}/keys/{{key}}/rotate", {}),
    Step("revoke_key", "DELETE", f"{T}/keys/{{key}}"),
    Step("create_platform_key", "POST", "/v1/keys", {"name": "team", "role": "read"}, "team"),
    Step("rotate_platform_key", "POST", "/v1/keys/{team}/rotate", {}),
    Step("revoke_platform_key", "DELETE", "/v1/keys/{team}"),
    Step("put_branding", "PUT", f"{T}/branding", {"name": "Fern"}),
    Step("push_branding", "POST", f"{T}/branding/push"),
    Step("put_portal_policy", "PUT", f"{T}/portal-policy", {"drift": "report"}),
    Step("put_portal_configuration", "PUT", PORTAL, CONFIGURATION),
    Step("put_portal_rules", "PUT", f"{T}/portal-rules", {"rules": []}),
    Step("apply_portal_configuration", "POST", f"{PORTAL}/apply"),
    Step("roll_back_portal_configuration", "POST", f"{PORTAL}/rollback", {"version": 1}),
    Step("check_portal_configuration", "POST", f"{PORTAL}/check"),
    Step("put_feature", "PUT", f"{T}/features/export", {"kind": "flag", "name": "Export"}),
    Step("put_plan", "PUT", f"{T}/plans/pro", {"name": "Pro", "price": "{price}", "grants": []}),
    Step("put_policy", "PUT", f"{T}/policy", {}),
    Step("put_customer", "PUT", f"{T}/customers/ada", {"email": "ada@example.com"}),
    Step(
        "create_subscription",
        "POST",
        f"{T}/customers/ada/subscriptions",
        {"price": "{price}", "payment_method": "pm_card_visa"},
    ),
    Step(
        "create_checkout_session",
        "POST",
        f"{T}/customers/ada/checkout-sessions",
        {"items": [{"price": "{price}"}], "success_url": "https://shop.example/account"},
    ),
    Step("create_override", "POST", f"{T}/customers/ada/overrides", BODIES["create_override"], "override"),
    Step("revoke_override", "DELETE", f"{T}/customers/ada/overrides/{{override}}"),
    Step("delete_plan", "DELETE", f"{T}/plans/pro"),
    Step("delete_feature", "DELETE", f"{T}/features/export"),
    Step("rotate_signing_key", "POST", f"{T}/signing-keys", {}),
    Step("take_over_features", "POST", f"{T}/stripe-features", {"dry_run": False}),
    Step("create_import", "POST", f"{T}/imports", {}),
    Step("create_endpoint", "POST", f"{T}/notification-endpoints", ENDPOINT, "endpoint"),
    Step("change_endpoint", "PATCH", f"{T}/notification-endpoints/{{endpoint}}", {"description": "Mine"}),
    Step("roll_secret", "POST", f"{T}/notification-endpoints/{{endpoint}}/secret", {}),
    Step("ping_endpoint", "POST", f"{T}/notification-endpoints/{{endpoint}}/ping"),
    Step("replay_notifications", "POST", f"{T}/notification-endpoints/{{endpoint}}/replay", {"failed": True}),
    Step("delete_endpoint", "DELETE", f"{T}/notification-endpoints/{{endpoint}}"),
    Step("suspend_tenant", "POST", f"{T}/suspend", BODIES["suspend_tenant"]),
    Step("resume_tenant", "POST", f"{T}/resume", BODIES["resume_tenant"]),
    Step("put_closed_checks", "PUT", f"{T}/closed-checks", BODIES["put_closed_checks"]),
    Step("archive_tenant", "POST", f"{T}/archive", BODIES["archive_tenant"]),
    Step("restore_tenant", "POST", f"{T}/restore", BODIES["restore_tenant"]),
    Step("replay_events", "POST", "/v1/events/replay", {"type": "customer.updated"}),
    Step("replay_event", "POST", "/v1/events/evt_done/replay"),
    Step("release_event", "POST", "/v1/events/evt_quarantined/release"),
    Step("ignore_event", "POST", "/v1/events/evt_dead/ignore"),
    Step("replay_calls", "POST", "/v1/extension-calls/replay", {"extension": "mail"}),
]
ELSEWHERE = {
    "put_branding_image": "takes a picture: below",
    "delete_branding_image": "needs a picture: below",
    "adopt_portal_configuration": "needs an edit at Stripe: below",
    "revert_portal_configuration": "needs an edit at Stripe: below",
    "deactivate_portal_configuration": "needs a second configuration: below",
    "create_account_session": "needs an account that has onboarding left: test_onboarding",
    "create_login_link": "needs an account that is onboarded: test_onboarding",
    "create_account_connection": "needs a client of OAuth: test_account_connections",
    "reconnect_tenant": "needs a disconnection: test_lifecycle",
    "delete_tenant": "needs a look first: test_export_and_removal",
    "delete_customer": "needs a look first: test_export_and_removal",
    "replay_call": "as `replay_calls`, and needs a call that failed",
}
EVENTS = """
insert into inbox (event_id, endpoint, type, object_id, created, livemode, body, state, reason, done_at)
select 'evt_' || s, 'platform', 'customer.updated', 'cus_1', now(), false, '{}', s, 'a test', now()
from unnest(array['done', 'quarantined', 'dead']) s
"""


@pytest.fixture
async def api(shared_database: ScratchDatabase, sandbox: Sandbox) -> AsyncIterator[Api]:
    async with running_api(shared_database, sandbox, notification_loopback=True) as running:
        yield running


def filled(value: Any, found: dict[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda match: found[match[1]], value)
    if isinstance(value, dict):
        return {name: filled(each, found) for name, each in value.items()}
    return [filled(each, found) for each in value] if isinstance(value, list) else value


async def logged(api: Api, route: str, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
    """The answer of a request that has to succeed and to leave one line of the route's name."""
    reply = await api.call(method, path, body, **more)
    assert reply.is_success, (route, reply.text)
    request = reply.headers["request-id"]
    lines = (await api.call("GET", f"/v1/audit?request_id={request}")).json()["data"]
    assert [line["action"] for line in lines] == [ACTIONS[route]], (route, lines)
    thing = path.removeprefix("/v1/").removesuffix("/rotate")
    assert lines[0]["target"].startswith(thing) or route == "create_tenant", (route, lines)
    found: dict[str, Any] = reply.json() if reply.content else {}
    return found


def test_no_route_is_left_out() -> None:
    assert [step.route for step in STEPS] == list(dict.fromkeys(step.route for step in STEPS))
    assert {step.route for step in STEPS} | ELSEWHERE.keys() == ACTIONS.keys()


async def test_each_leaves_one_line_of_its_name_and_no_secret(api: Api, fern: TenantApi) -> None:
    found = {"tenant": fern.id, "price": (await api.sandbox.price(fern.holder))["id"]}
    secrets = [api.key, fern.key]
    for step in STEPS:
        if step.route == "replay_event":
            await api.sql(EVENTS)
        answer = await logged(api, step.route, step.method, filled(step.path, found), filled(step.body, found))
        if step.finds:
            found[step.finds] = answer["id"]
        shown = (str(answer.get(name, "")) for name in ("key", "secret", "url"))
        secrets += [text for text in shown if len(text) > 30]
    log = str([dict(row) for row in await api.sql("select * from audit_log")])
    assert len(secrets) >= 8
    assert [secret for secret in secrets if secret in log] == []


async def test_what_needs_more_leaves_its_line_too(api: Api, fern: TenantApi) -> None:
    path = f"/v1/tenants/{fern.id}/portal-configurations/main"
    made = await logged(api, "put_portal_configuration", "PUT", path, CONFIGURATION)
    for route, verb in (("adopt_portal_configuration", "adopt"), ("revert_portal_configuration", "revert")):
        await edit(fern, made, business_profile__headline=verb)
        await logged(api, "check_portal_configuration", "POST", f"{path}/check")
        await logged(api, route, "POST", f"{path}/{verb}")
    await logged(api, "put_portal_configuration", "PUT", path[:-4] + "second", {**CONFIGURATION, "default": True})
    await logged(api, "deactivate_portal_configuration", "POST", f"{path}/deactivate")


async def test_pictures_leave_their_lines_too(api: Api, fern: TenantApi) -> None:
    path = f"/v1/tenants/{fern.id}/branding/images/icon"
    assert (await send(fern, "icon", picture())).is_success
    (line,) = (await api.call("GET", f"/v1/audit?target={path.removeprefix('/v1/')}")).json()["data"]
    assert line["action"] == ACTIONS["put_branding_image"]
    assert (line["before"], line["after"].keys()) == (None, {"sha256", "width", "height", "bytes"})
    await logged(api, "delete_branding_image", "DELETE", path)
    deleted = (await api.call("GET", f"/v1/audit?target={path.removeprefix('/v1/')}")).json()["data"][0]
    assert (deleted["before"], deleted["after"]) == (line["after"], None)
