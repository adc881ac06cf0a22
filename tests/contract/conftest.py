"""Every test here runs on every backend; those that look at faces use the real engine and real photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mien.engine import FaceEngine
from mien.policy import Policy
from tests.contract.backends import BACKENDS, Ports


@pytest.fixture(scope="session")
def engine() -> FaceEngine:
    return FaceEngine()


@pytest.fixture(params=BACKENDS)
def open_ports(
    request: pytest.FixtureRequest, tmp_path: Path, engine: FaceEngine
) -> Iterator[Callable[[Policy], Ports]]:
    """Opens the backend under test with a policy of the test's choice."""
    with ExitStack() as opened:
        yield lambda policy: opened.enter_context(BACKENDS[request.param](tmp_path, engine, policy))


@pytest.fixture
def ports(open_ports: Callable[[Policy], Ports]) -> Ports:
    return open_ports(Policy())


def _portraits(folder: Path) -> list[bytes]:
    return [photo.read_bytes() for photo in sorted(folder.iterdir())]


@pytest.fixture
def robert(lfw_dev: Path) -> list[bytes]:
    """Five portraits of one person."""
    return _portraits(lfw_dev / "Robert_De_Niro")


@pytest.fixture
def venus(lfw_dev: Path) -> list[bytes]:
    """Five portraits of another."""
    return _portraits(lfw_dev / "Venus_Williams")


@pytest.fixture
def group(photos: Path) -> bytes:
    """Three strangers."""
    return (photos / "groups" / "011_3.jpg").read_bytes()


@pytest.fixture
def landscape(photos: Path) -> bytes:
    """Nobody."""
    return (photos / "groups" / "017_0.jpg").read_bytes()
