"""The user that the embedded PostgreSQL runs as: PostgreSQL refuses to be root."""

import os
import pwd
import subprocess
from pathlib import Path


class EmbeddedPostgresError(Exception):
    """PostgreSQL could not be created, started or stopped; the message says why."""


def server_command(home: Path, binaries: Path) -> list[str]:
    """What root runs the server of `home` under; empty for an ordinary user. Raises `EmbeddedPostgresError`.

    A user namespace shows root to the server as nobody and leaves every owner and permission as it is. Where
    namespaces are forbidden (Docker's default seccomp profile), and where the folder has another owner, the
    server really is that user: nobody becomes the owner of `home`. Folders above it are never changed.
    """
    if os.geteuid() != 0:
        return []
    found, nobody = home.stat(), pwd.getpwnam("nobody")
    namespace = ["unshare", "--user", f"--map-user={nobody.pw_uid}"]
    if found.st_uid == 0 and _reaches(namespace, home, binaries):
        return namespace
    uid, gid = (found.st_uid, found.st_gid) if found.st_uid else (nobody.pw_uid, nobody.pw_gid)
    setpriv = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    if not _reaches(setpriv, home, binaries):
        raise EmbeddedPostgresError(
            "PostgreSQL cannot run as root, and here neither a user namespace nor the user with id"
            f" {uid} reaches both {binaries} and {home.parent}:"
            " run as an ordinary user, move them, or set COLONNADE_DATABASE_URL"
        )
    if found.st_uid == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)
    return setpriv


def give(path: Path, home: Path) -> None:
    """Make the server's user the owner of `path`, as it is of `home`."""
    if os.geteuid() == 0:
        os.chown(path, home.stat().st_uid, home.stat().st_gid, follow_symlinks=False)


def _reaches(prefix: list[str], home: Path, binaries: Path) -> bool:
    script = 'cd "$0" && "$1" --version'
    probe = [*prefix, "sh", "-c", script, str(home.parent), str(binaries / "postgres")]
    try:
        done = subprocess.run(probe, cwd="/", capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0
