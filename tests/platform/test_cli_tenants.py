"""`colonnade tenants` and `keys` at the command line: tables, JSON, sentences, exit codes, completion."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import click
import pytest
from click.testing import CliRunner, Result

from colonnade.cli import main
from tests.conftest import ScratchDatabase
from tests.platform.api import Sandbox
from tests.platform.cli import external

Cli = Callable[..., Result]


@pytest.fixture
def cli(shared_database: ScratchDatabase, module_sandbox: Sandbox) -> Cli:
    """The command, over a real database and the local Stripe, in this process."""
    settings = external(shared_database.service_url) | {
        "STRIPE_API_BASE": module_sandbox.url,
        "STRIPE_API_KEY": module_sandbox.key,
        "LOG_LEVEL": "error",
    }
    environ = {f"COLONNADE_{name}": value for name, value in settings.items()} | {"COLUMNS": "200"}

    def run(*arguments: str, code: int | None = 0) -> Result:
        ended = CliRunner().invoke(main, arguments, env=environ, prog_name="colonnade")
        assert code in (None, ended.exit_code), ended.output
        return ended

    return run


def said(ended: Result) -> Any:
    return json.loads(ended.stdout)


def test_a_tenant_is_created_shown_and_listed(cli: Cli) -> None:
    made = said(cli("tenants", "create", "Fern", "--country", "DE", "--origin", "https://fern.example", "--json"))
    assert made["key"].startswith("col_tenant_")
    assert made["return_origins"] == ["https://fern.example"]
    shown = said(cli("tenants", "show", made["id"], "--json"))
    assert (shown["name"], shown["readiness"]["state"]) == ("Fern", "onboarding")
    assert shown["readiness"]["requirements"]
    words = cli("tenants", "show", made["id"]).stdout
    assert made["account"] in words
    assert shown["readiness"]["requirements"][0]["words"] in words
    assert words.count("Agreement to Stripe's terms of service") == 1, "Stripe asks for it by two names"
    assert said(cli("tenants", "list", "--json"))[0]["id"] == made["id"]
    assert made["id"] in cli("tenants", "list").stdout


def test_the_key_of_a_new_tenant_stands_alone_on_standard_output(cli: Cli) -> None:
    ended = cli("tenants", "create", "Kiln", "--country", "DE")
    assert ended.stdout.strip().startswith("col_tenant_")
    assert len(ended.stdout.splitlines()) == 1
    assert "ten_" in ended.stderr


def test_the_same_idempotency_key_makes_one_tenant(cli: Cli) -> None:
    command = ("tenants", "create", "Moss", "--country", "DE", "--idempotency-key", "moss-1", "--json")
    assert said(cli(*command)) == said(cli(*command))


def test_an_onboarding_link_is_printed(cli: Cli) -> None:
    made = said(cli("tenants", "create", "Oak", "--country", "DE", "--origin", "https://oak.example", "--json"))
    link = cli("tenants", "onboard", made["id"], "--return-url", "https://oak.example/done").stdout.strip()
    assert link.startswith("http://127.0.0.1:8000/onboarding/")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tenants", "show", "ten_nobody"), "There is no such tenant."),
        (("tenants", "create", "Fern", "--charge-type", "gift"), "charge_type"),
        (("tenants", "create", "Fern", "--country", "Germany"), "country"),
        (("tenants", "create", "Fern", "--origin", "ftp://x"), "https"),
        (("keys", "revoke", "key_nobody"), "There is no key 'key_nobody'."),
        (("keys", "list", "--tenant", "ten_nobody"), "There is no such tenant."),
        (("tenants", "suspend", "ten_nobody", "--reason", "x"), "There is no such tenant."),
        (("tenants", "export", "ten_nobody"), "There is no such tenant."),
        (("keys", "create", "--name", ""), "name"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_exit_code_1(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    ended = cli(*arguments, code=1)
    assert sentence in ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.output


def test_a_command_that_does_not_exist_is_exit_code_2(cli: Cli) -> None:
    assert "No such command" in cli("tenants", "banish", code=2).output


def test_keys_are_made_listed_and_revoked(cli: Cli) -> None:
    tenant = said(cli("tenants", "create", "Fir", "--country", "DE", "--json"))["id"]
    made = said(cli("keys", "create", "--tenant", tenant, "--name", "shop", "--scope", "check", "--json"))
    assert made["key"].startswith("col_tenant_")
    assert made["scopes"] == ["check"]
    listed = said(cli("keys", "list", "--tenant", tenant, "--json"))
    assert [each["name"] for each in listed] == ["first key", "shop"]
    assert not [each for each in listed if "key" in each]
    assert "0<=x<=2592000" in cli("keys", "rotate", made["id"], "--overlap", "2592001", code=2).output
    followed = said(cli("keys", "rotate", made["id"], "--overlap", "0", "--json"))
    assert (followed["scopes"], followed["key"] == made["key"]) == (["check"], False)
    assert said(cli("keys", "revoke", followed["id"], "--json"))["revoked"]
    assert [each["name"] for each in said(cli("keys", "list", "--tenant", tenant, "--json"))] == ["first key"]
    assert len(said(cli("keys", "list", "--tenant", tenant, "--all", "--json"))) == 3
    assert made["id"] in cli("keys", "list", "--tenant", tenant, "--all").stdout


@pytest.mark.parametrize(
    "arguments", [("keys", "create", "--expires", "9999-12-31"), ("events", "list", "--from", "1999-12-31")]
)
def test_a_time_out_of_bounds_is_wrong_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    ended = cli(*arguments, code=2)
    assert arguments[2] in ended.output
    assert "2000 to 2999" in ended.output


def test_a_key_of_the_platform_team_has_a_role(cli: Cli) -> None:
    made = said(cli("keys", "create", "--name", "desk", "--role", "support", "--json"))
    assert made["key"].startswith("col_platform_")
    assert made["scopes"] == ["support"]
    assert made["id"] in [each["id"] for each in said(cli("keys", "list", "--json"))]
    assert "--role" in cli("keys", "create", "--scope", "check", code=2).output


def test_a_tenant_is_suspended_resumed_exported_and_deleted(
    cli: Cli, tmp_path: Path, shared_database: ScratchDatabase
) -> None:
    tenant = said(cli("tenants", "create", "Rue", "--country", "DE", "--json"))["id"]
    assert said(cli("tenants", "suspend", tenant, "--reason", "unpaid", "--json"))["state"] == "suspended"
    assert "suspended" in cli("tenants", "list").stdout
    assert "is onboarding" in cli("tenants", "resume", tenant, "--reason", "paid").stderr
    assert "param" not in cli("tenants", "resume", tenant, "--reason", "again", code=1).stderr
    file = tmp_path / "rue.ndjson"
    cli("tenants", "export", tenant, "--file", str(file))
    whole = file.read_bytes().splitlines()
    assert json.loads(whole[-1])["end"] is True
    assert len(whole) == sum(json.loads(whole[0])["counts"].values()) + 2
    file.write_bytes(b"\n".join(whole[:2]) + b'\n{"table": "cut')
    cli("tenants", "export", tenant, "--file", str(file), "--resume")
    rows = [line for line in file.read_bytes().splitlines() if b'"cursor"' in line]
    assert rows == [line for line in whole if b'"cursor"' in line], "every row once"
    cli("tenants", "delete", tenant, "--reason", "gone", "--yes", code=1)
    cli("tenants", "archive", tenant, "--reason", "gone")
    assert said(cli("tenants", "delete", tenant, "--reason", "gone", "--dry-run", "--json"))["total"] > 0
    assert "Aborted" in cli("tenants", "delete", tenant, "--reason", "gone", code=1).output
    assert said(cli("tenants", "delete", tenant, "--reason", "gone", "--yes", "--json"))["state"] == "deleting"
    assert told(shared_database, tenant) == [
        "tenant.created", "tenant.suspended", "tenant.resumed", "tenant.archived", "tenant.deleted"
    ]  # fmt: skip


def test_an_export_is_resumed_in_its_own_file_alone(cli: Cli, tmp_path: Path) -> None:
    rue, elm = (said(cli("tenants", "create", name, "--country", "DE", "--json"))["id"] for name in ("Rue", "Elm"))
    file = tmp_path / "rue.ndjson"
    cli("tenants", "export", rue, "--file", str(file))
    whole = file.read_bytes()
    cli("tenants", "export", "ten_nobody", "--file", str(file), code=1)
    assert file.read_bytes() == whole
    others = [whole, b"notes\n" * 3, b'{"a": 1}', b"[]\n", b"\0", whole.splitlines()[0] + b"\nnotes\n{"]
    for content, tenant in zip(others, (elm, *[rue] * 5), strict=True):
        file.write_bytes(content)
        assert "nothing was written" in cli("tenants", "export", tenant, "--file", str(file), "--resume", code=1).stderr
        assert file.read_bytes() == content
    for begun in (b"", b'{"form'):
        file.write_bytes(begun)
        cli("tenants", "export", rue, "--file", str(file), "--resume")
        assert json.loads(file.read_bytes().splitlines()[-1])["end"] is True


def test_a_file_that_cannot_be_read_or_written_is_a_sentence(cli: Cli, tmp_path: Path) -> None:
    tenant = said(cli("tenants", "create", "Yew", "--country", "DE", "--json"))["id"]
    junk = tmp_path / "junk.json"
    junk.write_bytes(b"\xff\0[")
    arguments = {"tenants export": [tenant, "--resume"]}
    walked = set()
    for path, command in commands(main):
        for option in command.params:
            if isinstance(option.type, click.Path) and option.type.file_okay:
                walked.add(" ".join(path))
                for file in (tmp_path / "nowhere" / "x.json", tmp_path, junk):
                    given = [*path, *arguments.get(" ".join(path), []), option.opts[-1], str(file)]
                    ended = cli(*given, code=None)
                    assert isinstance(ended.exception, SystemExit) or ended.exit_code == 0, (given, ended.output)
                    assert ended.exit_code == 0 or ended.stderr, given
    assert walked == {"portals apply", "portals export", "portals plan", "tenants export"}


def told(database: ScratchDatabase, tenant: str) -> list[str]:
    """What the audit log has of *tenant*, all by the command line."""

    async def read() -> list[str]:
        connection = await asyncpg.connect(database.admin_url)
        try:
            query = """
            select a.action, a.by_id from audit_log a join tenants t on t.id = a.tenant_id where t.public_id = $1
            order by a.id
            """
            rows = await connection.fetch(query, tenant)
        finally:
            await connection.close()
        assert {row["by_id"] for row in rows} == {"command line"}
        return [row["action"] for row in rows]

    return asyncio.run(read())


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = []
    for name, command in group.commands.items():
        inner = (*path, name)
        found += commands(command, inner) if hasattr(command, "commands") else [(inner, command)]
    return found


def test_every_command_that_tells_something_can_tell_it_as_json() -> None:
    silent = {
        ("migrate",),  # exit codes say it all
        ("serve",),
        ("worker",),
        ("sandbox",),
        ("completion",),
        ("portals", "export"),  # a file for people and for `apply`
        ("tenants", "export"),  # lines of JSON, always
    }
    without = {path for path, command in commands(main) if not any("--json" in each.opts for each in command.params)}
    assert without == silent


def test_every_command_says_what_it_does() -> None:
    assert [path for path, command in commands(main) if not (command.help or "").strip()] == []


@pytest.mark.slow
@pytest.mark.parametrize(("words", "offered"), [("colonnade ten", "tenants"), ("colonnade tenants onb", "onboard")])
def test_a_shell_is_told_how_to_complete(words: str, offered: str) -> None:
    environ = os.environ | {
        "_COLONNADE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "colonnade"], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert f"plain,{offered}" in ended.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_for_this_command(cli: Cli, shell: str) -> None:
    script = cli("completion", shell).stdout
    assert f"_COLONNADE_COMPLETE={shell}_complete" in script
    assert cli("completion", "tcsh", code=2)
