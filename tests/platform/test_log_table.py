"""The table of log lines is what the code logs: every event with its level and fields, and every field."""

import ast
import json
import logging
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
import structlog

from colonnade.observability import REQUEST_ID, configure_logging

ROOT = Path(__file__).parents[2]
LEVELS = ("debug", "info", "warning", "error", "critical", "exception")
Lines = dict[str, tuple[set[str], set[str]]]
"""Levels and fields by event."""


@cache
def logged() -> Lines:
    """What the code says."""
    found: Lines = defaultdict(lambda: (set(), set()))
    for package in ("platform/colonnade", "tenants/colonnade_tenants"):
        for path in (ROOT / package).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                    continue
                if ast.unparse(call.func.value) == "log" and call.func.attr in LEVELS:
                    (event,) = call.args
                    assert isinstance(event, ast.Constant), f"{path}:{call.lineno}: the event is no literal"
                    levels, fields = found[str(event.value)]
                    levels.add(call.func.attr)
                    names = {each.arg for each in call.keywords}
                    assert None not in names, f"{path}:{call.lineno}: fields by ** cannot be listed"
                    fields |= {"exception" if name == "exc_info" else str(name) for name in names}
    return dict(found)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below *heading*, without its first two lines."""
    section = (ROOT / "docs/operations.md").read_text().partition(f"{heading}\n")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def words(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_the_table_of_events_is_what_the_code_logs() -> None:
    listed = {
        event.strip("`"): (set(levels.split(", ")), words(fields)) for event, levels, fields, _ in rows("### Events")
    }
    assert listed == logged()
    assert all(len(what) > 10 for *_, what in rows("### Events"))


def test_the_table_of_fields_has_each_field_once() -> None:
    listed = [name for cell, _ in rows("### Fields") for name in re.findall(r"`(\w+)`", cell)]
    used = set().union(*(fields for _, fields in logged().values()))
    assert len(listed) == len(set(listed))
    assert set(listed) == used | {"event", "level", "timestamp", "request_id"}


def test_a_json_line_has_the_common_fields_and_hides_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    before, structlog_before = logging.getLogger().handlers[:], structlog.get_config()
    token = REQUEST_ID.set("req_1")
    try:
        configure_logging("INFO", "json")
        structlog.get_logger().warning("event failed", error="whsec_abcdef", type="invoice.paid")
        logging.getLogger("somebody").warning("sk_test_%s", "abcdef")
    finally:
        REQUEST_ID.reset(token)
        logging.getLogger().handlers[:] = before
        structlog.configure(**structlog_before)
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "event failed", "level": "warning", "request_id": "req_1", "type": "invoice.paid", "error": "whsec_…",
    }  # fmt: skip
    assert (theirs["event"], theirs["level"], set(theirs)) == (
        "sk_test_…", "warning", {"event", "level", "timestamp", "request_id"},
    )  # fmt: skip
