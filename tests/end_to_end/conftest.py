"""One demo for the whole folder; each test makes customers of its own in it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.demo import Demo, running_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running_demo(tmp_path_factory.mktemp("demo") / "data") as running:
        yield running
