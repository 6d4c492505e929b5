"""Active entitlements: the features of the products that a customer's subscriptions are for."""

from colonnade_sandbox import events, ids, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation, retrievable
from colonnade_sandbox.resources import entitlement_features
from colonnade_sandbox.store import Object

KIND = "entitlements.active_entitlement"
SUMMARY = "entitlements.active_entitlement_summary"
# Subscriptions in these statuses grant what they are for.
GRANTING = frozenset({"active", "trialing", "past_due"})
SUMMARY_SIZE = 10

retrievable(KIND, "/v1/entitlements/active_entitlements/{id}")


@operation("GET", "/v1/entitlements/active_entitlements", takes=f"{lists.PAGING} customer")
def list_all(call: Call) -> Object:
    customer = call.get("customer", call.params["customer"], "customer")
    return lists.answer(call, KIND, _of(call, customer["id"]), {}, "/v1/entitlements/active_entitlements")


def _of(call: Call, customer: str) -> list[Object]:
    return [row for row in call.all(KIND) if row["_customer"] == customer]


def refresh(call: Call, subscription: Object) -> None:
    """Grant and take what a subscription's change makes of its customer's features; one event if anything did."""
    customer = subscription["customer"]
    old = {row["feature"]: row for row in _of(call, customer)}
    new = _features(call, customer)
    if old.keys() == new.keys():
        return
    before = _page(call, customer)
    for feature in old.keys() - new.keys():
        call.remove(old[feature], event=None)
    for feature in new.keys() - old.keys():
        call.put(_entitlement(customer, new[feature]))
    summary = {"object": SUMMARY, "customer": customer, "livemode": False, "entitlements": _page(call, customer)}
    call.emit(f"{SUMMARY}.updated", summary, {"entitlements": {"data": before["data"]}})


def _features(call: Call, customer: str) -> dict[str, Object]:
    products = {
        item["price"]["product"]
        for row in call.all("subscription")
        if row["customer"] == customer and row["status"] in GRANTING
        for item in row["items"]["data"]
    }
    links = [link for product in sorted(products) for link in entitlement_features.of_product(call, product)]
    found = {link["entitlement_feature"]["id"]: link["entitlement_feature"] for link in links}
    return {key: call.get(entitlement_features.FEATURE, key) for key in found}


def _entitlement(customer: str, feature: Object) -> Object:
    return {
        "id": ids.new("ent"),
        "object": KIND,
        "feature": feature["id"],
        "livemode": False,
        "lookup_key": feature["lookup_key"],
        "_customer": customer,
    }


def _page(call: Call, customer: str) -> Object:
    rows = [{name: value for name, value in row.items() if name[0] != "_"} for row in _of(call, customer)]
    url = f"/v1/customer/{customer}/entitlements"
    return shapes.page(rows[:SUMMARY_SIZE], url, has_more=len(rows) > SUMMARY_SIZE)


events.FOLLOWED["customer.subscription."] = refresh
