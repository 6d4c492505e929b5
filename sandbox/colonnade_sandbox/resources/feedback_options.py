"""Feedback options: a business's own reasons to choose from when a customer cancels in the portal."""

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation, retrievable
from colonnade_sandbox.store import Object

KIND = "billing.feedback_option"
LONGEST = 100

retrievable(KIND, "/v1/billing/feedback_options/{id}")


@operation("GET", "/v1/billing/feedback_options", takes=f"{lists.PAGING} status")
def list_all(call: Call) -> Object:
    return lists.answer(call, KIND, call.all(KIND), {"status": lists.equal("status")}, "/v1/billing/feedback_options")


@operation("POST", "/v1/billing/feedback_options", takes="description")
def create(call: Call) -> Object:
    values = {
        "id": ids.new("bfo"),
        "object": KIND,
        "description": _description(call),
        "livemode": False,
        "status": "active",
        "status_transitions": {},
    }
    return call.put(shapes.complete(KIND, values))


@operation("POST", "/v1/billing/feedback_options/{id}", takes="description")
def update(call: Call) -> Object:
    option = call.get(KIND, call.id)
    return call.put(option | {"description": _description(call)}) if "description" in call.params else option


@operation("POST", "/v1/billing/feedback_options/{id}/deactivate")
def deactivate(call: Call) -> Object:
    """An option once used stays readable; it is only asked for no longer."""
    option = call.get(KIND, call.id)
    if option["status"] == "inactive":
        raise errors.invalid("This feedback option is already inactive.")
    return call.put(option | {"status": "inactive", "status_transitions": {"deactivated_at": call.now}})


def _description(call: Call) -> str:
    text = str(call.params["description"])
    if len(text) > LONGEST:
        raise errors.invalid(f"Invalid string: {text[:20]}...; must be at most {LONGEST} characters", "description")
    return text
