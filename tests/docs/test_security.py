"""docs/security.md names tests: they exist, and each threat has one."""

import re

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "docs/security.md").read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", TEXT)


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[f"{file}::{name}" for file, name in NAMED])
def test_a_test_that_is_named_exists(file: str, name: str) -> None:
    assert re.search(rf"^(?:async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)


def test_every_threat_names_a_test() -> None:
    section = TEXT.split("## Threats, and what answers them")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(lines) >= 25
    assert [line.split("|")[1] for line in lines if "`tests/" not in line.split("|")[3]] == []
