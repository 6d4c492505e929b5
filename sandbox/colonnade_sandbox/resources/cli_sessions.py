"""Sessions of `stripe listen`, which the official CLI asks for before it opens its websocket."""

from colonnade_sandbox import listeners
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import source
from colonnade_sandbox.operations import operation
from colonnade_sandbox.store import Object


@operation(
    "POST",
    "/v1/stripecli/sessions",
    takes="device_name filters forward_connect_to_url forward_thin_connect_to_url forward_thin_to_url forward_to_url "
    "websocket_features",
)
def create(call: Call) -> Object:
    """The secret in the answer is what `stripe listen --print-secret` prints."""
    features = call.params.get("websocket_features", ["webhooks"])
    session = call.sandbox.listeners.open(call.platform, call.params.get("device_name", ""), features)
    return {
        "websocket_id": session.id,
        "websocket_url": call.sandbox.base_url.replace("http", "ws", 1) + listeners.PATH,
        "websocket_authorized_feature": features[0],
        "secret": session.secret,
        "reconnect_delay": listeners.RECONNECT,
        "default_version": source.api_version(),
        "latest_version": source.api_version(),
        "device_token": None,
        "display_connect_filter_warning": False,
    }
