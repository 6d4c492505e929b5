"""The embedded PostgreSQL's files: its locks, its socket's folder, what a killed server leaves."""

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from colonnade.database.server_user import EmbeddedPostgresError, give

PORT = 5432
_LONGEST_SOCKET_PATH = 103  # bytes that sockaddr_un.sun_path has on every system (Linux: 107)
_NO_SUCH_PID = 2**31 - 1


def open_lock(path: Path) -> int:
    """A descriptor for `flock`, not inherited by child processes. Raises `EmbeddedPostgresError`."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError:
        raise EmbeddedPostgresError(
            f"{path.parent} belongs to another user: choose another COLONNADE_DATA_DIR"
        ) from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` against every other process."""
    lock = open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def socket_folder(home: Path) -> Path:
    """A folder with a short enough path that only the server's user may enter. Raises `EmbeddedPostgresError`."""
    folder = home / "socket"
    # The server reads a comma-separated list of quoted folders.
    if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > _LONGEST_SOCKET_PATH or set(str(folder)) & set(',"'):
        folder = _short_folder(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    owners = {os.geteuid(), home.stat().st_uid}
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid not in owners:
        raise EmbeddedPostgresError(f"{folder} is not a private folder of this user: remove it")
    give(folder, home)
    return folder


def _short_folder(home: Path) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "") if os.geteuid() else ""
    usable = 0 < len(runtime) < 40 and os.access(runtime, os.W_OK)
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:20]
    return Path(runtime if usable else "/tmp", f"colonnade-{name}")  # noqa: S108 - checked to be private


def pid_file_lines(data: Path) -> list[str]:
    """The server's pid, data folder, start time, port, socket folder, …; empty if it stopped cleanly."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def forget_dead_server(data: Path) -> None:
    """Let a new server start although the dead one's pid counts as alive.

    It may be a zombie's (for ever so in a container whose first process does not reap) or by now another
    program's. The pid is replaced rather than the file removed: PostgreSQL finds in it the shared memory that
    the dead server's children may still be writing to.
    """
    pid, *rest = pid_file_lines(data) or [""]
    if not pid or not Path("/proc/self").exists():
        return
    try:
        if os.path.samestat(Path(f"/proc/{pid}/cwd").stat(), data.stat()):
            return
    except PermissionError:  # somebody else's process: PostgreSQL knows that it cannot be its own
        return
    except FileNotFoundError:
        pass
    (data / "postmaster.pid").write_text("\n".join([str(_NO_SUCH_PID), *rest, ""]))
    if len(rest) > 3:
        Path(rest[3], f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
