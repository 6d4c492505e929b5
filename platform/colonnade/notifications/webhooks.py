"""What tenants are sent, in the OpenAPI document: its `webhooks`."""

from typing import Any

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, PathItem, Reference, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.openapi.spec.parameter import Parameter

from colonnade.notifications.routes import TAGS
from colonnade.openapi.operations import camel
from colonnade_tenants.notifications.payloads import TYPES

_HEADERS = {
    "webhook-id": "The notification's id: the same at every try, for telling repetitions.",
    "webhook-timestamp": "When this try was made, in seconds since 1970. Refuse one that is minutes away from now.",
    "webhook-signature": "`v1,` and a base64 HMAC-SHA256, one for each secret that signs, separated by spaces.",
}


def documented() -> dict[str, PathItem | Reference]:
    """One webhook for each type of notification. The bodies' schemas come with the routes that show notifications."""
    return {name: _webhook(name, body) for name, body in TYPES.items()}


def _webhook(name: str, body: Any) -> PathItem:
    schema = Reference(ref=f"#/components/schemas/{body.__name__}")
    return PathItem(
        post=Operation(
            tags=TAGS,
            operation_id=camel(f"on_{name.replace('.', '_')}"),
            summary=(body.__doc__ or "").strip(),
            parameters=[
                Parameter(
                    name=header,
                    param_in="header",
                    required=True,
                    description=words,
                    schema=Schema(type=OpenAPIType.STRING),
                )
                for header, words in _HEADERS.items()
            ],
            request_body=RequestBody(content={"application/json": OpenAPIMediaType(schema=schema)}, required=True),
            responses={
                "2XX": OpenAPIResponse(description="Taken. Anything else, or no answer in 15 seconds, is tried again."),
                "410": OpenAPIResponse(description="The endpoint is disabled."),
            },
            security=[],
        )
    )
