"""How the demo can fail, each with the sentence that is shown.

DemoError
├── DemoRunning
├── PortTaken
├── ChildEnded
└── CallFailed
"""

from pathlib import Path


class DemoError(Exception):
    """The demo cannot run."""


class DemoRunning(DemoError):
    """Another demo uses the same data."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(f"Another demo uses {data_dir}: stop it, or name another folder with --data-dir")


class PortTaken(DemoError):
    """A port that was asked for is in use by another program."""

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} is taken by another program; name another one, or leave --port out")


class ChildEnded(DemoError):
    """A process of the demo ended, or did not become ready."""


class CallFailed(DemoError):
    """An answer that is not a success."""
