"""schemathesis makes up requests to every operation, sent with the keys of two tenants and of the platform team.

No answer may be a 500, and none may have a status, content type, header or shape that the document does not give.
"""

import copy
from contextlib import suppress
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup

from tests.platform.openapi_calls import Operation, operations
from tests.platform.serving import Served
from tests.platform.serving import served as served  # a fixture

pytestmark = pytest.mark.slow
WANTED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
KNOWN = {"reference": ["ada", "bo"], "name": ["main"], "key": ["frost-alerts", "pro"], "kind": ["icon", "logo"]}
"""Values of a path that lead to something, beside those that are made up."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_whatever_is_sent_is_answered_as_documented(served: Served, mode: GenerationMode) -> None:
    tried = sum(_try(served, served.document, operation, mode) for operation in operations(served.document))
    assert tried > 2 * len(operations(served.document))


def test_an_answer_that_is_not_documented_would_be_noticed(served: Served) -> None:
    operation = next(each for each in operations(served.document) if each.name == "getCustomer")
    document = copy.deepcopy(served.document)
    del document["paths"][operation.path]["get"]["responses"]["404"]
    with pytest.raises(FailureGroup, match="Undocumented status code"):
        _try(served, document, operation, GenerationMode.POSITIVE)


def _try(served: Served, document: dict[str, Any], operation: Operation, mode: GenerationMode) -> int:
    """Send what is made up for *operation* with *document*'s schemas; how many requests it was."""
    schema = schemathesis.openapi.from_dict(document)
    checks = CHECKS.get_by_names(list(WANTED))
    tried = 0
    made = schema[operation.path][operation.method.upper()].as_strategy(generation_mode=mode)

    @hypothesis.settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    )
    @hypothesis.given(case=made, data=st.data())
    def send(case: Any, data: st.DataObject) -> None:
        nonlocal tried
        tried += 1
        for name in case.path_parameters or {}:
            known = {**KNOWN, "tenant": served.tenants}.get(name)
            if known and data.draw(st.integers(0, 9)):
                case.path_parameters[name] = data.draw(st.sampled_from(known))
        key = data.draw(st.sampled_from(served.keys))
        answer = case.call(base_url=served.url, headers={"Authorization": f"Bearer {key}"}, allow_redirects=False)
        case.validate_response(answer, checks=checks)

    with suppress(hypothesis.errors.Unsatisfiable):  # some take nothing that could be wrong
        send()
    return tried
