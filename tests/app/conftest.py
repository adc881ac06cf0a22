"""The embedded backend on a temporary folder, with the real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mien.backends.embedded.machine import Machine
from mien.engine import FaceEngine
from mien.policy import Policy


@pytest.fixture(scope="session")
def engine() -> FaceEngine:
    return FaceEngine()


@pytest.fixture
def start(tmp_path: Path, engine: FaceEngine) -> Iterator[Callable[[], Machine]]:
    """Opens the data folder, as often as a test wants: each is what another process would open."""
    with ExitStack() as opened:

        def start() -> Machine:
            machine = Machine(tmp_path / "data", "people", Policy(), lambda: engine)
            opened.enter_context(machine.app)
            return machine

        yield start


@pytest.fixture
def machine(start: Callable[[], Machine]) -> Machine:
    return start()


@pytest.fixture
def portraits(lfw_dev: Path) -> dict[str, list[bytes]]:
    """Five photos each of four people."""
    people = ("Robert_De_Niro", "Venus_Williams", "Salma_Hayek", "Sheryl_Crow")
    return {name: [photo.read_bytes() for photo in sorted((lfw_dev / name).iterdir())] for name in people}
