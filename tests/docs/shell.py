"""The commands of a page, run in one shell as a reader pastes them, and what the page says that they print."""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_STEP = re.compile(
    r"(?:^<!-- (?P<marker>[a-z]+): (?P<name>[a-z-]+) -->\n)|"
    r"(?:^```sh\n(?P<commands>.*?)^```\n(?:```(?:text|json)\n(?P<prints>.*?)^```\n)?)",
    re.DOTALL | re.MULTILINE,
)
_DONE = "--- the step has ended ---"


class Step(NamedTuple):
    """A block of commands and what they print (None: not said), or a marker: what is done by hand there."""

    commands: str = ""
    prints: str | None = None
    by_hand: str | None = None

    @property
    def only_asks(self) -> bool:
        """It may be repeated until what it waits for has come."""
        return not re.search(r"\b(?:send|POST|PUT|create|import|provision|reencrypt|rotate)\b", self.commands)


def steps(page: str) -> list[Step]:
    """All of *page*'s, in order."""
    found = []
    for match in _STEP.finditer(page):
        if match["marker"]:
            found.append(Step(by_hand=f"{match['marker']}: {match['name']}"))
        else:
            found.append(Step(match["commands"], match["prints"]))
    return found


def printed(expected: str, said: str) -> bool:
    """Whether *said* is *expected*, in which `…` stands for anything, on a line of its own for whole lines."""
    parts = re.split(r"(^…\n|…)", expected, flags=re.MULTILINE)
    pattern = {"…\n": r"(?:.*\n)+?", "…": r"[^\n]*?"}
    return re.fullmatch("".join(pattern.get(part, re.escape(part)) for part in parts), said) is not None


class Shell:
    """One bash for all steps of a page: variables, functions and the folder stay. A command that fails ends it."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path, errors: Path) -> None:
        self._process, self._folder, self._errors = process, folder, errors

    def run(self, commands: str) -> str:
        """What *commands* print. Raises `AssertionError` where one of them fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        step = self._folder / "step.sh"
        step.write_text(commands, "utf-8")
        self._process.stdin.write(f". {step} < /dev/null\nprintf '%s\\n' '{_DONE}'\n")
        self._process.stdin.flush()
        said = []
        for line in self._process.stdout:
            if line == f"{_DONE}\n":
                return "".join(said)
            said.append(line)
        raise AssertionError(f"failed: {commands}\n{''.join(said)}\n{self._errors.read_text()[-3000:]}")


@contextmanager
def shell(folder: Path, environ: Mapping[str, str]) -> Iterator[Shell]:
    """A shell in *folder*, ended with the block."""
    with tempfile.TemporaryDirectory() as scratch:
        errors = Path(scratch) / "errors"
        with (
            errors.open("w") as stderr,
            subprocess.Popen(
                ["bash", "--noprofile", "--norc", "-e", "-u", "-o", "pipefail"],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield Shell(process, Path(scratch), errors)
            finally:
                os.killpg(process.pid, signal.SIGKILL)  # with what the page left in the background
