"""Pages of docs/ step by step: their commands in a shell, what is done by hand as a reader does it, on a running demo.

In the file's order: the last page takes the demo's webhook secrets away.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from colonnade.database.embedded import EmbeddedPostgres, binaries
from colonnade.database.roles import SERVICE_LOGIN
from tests.conftest import PARENT, QUICK, ROOT
from tests.docs.shell import Shell, Step, printed, shell, steps
from tests.end_to_end.demo import Demo, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WITHIN = 60
"""Seconds that a webhook may take on a busy machine."""
POSTGRES = binaries()
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


def _say(run: Shell, step: Step) -> None:
    """The step's commands, whose output has to be the page's; again where they only ask for what is on its way."""
    end = time.monotonic() + WITHIN
    said = run.run(step.commands)
    while step.only_asks and not printed(step.prints or "", said) and time.monotonic() < end:
        time.sleep(0.5)
        said = run.run(step.commands)
    assert printed(step.prints or "", said), f"{step.commands}\nprinted\n{said}\nnot\n{step.prints}"


ByHand = Callable[[], None]


def _follow(run: Shell, name: str, by_hand: Mapping[str, ByHand], *, after: int = 0) -> None:
    """All steps of a page but the first *after*; *by_hand*: what is done where the page says so, all of it once."""
    done = []
    for step in steps((ROOT / "docs" / name).read_text("utf-8"))[after:]:
        if step.by_hand is None:
            _say(run, step)
        else:
            by_hand[step.by_hand]()
            done.append(step.by_hand)
    assert done == list(by_hand)


@pytest.fixture
def folder(tmp_path: Path, demo: Demo) -> Path:
    """As a clone of the repository looks after `make demo`, to those who run commands in it."""
    (tmp_path / "demo.json").write_text(json.dumps(demo.said))
    (tmp_path / ".colonnade").symlink_to(demo.data_dir)
    program = tmp_path / ".venv/bin/colonnade"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m colonnade "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Iterator[Shell]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COLONNADE_")}
    with shell(folder, plain) as opened:
        yield opened


@pytest.fixture
def operator(run: Shell, demo: Demo) -> Shell:
    """A shell with the variables of the demo's service, webhook secrets included."""
    settings = {
        "DATABASE_URL": demo.said["database_url"],
        "SECRET_KEY": (demo.data_dir / "secret_key").read_text().strip(),
        "STRIPE_API_KEY": demo.said["sandbox_key"],
        "STRIPE_API_BASE": demo.sandbox,
        "BASE_URL": demo.url,
    }
    for endpoint in demo.said["webhook_endpoints"]:
        settings[f"STRIPE_{endpoint['kind'].upper()}_WEBHOOK_SECRETS"] = endpoint["secret"]
    run.run("".join(f"export COLONNADE_{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    run.run(f"export PATH=$PWD/.venv/bin:{POSTGRES}:$PATH\nADMIN_URL={shlex.quote(_superusers(demo))}\n")
    return run


def _superusers(demo: Demo) -> str:
    return str(demo.said["database_url"]).replace(f"{SERVICE_LOGIN}@", "postgres@")


def test_every_step_of_the_tutorial_prints_what_the_page_says(page: Page, demo: Demo, run: Shell, folder: Path) -> None:
    todo = steps((ROOT / "docs/tutorial.md").read_text("utf-8"))
    assert todo[:2] == [Step(by_hand="run: demo"), Step("make demo ARGS=--json | tee demo.json\n")]
    would_run = subprocess.check_output(["make", "--dry-run", "demo", "ARGS=--json"], cwd=ROOT, text=True)
    assert would_run.rstrip().endswith("/colonnade demo --json")  # as the fixture does
    clicks = {"onboarding": _onboarding, "preview": _preview, "switch": _switch, "cancel": _cancel}
    by_hand = {f"browser: {name}": partial(click, page, run, folder) for name, click in clicks.items()}
    _follow(run, "tutorial.md", by_hand, after=2)


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


@pytest.fixture(scope="module")
def new_server() -> Iterator[str]:
    """A superuser's URL of a PostgreSQL that has seen nothing of Colonnade."""
    with tempfile.TemporaryDirectory(dir=PARENT) as home:
        Path(home).chmod(0o755)
        with EmbeddedPostgres(Path(home)) as server:
            url = server.url("postgres", "postgres")
            for statement in (*(f"ALTER SYSTEM SET {setting}" for setting in QUICK), "SELECT pg_reload_conf()"):
                _rows(url, statement)
            yield url


def _rows(url: str, statement: str) -> str:
    """What psql prints of it. Not asyncpg: the browser's event loop runs in this thread."""
    command = [POSTGRES / "psql", "--no-psqlrc", "--no-align", "--tuples-only", "--command", statement, url]
    return subprocess.check_output(command, text=True)


POLICIES = "select tablename, policyname, roles::text, cmd, qual, with_check from pg_policies order by 1, 2"
PROTECTED = (
    "select relname, relrowsecurity, relforcerowsecurity, relowner::regrole::text, relacl::text "
    "from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1"
)
_GRANTED = (
    "select t.public_id, e.feature, e.value::text, {more} from entitlements e join tenants t on t.id = e.tenant_id "
    "join customers c on c.tenant_id = e.tenant_id and c.id = e.customer_id order by 1, 2, 3, 4"
)
TO_WHOM = _GRANTED.format(more="c.stripe_customer")
TO_WHOM_BY_REFERENCE = _GRANTED.format(more="c.reference")


def test_a_backup_is_restored_with_its_protection_and_catches_up(operator: Shell, demo: Demo, new_server: str) -> None:
    live = _superusers(demo)
    service = new_server.replace("postgres@", f"{SERVICE_LOGIN}@", 1)

    def name_the_new_server() -> None:
        demo.new_customer(0, "came-after-the-backup", plan=1)  # what was acknowledged, and is not in the dump
        until(lambda: demo.entitlements(0, "came-after-the-backup"), WITHIN)
        quoted = [shlex.quote(url) for url in (service, new_server, new_server)]
        names = ("COLONNADE_DATABASE_URL", "COLONNADE_MIGRATION_DATABASE_URL", "ADMIN_URL")
        operator.run("".join(f"export {name}={url}\n" for name, url in zip(names, quoted, strict=True)))

    def start_the_worker() -> None:
        for query in (POLICIES, PROTECTED):
            assert _rows(new_server, query) == _rows(live, query) != ""
        assert _rows(service, "select * from customers") == ""  # no tenant is named, no row is seen
        assert set(_rows(new_server, TO_WHOM).splitlines()) < set(_rows(live, TO_WHOM).splitlines())
        operator.run("colonnade worker > worker.log 2>&1 & WORKER=$!")

    def wait_for_the_worker() -> None:
        until(lambda: _rows(new_server, TO_WHOM) == _rows(live, TO_WHOM), WITHIN)

    by_hand = {
        "run: new-server": name_the_new_server,
        "run: worker": start_the_worker,
        "run: settled": wait_for_the_worker,
    }
    _follow(operator, "backup.md", by_hand)
    until(lambda: _rows(new_server, TO_WHOM_BY_REFERENCE) == _rows(live, TO_WHOM_BY_REFERENCE), WITHIN)
    assert operator.run("colonnade migrate --check") == ""
    operator.run("kill $WORKER; wait $WORKER || true")


def test_a_second_login_takes_the_place_of_the_first(operator: Shell, new_server: str) -> None:
    first, second = (new_server.replace("postgres@", f"{login}@", 1) for login in (SERVICE_LOGIN, "second"))
    operator.run(f"export COLONNADE_MIGRATION_DATABASE_URL={shlex.quote(new_server)}")
    for url in (first, second):
        operator.run(f"export COLONNADE_DATABASE_URL={shlex.quote(url)}\ncolonnade migrate")
    (drop,) = re.findall(r"^ +(DROP .*)$", (ROOT / "docs/rotate-secrets.md").read_text("utf-8"), re.MULTILINE)
    _rows(new_server, drop)
    assert _rows(new_server, f"select from pg_roles where rolname = '{SERVICE_LOGIN}'") == ""
    seen = operator.run("colonnade tenants list --json | jq length")
    assert seen == _rows(new_server, "select count(*) from tenants")


def test_each_secret_is_rotated_as_the_page_says(operator: Shell) -> None:
    _follow(operator, "upgrade-stripe.md", {})
    operator.run('export COLONNADE_SECRET_KEY="$(openssl rand -hex 32),$COLONNADE_SECRET_KEY"')
    _follow(operator, "rotate-secrets.md", {})
