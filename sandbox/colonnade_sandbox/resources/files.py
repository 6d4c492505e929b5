"""Uploaded files: icons and logos for branding."""

import base64

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.resources import images
from colonnade_sandbox.store import Object, Store

# Stripe docs, "File upload guide".
LARGEST = {"business_icon": 512 * 1024, "business_logo": 512 * 1024}
LARGEST_OTHER = 5 * 1024 * 1024
# Pixels that a brand's icon, which is square, and its logo have at least (API reference, "The Account object").
LEAST = 128


@operation("POST", "/v1/files", takes="file purpose")
def create(call: Call) -> Object:
    if call.upload is None:
        raise errors.missing_parameter("file")
    content, purpose = call.upload.content, call.params["purpose"]
    kind = "pdf" if content.startswith(b"%PDF") else images.kind(content)
    if purpose in LARGEST and kind not in images.MEDIA_TYPES:
        raise errors.invalid("The file must be a JPEG, PNG or GIF image.", "file")
    if len(content) > LARGEST.get(purpose, LARGEST_OTHER):
        raise errors.invalid("The file is larger than its purpose allows.", "file")
    file = call.new(
        "file",
        "file",
        {
            "filename": call.upload.filename,
            "purpose": purpose,
            "size": len(content),
            "type": kind,
            "_content": base64.b64encode(content).decode(),
        },
    )
    file["url"] = f"{call.sandbox.base_url}/files/{file['id']}"
    return call.put(file)


retrievable("file", "/v1/files/{file}")
listable("file", "/v1/files", {"purpose": lists.equal("purpose")})


def contents(store: Store, file: str) -> tuple[str, bytes] | None:
    """Media type and bytes of an image, whoever owns it: brand images are public."""
    for _, found in store.everywhere("file"):
        if found["id"] == file and found["type"] in images.MEDIA_TYPES:
            return images.MEDIA_TYPES[found["type"]], base64.b64decode(found["_content"])
    return None


def check_brand(file: Object, name: str, param: str) -> None:
    """Raises StripeError (400) for a file that cannot be a brand's `icon` or `logo`."""
    if file["purpose"] not in LARGEST:
        raise errors.invalid(f"A file with the purpose {file['purpose']} cannot be used for branding.", param)
    width, height = images.size(base64.b64decode(file["_content"])) or (0, 0)
    if min(width, height) < LEAST:
        raise errors.invalid(f"The {name} must be at least {LEAST} by {LEAST} pixels.", param)
    if name == "icon" and width != height:
        raise errors.invalid("The icon must be square.", param)
