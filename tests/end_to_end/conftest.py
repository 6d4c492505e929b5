"""One demo for the whole folder; each test makes customers of its own in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.demo import Demo, running_demo
from tests.openapi_replies import recorded


@pytest.fixture(scope="session", autouse=True)
def replies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every reply that the demos' local Stripe gave."""
    with recorded(tmp_path_factory.mktemp("sandbox")) as file, pytest.MonkeyPatch.context() as environ:
        environ.setenv("STRIPE_SANDBOX_RECORD", str(file))
        yield file


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, replies: Path) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("demo") / "data") as running:
        yield running
