"""Whole tenants from one file: planned, applied once, exported the same, and refused where something is wrong."""

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from colonnade.as_code import applying, exporting, files, planning
from colonnade.as_code.document import Document
from colonnade.as_code.planning import Step
from colonnade.commands.portals import _show
from colonnade.errors import Invalid
from colonnade.portals.differences import Difference
from tests.platform.api import RETURN_URL, SECRET_KEY, TenantApi
from tests.platform.portals import edit, post, services_of, writes

TEXT = """
tenants:
  {tenant}:
    branding:
      name: Fern
      primary_color: "#00AA55"
      privacy_policy_url: https://fern.example/privacy
    features:
      export: {{kind: flag, name: Export}}
      seats: {{kind: quantity, name: Seats, unit: seats}}
      projects: {{kind: limit, name: Projects}}
    plans:
      pro:
        name: Pro
        price: {price}
        grants: [{{feature: seats, value: 5}}, {{feature: export, value: true}},
          {{feature: projects, value: null}}]
    portal:
      drift: revert
      configurations:
        main:
          default: true
          default_return_url: {back}
          features:
            subscription_update:
              enabled: true
              default_allowed_updates: [price]
              products: [{{plan: pro}}]
        small:
          features: {{invoice_history: {{enabled: true}}}}
"""


@pytest.fixture
async def file(fern: TenantApi, tmp_path: Path) -> Path:
    """A file about Fern, who has nothing of it yet."""
    price = await fern.api.sandbox.price()
    path = tmp_path / "tenants.yaml"
    path.write_text(TEXT.format(tenant=fern.id, price=price["id"], back=RETURN_URL))
    return path


async def planned(tenant: TenantApi, path: Path) -> list[Step]:
    async with services_of(tenant) as services:
        return await planning.plan(services, files.load(path))


async def applied(tenant: TenantApi, path: Path) -> list[Step]:
    async with services_of(tenant) as services:
        return await applying.apply(services, files.load(path), "cli:ada")


async def exported(tenant: TenantApi) -> Document:
    async with services_of(tenant) as services:
        return await exporting.export(services, [tenant.id])


def done(steps: list[Step]) -> dict[str, str]:
    return {step.thing: step.action for step in steps}


async def posts(tenant: TenantApi) -> int:
    return len(await tenant.api.sandbox.requests())


async def test_one_configuration_of_a_new_file_becomes_the_default(fern: TenantApi, file: Path) -> None:
    defaults = [change for step in await planned(fern, file) for change in step.changes if change.field == "default"]
    assert [(change.before, change.after) for change in defaults] == [(False, True)]


async def test_a_file_is_written_in_the_format_of_its_name_or_refused(fern: TenantApi, tmp_path: Path) -> None:
    document = await exported(fern)
    for name in ("now.yaml", "now.yml", "now.JSON"):
        path = tmp_path / name
        path.write_text(files.writer(path)(document))
        assert files.load(path) == document
    json.loads((tmp_path / "now.JSON").read_text())
    for name in ("now.toml", "now.txt", "now"):
        with pytest.raises(Invalid, match=r"name the file \.yaml, \.yml or \.json"):
            files.writer(tmp_path / name)


async def test_a_plan_tells_all_of_it_and_writes_nothing(fern: TenantApi, file: Path) -> None:
    before = await posts(fern)
    steps = await planned(fern, file)
    assert done(steps) == {
        "feature export": "create",
        "feature projects": "create",
        "feature seats": "create",
        "plan pro": "create",
        "branding": "update",
        "portal policy": "update",
        "portal configuration main": "create",
        "portal configuration small": "create",
    }
    told = {change.field: change.after for step in steps for change in step.changes}
    assert told["business_profile.privacy_policy_url"] == "https://fern.example/privacy"
    assert await posts(fern) == before
    for path in ("/features", "/plans", "/portal-configurations"):
        assert (await fern.get(path))["data"] == []
    assert (await fern.get("/portal-policy"))["updated_at"] is None


async def test_applied_twice_it_writes_once(fern: TenantApi, file: Path) -> None:
    await applied(fern, file)
    main = await fern.get("/portal-configurations/main")
    assert (main["state"], main["version"], main["default"]) == ("applied", 1, True)
    told = await fern.call("GET", "/portal-configurations/main/versions", key=fern.api.key)
    version = told.json()["data"][0]
    assert (version["change"], version["author"]) == ("file", "cli:ada")
    assert (await fern.get("/plans/pro"))["grants"][0]["feature"] in ("export", "projects", "seats")
    assert (await fern.get("/branding"))["primary_color"] == "#00aa55"
    before = await posts(fern)
    assert set(done(await planned(fern, file)).values()) == {"none"}
    await applied(fern, file)
    assert await posts(fern) == before


async def test_what_is_applied_is_in_the_audit_log_by_the_command_line(fern: TenantApi, file: Path) -> None:
    await applied(fern, file)
    query = """
    select target, action, by_id from audit_log
    where tenant_id = (select id from tenants where public_id = $1) and action <> 'tenant.created'
    """
    lines = await fern.api.sql(query, fern.id)
    root = f"tenants/{fern.id}"
    assert {tuple(row) for row in lines} == {
        (f"{root}/{path}", action, "command line")
        for path, action in (
            ("features/export", "feature.changed"),
            ("features/projects", "feature.changed"),
            ("features/seats", "feature.changed"),
            ("plans/pro", "plan.changed"),
            ("branding", "branding.changed"),
            ("portal-policy", "portal_policy.changed"),
            ("portal-configurations/main", "portal_configuration.changed"),
            ("portal-configurations/small", "portal_configuration.changed"),
        )
    }
    assert len(lines) == 8
    await applied(fern, file)
    assert len(await fern.api.sql(query, fern.id)) == 8, "nothing was done, so nothing is logged"


async def test_the_audit_log_tells_what_applying_changed(fern: TenantApi, file: Path) -> None:
    await applied(fern, file)
    edited = (
        file.read_text()
        .replace("unit: seats", "unit: desks")
        .replace("value: 5", "value: 6")
        .replace("00AA55", "00AA66")
        .replace("drift: revert", "drift: report")
        .replace("small:\n", "small:\n          business_profile: {headline: Small}\n")
    )
    file.write_text(edited)
    await applied(fern, file)
    query = """
    select target, before::text, after::text from audit_log
    where tenant_id = (select id from tenants where public_id = $1) and action <> 'tenant.created' order by id
    """
    lines = [
        (target.split("/", 2)[2], *(json.loads(each or "null") for each in fields))
        for target, *fields in await fern.api.sql(query, fern.id)
    ]
    seats = {"kind": "quantity", "name": "Seats", "unit": "seats"}
    (created,) = [after for path, before, after in lines[:8] if path == "features/seats" and before is None]
    assert {name: created[name] for name in seats} == seats
    assert all(after for _, _, after in lines[:8])
    changes = {path: (before, after) for path, before, after in lines[8:]}
    values = [{each["feature"]: each["value"] for each in side["grants"]} for side in changes.pop("plans/pro")]
    assert [each["seats"] for each in values] == [5, 6]
    state = {"active": True, "default": False}
    brand = {"name": "Fern", "privacy_policy_url": "https://fern.example/privacy"}
    assert changes == {
        "features/seats": ({"unit": "seats"}, {"unit": "desks"}),
        "branding": ({"primary_color": "#00aa55", **brand}, {"primary_color": "#00aa66", **brand}),
        "portal-policy": ({"drift": "revert"}, {"drift": "report"}),
        "portal-configurations/small": (
            {"business_profile.headline": None, "version": 1, **state},
            {"business_profile.headline": "Small", "version": 2, **state},
        ),
    }


async def test_to_a_frozen_tenant_nothing_is_applied_and_its_neighbour_of_the_file_waits(
    fern: TenantApi, kiln: TenantApi, file: Path
) -> None:
    rest = {"features": {"export": {"kind": "flag", "name": "Export"}}}
    whole = msgspec.yaml.decode(file.read_bytes())
    file.write_bytes(msgspec.yaml.encode({"tenants": whole["tenants"] | {kiln.id: rest}}))
    async with services_of(fern) as services:
        assert {fern.id, kiln.id} <= (await exporting.export(services, [])).tenants.keys()
    archived = await fern.call("POST", "/archive", {"reason": "it moved away"}, key=fern.api.key)
    assert archived.status_code == 200
    with pytest.raises(Invalid, match=f"tenants.{fern.id}: This tenant is archived: it moved away."):
        await applied(fern, file)
    written = "select from features f join tenants t on t.id = f.tenant_id where t.public_id = any ($1)"
    assert await fern.api.sql(written, [fern.id, kiln.id]) == []
    async with services_of(fern) as services:
        assert fern.id not in (await exporting.export(services, [])).tenants


async def test_a_changed_line_is_a_changed_field(fern: TenantApi, file: Path) -> None:
    await applied(fern, file)
    file.write_text(file.read_text().replace("value: 5", "value: 6").replace("default_return_url", "#"))
    changed = [step for step in await planned(fern, file) if step.action != "none"]
    assert {step.thing: [change.field for change in step.changes] for step in changed} == {
        "plan pro": ["grants"],
        "portal configuration main": ["default_return_url"],
    }
    await applied(fern, file)
    assert (await fern.get("/portal-configurations/main"))["version"] == 2


async def test_the_default_moves_from_one_to_another(fern: TenantApi, file: Path) -> None:
    await applied(fern, file)
    text = file.read_text().replace("          default: true\n", "          default: false\n")
    file.write_text(text.replace("        small:\n", "        small:\n          default: true\n"))
    changed = [step for step in await planned(fern, file) if step.action != "none"]
    assert [(step.thing, [change.field for change in step.changes]) for step in changed] == [
        ("portal configuration small", ["default"])
    ]
    before = await writes(fern)
    await applied(fern, file)
    assert await writes(fern) == before
    assert [row["default"] for row in (await fern.get("/portal-configurations"))["data"]] == [False, True]


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
async def test_what_is_exported_applies_to_nothing_and_holds_no_secret(
    fern: TenantApi, file: Path, tmp_path: Path, suffix: str
) -> None:
    await applied(fern, file)
    document = await exported(fern)
    text = files.dump(document)
    assert files.dump(await exported(fern)) == text
    path = tmp_path / f"out{suffix}"
    path.write_text(text if suffix == ".yaml" else as_json(document))
    assert files.load(path) == document
    steps = await planned(fern, path)
    assert set(done(steps).values()) == {"none"}
    assert len(steps) == 7  # the policy is the same
    for secret in (fern.key, fern.api.key, fern.api.sandbox.key, SECRET_KEY, "whsec_", "sk_test", "bpc_", "acct_"):
        assert secret not in text


def as_json(document: Document) -> str:
    return msgspec.json.encode(document).decode()


async def test_toml_says_the_same(fern: TenantApi, tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(
        f'[tenants.{fern.id}.portal.configurations.main]\ndefault_return_url = "{RETURN_URL}"\n'
        f"[tenants.{fern.id}.portal.configurations.main.features.invoice_history]\nenabled = true\n"
    )
    assert done(await applied(fern, path)) == {"portal configuration main": "create"}
    assert (await fern.get("/portal-configurations/main"))["features"]["invoice_history"]["enabled"]


async def test_an_edit_at_stripe_is_told_by_the_plan(
    fern: TenantApi, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await applied(fern, file)
    await edit(fern, await fern.get("/portal-configurations/main"), business_profile__headline="Hello")
    (step,) = [step for step in await planned(fern, file) if step.drift]
    assert (step.thing, step.action) == ("portal configuration main", "none")
    assert step.drift == [Difference("business_profile.headline", None, "Hello")]
    _show([step], as_json=False)
    assert 'at Stripe business_profile.headline is "Hello"' in capsys.readouterr().out
    await post(fern, "/portal-configurations/main/check")
    found = (await fern.get("/portal-configurations/main"))["drift"]["differences"]
    assert found == msgspec.to_builtins(step.drift), "the configuration says the same"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: flag", "kind: colour", "features.export.kind"),
        ("value: 5", "value: -5", "plans.pro.grants[0].value"),
        ("feature: seats", "feature: none", "plans.pro.grants[0].feature"),
        ("plan: pro", "plan: none", "main.features.subscription_update.products[0].plan"),
        ("#00AA55", "red", "branding.primary_color"),
        ("https://fern", "http://fern", "branding.privacy_policy_url"),
        ("drift: revert", "drift: undo", "portal.drift"),
        ("https://shop", "https://elsewhere", "main.default_return_url"),
        ("small:", "Small:", "configurations.Small.name"),
        ("small:", "small:\n          default: true", "several"),
        ("small:", "main:", "there twice"),
        ("enabled: true", "enabled: maybe", "enabled"),
        ("branding:", "key: secret\n    branding:", ".key: There is no such field"),
        ("tenants:\n", "tenants: {\n", "flow mapping"),
        ("ten_", "tex_", "tenants.tex_"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_of_the_file_is_done(
    fern: TenantApi, file: Path, old: str, new: str, said: str
) -> None:
    before = await posts(fern)
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(Invalid) as error:
        await applied(fern, file)
    assert said in error.value.message
    assert await posts(fern) == before
    assert (await fern.get("/features"))["data"] == []


async def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tenants.ini"
    path.write_text("")
    with pytest.raises(Invalid, match=r"\.toml"):
        files.load(path)


def test_what_comes_on_standard_input_is_read_as_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, name in ((b"tenants: {ten_1: {}}", "ten_1"), (b'{"tenants": {"ten_2": {}}}', "ten_2")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        assert list(files.load(Path("-")).tenants) == [name]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"tenants: []")))
    with pytest.raises(Invalid, match="standard input: tenants: Must be an object, not a list"):
        files.load(Path("-"))


@pytest.mark.slow
async def test_exit_codes_tell_whether_anything_changes(fern: TenantApi, file: Path) -> None:
    ended = await colonnade(fern, "plan", "-f", str(file))
    assert ended.returncode == 2, ended
    assert "+ portal configuration main" in ended.stdout
    file.write_text("tenants: []")
    broken = await colonnade(fern, "plan", "-f", str(file))
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "tenants.yaml" in broken.stderr
    assert "Traceback" not in broken.stderr


@pytest.mark.slow
async def test_applied_at_the_command_line_nothing_is_left_to_do(fern: TenantApi, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    ended = [
        await colonnade(fern, *words)
        for words in (
            ("apply", "-f", str(file), "--author", "ada"),
            ("plan", "-f", str(file)),
            ("export", "-f", str(out), "--tenant", fern.id),
            ("plan", "-f", str(out), "--json"),
        )
    ]
    assert [each.returncode for each in ended] == [0, 0, 0, 0], ended
    piped = await colonnade(fern, "export", "-f", "-", "--tenant", fern.id)
    assert piped.stdout == out.read_text()
    read = await colonnade(fern, "plan", "-f", "-", stdin=piped.stdout)
    assert (read.returncode, read.stdout) == (0, ""), read
    assert not Path("-").exists()
    assert ended[1].stdout == ""
    assert {step["action"] for step in json.loads(ended[3].stdout)} == {"none"}


async def colonnade(tenant: TenantApi, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `colonnade portals …` on the test's database and sandbox."""
    environ: dict[str, Any] = {name: text for name, text in os.environ.items() if not name.startswith("COLONNADE_")}
    environ |= {
        "COLONNADE_DATABASE_URL": tenant.api.database.service_url,
        "COLONNADE_SECRET_KEY": SECRET_KEY,
        "COLONNADE_STRIPE_API_KEY": tenant.api.sandbox.key,
        "COLONNADE_STRIPE_API_BASE": tenant.api.sandbox.url,
    }
    command = [sys.executable, "-m", "colonnade", "portals", *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, env=environ, input=stdin, capture_output=True, text=True, timeout=100, check=False
    )
