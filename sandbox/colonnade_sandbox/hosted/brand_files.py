"""Icons and logos, by the ids that an account's branding names."""

from colonnade_sandbox.hosted import pages
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import files
from colonnade_sandbox.sandbox import Sandbox

PURPOSES = ("business_icon", "business_logo")


def contents(request: Request, sandbox: Sandbox, file: str) -> Response:
    """Brand images are public; every other upload is none of a visitor's business."""
    for _, found in sandbox.store.everywhere("file"):
        if found["id"] == file and found["purpose"] in PURPOSES:
            image = files.contents(sandbox.store, file)
            if image is not None:
                return pages.asset(image[0], image[1])
    raise pages.Refused(404, "File not found", "There is no such file.")
