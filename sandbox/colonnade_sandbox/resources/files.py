"""Uploaded files: icons and logos for branding."""

import base64

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.store import Object, Store

# Stripe docs, "File upload guide".
LARGEST = {"business_icon": 512 * 1024, "business_logo": 512 * 1024}
LARGEST_OTHER = 5 * 1024 * 1024
TYPES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"%PDF": "pdf"}
IMAGES = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif"}


@operation("POST", "/v1/files", takes="file purpose")
def create(call: Call) -> Object:
    if call.upload is None:
        raise errors.missing_parameter("file")
    content, purpose = call.upload.content, call.params["purpose"]
    kind = next((name for magic, name in TYPES.items() if content.startswith(magic)), None)
    if purpose in LARGEST and kind not in IMAGES:
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
        if found["id"] == file and found["type"] in IMAGES:
            return IMAGES[found["type"]], base64.b64decode(found["_content"])
    return None
