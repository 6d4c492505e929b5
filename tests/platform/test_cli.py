"""The `colonnade` command as a program: exit codes, sentences, and what it refuses."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from colonnade.commands.common import sentences
from colonnade.database import revisions
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway

from ..conftest import ScratchDatabase, new_database, run_sql

SECRET_KEY = "0123456789abcdef0123456789abcdef"


def colonnade(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `colonnade …` with only these settings, named without their prefix."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COLONNADE_")}
    environ |= {f"COLONNADE_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "colonnade", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def external(url: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "SECRET_KEY": SECRET_KEY, "STRIPE_API_KEY": "sk_test_cli"}


@pytest.mark.slow
@pytest.mark.parametrize("command", [("serve",), ("worker",), ("keys", "create")])
def test_a_superusers_login_is_refused(command: tuple[str, ...], shared_database: ScratchDatabase) -> None:
    ended = colonnade(*command, **external(shared_database.admin_url))
    assert ended.returncode == 1
    assert "could bypass row-level security" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


@pytest.mark.slow
def test_a_database_without_roles_or_tables_is_named(shared_database: ScratchDatabase) -> None:
    url = urlsplit(shared_database.admin_url)._replace(netloc="nobody_here@").geturl()
    ended = colonnade("serve", **external(url))
    assert ended.returncode == 1
    assert "colonnade migrate" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "worker"])
def test_traces_that_cannot_be_sent_are_a_sentence_before_any_process_starts(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
    ended = colonnade(command, STRIPE_API_KEY="sk_test_cli", DATA_DIR=str(tmp_path / "data"))
    assert ended.returncode == 1
    assert ended.stderr.startswith("OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_command_that_sends_no_traces_does_not_ask_whether_it_could(
    shared_database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
    ended = colonnade("keys", "list", **external(shared_database.service_url))
    assert (ended.returncode, ended.stderr) == (0, "")


def without_log(errors: str) -> str:
    """What a command said that is no line of a log."""
    return "".join(line for line in errors.splitlines(keepends=True) if "[info" not in line)


BEFORE, HEAD = revisions.known()[-2:]
STAMP = "update alembic_version set version_num = '{}'"
NEWER = f"The database is at 9999, newer than this release, which ends with {HEAD}."
OTHER = (
    f"The database is at 0000, which is none of this release's migrations ({revisions.known()[0]} to {HEAD}) and not"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "arguments", "code", "printed", "said"),
    [
        (None, (), 0, "", "The database is at the newest migration.\n"),
        (None, ("--check",), 0, "", f"The database is at {HEAD}, the newest migration.\n"),
        (
            "alter table tenants add column extra text",
            ("--check",),
            1,
            "column tenants.extra is not of this release\n",
            "The tables differ from this release's in 1 point.\n",
        ),
        (STAMP.format(BEFORE), ("--check",), 1, "", f"Pending, after {BEFORE}: {HEAD}. Run `colonnade migrate`.\n"),
        (STAMP.format("9999"), (), 0, "", f"{NEWER} It is left as it is.\n"),
        (STAMP.format("9999"), ("--check",), 1, "", f"{NEWER}\n"),
        (STAMP.format("0000"), (), 1, "", f"{OTHER} newer: another branch's, or not Colonnade's.\n"),
    ],
    ids=["again", "well", "drift", "pending", "newer", "newer, check", "strange"],
)
def test_migrate_says_in_a_sentence_how_the_database_stands(
    database: ScratchDatabase, before: str | None, arguments: tuple[str, ...], code: int, printed: str, said: str
) -> None:
    if before is not None:
        run_sql(database.admin_url, before)
    logins = {**external(database.service_url), "MIGRATION_DATABASE_URL": database.admin_url}
    ended = colonnade("migrate", *arguments, **logins)
    assert (ended.returncode, ended.stdout, without_log(ended.stderr)) == (code, printed, said)


@pytest.mark.slow
def test_migrate_check_of_an_empty_database_is_a_sentence(server: str, template: str) -> None:
    with new_database(server, "template0") as empty:
        ended = colonnade("migrate", "--check", **external(empty.admin_url))
    sentence = "The database is empty: no migration has run. Run `colonnade migrate`.\n"
    assert (ended.returncode, ended.stdout, without_log(ended.stderr)) == (1, "", sentence)


def test_a_plain_login_gets_the_sql_for_the_administrator(database: ScratchDatabase) -> None:
    logins = {**external(database.service_url), "MIGRATION_DATABASE_URL": database.service_url}
    ended = colonnade("migrate", **logins)
    assert ended.returncode == 1
    assert "GRANT" in ended.stdout
    assert all(line.endswith(";") for line in ended.stdout.splitlines())
    assert urlsplit(database.service_url).password not in ended.stdout + ended.stderr


def test_a_key_is_printed_once_and_kept_as_a_digest(database: ScratchDatabase) -> None:
    ended = colonnade("keys", "create", "--name", "team", **external(database.service_url))
    key = ended.stdout.strip()
    assert ended.returncode == 0
    assert key.startswith("col_platform_")

    async def kept() -> str:
        connection = await asyncpg.connect(database.admin_url)
        try:
            return str(await connection.fetchrow("select * from api_keys where name = 'team'"))
        finally:
            await connection.close()

    assert key not in asyncio.run(kept())


@pytest.mark.slow
def test_every_wrong_setting_is_told_at_once(tmp_path: Path) -> None:
    ended = colonnade("serve", PORT="x", STRIPE_API_KEY="pk_test_1", DATA_DIR=str(tmp_path), POTR="1")
    assert ended.returncode == 1
    for name in ("COLONNADE_PORT", "COLONNADE_STRIPE_API_KEY", "COLONNADE_POTR"):
        assert name in ended.stderr


def test_help_and_completion_import_nothing_that_takes_long() -> None:
    """All commands are imported for them; with these it took three seconds."""
    code = "import sys, colonnade.cli; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    heavy = {"alembic", "asyncpg", "cryptography", "litestar", "sqlalchemy", "stripe", "structlog", "uvloop"}
    assert heavy & set(found.stdout.split()) == set()


@pytest.mark.slow
def test_a_database_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    nowhere = {**external("postgresql://colonnade:hidden@127.0.0.1:9/colonnade"), "DATA_DIR": str(tmp_path)}
    said = "Cannot reach the database at 127.0.0.1:9: connection refused. Start it, or correct COLONNADE_DATABASE_URL."
    for command in (("migrate",), ("keys", "list")):
        ended = colonnade(*command, **nowhere)
        assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (1, "", said)


def test_stripe_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(stripe_api_key="sk_test_x", stripe_api_base="http://127.0.0.1:9")

    async def ask() -> None:
        gateway = StripeGateway(settings)
        try:
            await gateway.platform.get("/v1/account")
        finally:
            await gateway.close()

    monkeypatch.setenv("COLONNADE_STRIPE_API_BASE", settings.stripe_api_base)
    with pytest.raises(SystemExit), sentences():
        asyncio.run(ask())
    assert "Cannot reach Stripe at http://127.0.0.1:9: connection refused." in capsys.readouterr().err
