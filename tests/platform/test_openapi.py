"""The OpenAPI document: every operation is whole, its examples are true, and its errors are a closed set."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec
import pytest
from litestar import Litestar, get

from colonnade import app, problems, reference
from colonnade.conventions.deprecation import deprecated
from colonnade.openapi.operations import described
from colonnade.openapi.schemas import components
from colonnade.problem_types import PROBLEMS
from colonnade.settings import Settings

ROUTES = (*app.GUARDED, *app.PUBLIC)
DOCS = Path(__file__).parents[2] / "docs"
RECORDED = Path(__file__).with_name("operations.txt")


class Said(NamedTuple):
    method: str
    path: str
    said: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.said['operationId']} {self.method.upper()} {self.path}"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made = app.create_app(Settings(), database_url="postgresql://nowhere/none", secret_key="k" * 32)
    found: dict[str, Any] = made.openapi_schema.to_schema()
    return found


def operations(document: dict[str, Any]) -> Iterator[Said]:
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            yield Said(method, path, said)


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    return jsonschema_rs.Draft202012Validator(schema | {"components": document["components"]})


def test_operation_ids_are_unique_and_in_one_style(document: dict[str, Any]) -> None:
    found = [each.said["operationId"] for each in operations(document)]
    found += [said["operationId"] for each in document["webhooks"].values() for said in each.values()]
    assert len(found) == len(set(found))
    assert [name for name in found if not re.fullmatch(r"[a-z]+([A-Z][a-z0-9]*)+", name)] == []


def test_no_operation_that_was_published_is_gone_or_renamed(document: dict[str, Any]) -> None:
    now = {str(each) for each in operations(document)}
    assert set(RECORDED.read_text().splitlines()) - now == set()


def test_every_operation_has_a_summary_a_tag_and_an_example_of_what_goes_in_and_comes_out(
    document: dict[str, Any],
) -> None:
    for each in operations(document):
        assert each.said["summary"], each
        assert each.said.get("tags"), each
        contents = list(each.said.get("requestBody", {}).get("content", {}).values())
        good = [answer for status, answer in each.said["responses"].items() if status < "400"]
        assert good, each
        contents += [content for answer in good for content in answer.get("content", {}).values()]
        for content in contents:
            assert "example" in content or "contentMediaType" in content["schema"], each
        for parameter in each.said.get("parameters", ()):
            assert parameter["in"] != "path" or parameter["example"], each


def test_every_example_is_one(document: dict[str, Any]) -> None:
    wrong = []
    for each in operations(document):
        contents = {"body": each.said.get("requestBody", {}).get("content", {})}
        contents |= {status: answer.get("content", {}) for status, answer in each.said["responses"].items()}
        for where, content in contents.items():
            for kind, said in content.items():
                if "example" in said and kind.endswith(("/json", "+json")):
                    found = validator(document, said["schema"]).iter_errors(said["example"])
                    wrong += [f"{each} {where}: {error.message} at {error.instance_path}" for error in found]
    assert wrong == [], "\n".join(wrong)


def test_every_example_of_a_body_is_taken(document: dict[str, Any]) -> None:
    types = described(ROUTES)
    for each in operations(document):
        for kind, content in each.said.get("requestBody", {}).get("content", {}).items():
            if kind.endswith(("/json", "+json")):
                body = types[each.said["operationId"]].body
                msgspec.json.decode(msgspec.json.encode(content["example"]), type=body)


def test_errors_are_declared_by_rule_and_are_problems(document: dict[str, Any]) -> None:
    declared = document["components"]["responses"]
    for each in operations(document):
        codes = set(each.said["responses"])
        if each.path.startswith("/v1/"):
            assert codes >= {"400", "401", "403", "429", "503"}, each
            assert "404" in codes or "{" not in each.path, each
        if each.method in ("put", "patch", "post", "delete") and each.path.startswith("/v1/"):
            assert codes >= {"409", "422"}, each
        if each.said["operationId"] in ("getReadiness", "compareEntitlements"):  # they ask Stripe, not for the frozen
            assert codes >= {"409", "422"}, each
        takes_match = any(parameter["name"] == "If-Match" for parameter in each.said.get("parameters", ()))
        assert takes_match == ("412" in codes), each
        assert ("requestBody" in each.said) == ("413" in codes), each
    for name, answer in declared.items():
        kind = "text/html; charset=utf-8" if name.endswith("Page") else "application/problem+json"
        assert list(answer["content"]) == [kind]


def test_whatever_can_be_read_and_put_or_patched_takes_if_match(document: dict[str, Any]) -> None:
    for each in operations(document):
        if each.method in ("put", "patch") and "get" in document["paths"][each.path]:
            assert "412" in each.said["responses"], each


def test_examples_of_problems_are_problems(document: dict[str, Any]) -> None:
    check = validator(document, {"$ref": "#/components/schemas/Problem"})
    for name, answer in document["components"]["responses"].items():
        for example in answer["content"].get("application/problem+json", {}).get("examples", {}).values():
            assert check.is_valid(example["value"]), name


def test_the_kinds_of_problems_are_a_closed_set_that_the_docs_explain() -> None:
    answered = {kind: status for status, kind in problems._KINDS.values()}
    answered |= {kind: status for status, kind in problems._STATUS_KINDS.items()}
    assert {kind: PROBLEMS[kind].status for kind in answered} == answered
    source = (Path(problems.__file__)).read_text()
    assert set(re.findall(r'_answer\(request, \d+, "([a-z-]+)"', source)) <= PROBLEMS.keys()
    explained = re.findall(r"^## `urn:colonnade:problem:([a-z-]+)` \((\d+)\)$", (DOCS / "errors.md").read_text(), re.M)
    assert {kind: int(status) for kind, status in explained} == {kind: each.status for kind, each in PROBLEMS.items()}


def test_bodies_refuse_fields_that_nobody_knows(document: dict[str, Any]) -> None:
    for each in operations(document):
        for kind, content in each.said.get("requestBody", {}).get("content", {}).items():
            if kind == "application/json":
                check = validator(document, content["schema"])
                assert not check.is_valid({**content["example"], "nobody_knows": 1}), each


def test_a_deprecated_route_is_marked() -> None:
    opt = deprecated(since=date(2027, 1, 4), sunset=date(2027, 7, 5), guide="https://colonnade.example")

    @get("/old", opt=opt)
    async def old_thing() -> dict[str, int]:
        return {}

    @get("/new")
    async def new_thing() -> dict[str, int]:
        return {}

    config = reference.config((old_thing, new_thing))
    config.webhooks = None
    made = Litestar([old_thing, new_thing], openapi_config=config)
    paths = made.openapi_schema.to_schema()["paths"]
    assert (paths["/old"]["get"]["deprecated"], paths["/new"]["get"]["deprecated"]) == (True, False)


def test_two_operations_of_one_name_are_refused() -> None:
    @get("/one")
    async def thing() -> dict[str, int]:
        return {}

    with pytest.raises(ValueError, match="two operations are called thing"):
        described((thing, thing))


def test_schemas_of_one_name_are_told_apart_by_their_modules() -> None:
    from colonnade.portals import flows, settings

    _, named = components([flows.CustomerUpdate, settings.CustomerUpdate, settings.PortalSettings])
    assert {"FlowsCustomerUpdate", "SettingsCustomerUpdate", "PortalSettings"} <= named.keys()
