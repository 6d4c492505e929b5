"""docs/tutorial.md, step by step: its commands in a shell, its clicks in a browser, on a running demo."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import ROOT
from tests.docs.shell import Shell, Step, printed, shell, steps
from tests.end_to_end.demo import Demo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WITHIN = 60
"""Seconds that a webhook may take on a busy machine."""
NAVY = "rgb(18, 58, 90)"


def _press(page: Page, name: str) -> None:
    page.get_by_role("link", name=name).or_(page.get_by_role("button", name=name)).first.click()


def _onboarding(page: Page, shell: Shell, folder: Path) -> None:
    page.goto(shell.run('echo "$ONBOARDING"').strip())
    expect(page.locator("body")).to_contain_text("Set up payments for Harbour Books")
    site = shell.run('echo "$SITE"').strip()
    _press(page, "Complete setup")
    page.wait_for_url(f"{site}/")


def _preview(page: Page, shell: Shell, folder: Path) -> None:
    page.goto((folder / "preview.html").as_uri())
    expect(page.locator("body")).to_contain_text("Harbour Books")
    expect(page.locator("body")).to_contain_text("Update plan")
    assert NAVY in page.evaluate("[...document.querySelectorAll('*')].map(n => getComputedStyle(n).backgroundColor)")


def _switch(page: Page, shell: Shell, folder: Path) -> None:
    page.goto(shell.run('echo "$PORTAL"').strip())
    expect(page.get_by_text("Return to Harbour Books")).to_be_visible()
    _press(page, "Update plan")
    page.get_by_role("radio", name=re.compile("Scholar")).check()
    _press(page, "Continue")
    _press(page, "Confirm")
    expect(page.locator("main")).to_contain_text("Scholar")


def _cancel(page: Page, shell: Shell, folder: Path) -> None:
    page.goto(shell.run('echo "$PORTAL"').strip())
    _press(page, "Cancel plan")
    page.get_by_role("button", name="Cancel plan").click()
    expect(page.locator("body")).to_contain_text(re.compile("cancel", re.IGNORECASE))
    page.goto(shell.run('echo "$PORTAL"').strip())
    _press(page, "Return to Harbour Books")
    page.wait_for_url(re.compile(r"portal_result="))


BY_HAND: dict[str, Callable[[Page, Shell, Path], None]] = {
    "browser: onboarding": _onboarding,
    "browser: preview": _preview,
    "browser: switch": _switch,
    "browser: cancel": _cancel,
}


def _say(run: Shell, step: Step) -> None:
    """The step's commands, whose output has to be the page's; again where they only ask for what is on its way."""
    end = time.monotonic() + WITHIN
    said = run.run(step.commands)
    while step.only_asks and not printed(step.prints or "", said) and time.monotonic() < end:
        time.sleep(0.5)
        said = run.run(step.commands)
    assert printed(step.prints or "", said), f"{step.commands}\nprinted\n{said}\nnot\n{step.prints}"


def test_every_step_of_the_tutorial_prints_what_the_page_says(page: Page, demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(json.dumps(demo.said))
    (tmp_path / ".colonnade").symlink_to(demo.data_dir)
    program = tmp_path / ".venv/bin/colonnade"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m colonnade "$@"\n')
    program.chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COLONNADE_")}
    todo = steps((ROOT / "docs/tutorial.md").read_text("utf-8"))
    assert todo[:2] == [Step(by_hand="run: demo"), Step("make demo ARGS=--json | tee demo.json\n")]
    would_run = subprocess.check_output(["make", "--dry-run", "demo", "ARGS=--json"], cwd=ROOT, text=True)
    assert would_run.rstrip().endswith("/colonnade demo --json")  # as the fixture does
    by_hand = []
    with shell(tmp_path, plain) as run:
        for step in todo[2:]:
            if step.by_hand is not None:
                BY_HAND[step.by_hand](page, run, tmp_path)
                by_hand.append(step.by_hand)
            else:
                _say(run, step)
    assert by_hand == list(BY_HAND)


@pytest.mark.parametrize(
    ("expected", "said", "same"),
    [
        ("a_…\n", "a_1b\n", True),
        ("a_…\n", "b\n", False),
        ("a_…\n", "a_1\nb\n", False),
        ("a\n…\n", "a\nb\nc\n", True),
        ("a\n…\n", "b\nb\n", False),
        ("a\n", "a\nb\n", False),
    ],
)
def test_what_a_page_leaves_open_is_told_from_what_it_says(expected: str, said: str, same: bool) -> None:
    assert printed(expected, said) is same
