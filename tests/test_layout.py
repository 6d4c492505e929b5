"""The layout's traps, guarded."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_platform_is_a_source_root_and_never_a_package() -> None:
    """A module directly inside would shadow the standard library's `platform` from the checkout's root."""
    assert (ROOT / "platform/colonnade/__init__.py").exists()
    assert not list((ROOT / "platform").glob("*.py"))


def test_the_standard_librarys_platform_is_found_from_the_root() -> None:
    script = "import platform; print(platform.python_version())"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.match(r"3\.\d+", found.stdout)


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "tests").rglob("*.py")}
    folders |= {above for folder in folders for above in folder.parents if above.is_relative_to(ROOT / "tests")}
    assert len(folders) > 5
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


@pytest.mark.parametrize("package", ["platform/colonnade", "tenants/colonnade_tenants", "sandbox/colonnade_sandbox"])
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


def test_what_is_installed_is_pinned_exactly_and_once() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = [normal(line.split("==")[0]) for line in lines]
    assert len(set(pinned)) == len(pinned)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    wanted += project["optional-dependencies"]["embedded"]
    names = {normal(re.split(r"[\[><=;]", requirement)[0]) for requirement in wanted} - {"colonnade"}
    assert names <= set(pinned)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.slow
def test_the_wheel_holds_all_packages_and_the_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={tmp_path}", str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sandbox = dict.fromkeys(("colonnade_sandbox", "colonnade_portal_page"), "sandbox")
    sources = {"colonnade": "platform", "colonnade_tenants": "tenants", **sandbox}
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == sources.keys()
    for package, root in sources.items():
        files = [path for path in (ROOT / root / package).rglob("*") if path.is_file() and path.suffix != ".pyc"]
        assert {str(path.relative_to(ROOT / root)) for path in files} <= names
    migrations = [path for path in (ROOT / "migrations").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {f"colonnade/_migrations/{path.relative_to(ROOT / 'migrations')}" for path in migrations} <= names
