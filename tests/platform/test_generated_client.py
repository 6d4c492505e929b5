"""A client that openapi-python-client generates from the document does a day's work against the running API.

The generator brings libraries that would change how Litestar behaves here, so it lives in an environment of its own:
`OPENAPI_PYTHON_CLIENT` names its program. `.ci/run` installs it and says that it is required.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.platform.serving import Served
from tests.platform.serving import served as served  # a fixture

PROGRAM = os.environ.get("OPENAPI_PYTHON_CLIENT", "")
REQUIRED = "REQUIRE_OPENAPI_PYTHON_CLIENT" in os.environ
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAM and not REQUIRED, reason="OPENAPI_PYTHON_CLIENT names no generator"),
]

DAY = """
import sys

from fern.client import AuthenticatedClient
from fern.api.tenants import create_tenant, get_tenant, change_tenant, list_tenants
from fern.api.customers import put_customer, list_customers
from fern.api.catalogue import put_feature
from fern.api.entitlements import check_entitlement
from fern.models import NewTenant, TenantChange, PutCustomer, PutFeature, PutFeatureKind, Problem

url, key = sys.argv[1:]
platform = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)
made = create_tenant.sync(client=platform, body=NewTenant(name="Sage", country="DE", return_origins=["https://sage.example"]))
assert made.id.startswith("ten_"), made
assert made.created_at.tzinfo is not None
assert made.id in [each.id for each in list_tenants.sync(client=platform, limit=100).data]

read = get_tenant.sync_detailed(made.id, client=platform)
change = TenantChange(event_weight=3)
changed = change_tenant.sync(made.id, client=platform, body=change, if_match=read.headers["etag"])
assert changed.event_weight == 3
late = change_tenant.sync_detailed(made.id, client=platform, body=change, if_match=read.headers["etag"])
assert late.status_code == 412 and isinstance(late.parsed, Problem), late
assert late.parsed.param == "If-Match"

tenant = AuthenticatedClient(base_url=url, token=made.key, raise_on_unexpected_status=True)
put_customer.sync(made.id, "ada", client=tenant, body=PutCustomer(email="ada@example.com"))
assert [each.reference for each in list_customers.sync(made.id, client=tenant).data] == ["ada"]
put_feature.sync(made.id, "alerts", client=tenant, body=PutFeature(kind=PutFeatureKind.FLAG, name="Alerts"))
answer = check_entitlement.sync(made.id, "ada", "alerts", client=tenant)
assert answer.granted is False, answer
stranger = get_tenant.sync_detailed("ten_nobody", client=tenant)
assert stranger.parsed.type_ == "urn:colonnade:problem:not-found"
print("done")
"""


def test_a_generated_client_works(served: Served, tmp_path: Path) -> None:
    folder = Path(PROGRAM).parent
    environ = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(tmp_path)}
    made = subprocess.run(
        [PROGRAM, "generate", "--url", f"{served.url}/docs/openapi.json", "--meta", "none", "--output-path", "fern"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    left_out = [line for line in made.stdout.splitlines() if line.startswith("WARNING parsing")]
    assert len(left_out) <= 3, "\n".join(left_out)  # pictures and lines of JSON, which it has no types for
    day = subprocess.run(
        [folder / "python", "-c", DAY, served.url, served.keys[0]],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (day.returncode, day.stdout) == (0, "done\n"), day.stderr
