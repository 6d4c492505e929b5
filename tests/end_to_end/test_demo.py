"""`colonnade demo` as a program: it keeps its data, stops whole, and says which port is taken."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.end_to_end.demo import call, running_demo


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _socket_of(database_url: str) -> Path:
    return Path(unquote(parse_qs(urlsplit(database_url).query)["host"][0])) / ".s.PGSQL.5432"


@pytest.mark.slow
def test_the_demo_starts_again_with_its_data_and_leaves_nothing_behind(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_demo(data) as first:
        pass
    for url in (first.said["base_url"], first.said["sandbox_url"], first.said["site_url"]):
        assert not _answers(_port(url))
    assert not _socket_of(first.said["database_url"]).exists()
    with running_demo(data) as second:
        for field in ("platform_key", "tenants"):
            assert second.said[field] == first.said[field]
        granted = second.entitlements(0, "ada")
        assert granted == {"plant-library": True, "beds": 3, "gardeners": 2}
        second.stripe("POST", f"/v1/subscriptions/{second.tenant(0)['customers'][0]['subscription']}", "metadata[a]=b")
        site = call("GET", f"{second.said['site_url']}/fern-and-field/ada")
        assert re.search(r"<button[^>]*>Manage billing</button>", site.content.decode())


@pytest.mark.slow
def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = [
            sys.executable,
            "-m",
            "colonnade",
            "demo",
            "--port",
            str(port),
            "--data-dir",
            str(tmp_path / "data"),
        ]
        ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"Port {port} is taken" in ended.stderr
    assert "Traceback" not in ended.stderr
