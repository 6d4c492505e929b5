"""The pages that Stripe hosts: customer portal, onboarding, uploaded files."""

from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox


async def handle(request: Request, sandbox: Sandbox) -> Response:
    """The page at `request.path`."""
    return Response.html("<!doctype html><title>Not found</title><p>This page does not exist.</p>", 404)
