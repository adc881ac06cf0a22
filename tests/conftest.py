"""Shared fixtures: a fake engine and painted people for everything but recognition itself, which needs real photos."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mien.engine import FaceEngine
from tests.support import painter
from tests.support.fake_engine import FakeFaceEngine

LFW = Path(os.environ.get("MIEN_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "lfw_dev"


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
def lfw_dev() -> Path:
    """One folder per person, 250x250 portraits, and pairs.csv."""
    if not LFW.is_dir():
        pytest.skip(
            f"{LFW} is missing: a part of Labeled Faces in the Wild; MIEN_TEST_DATA names the folder that has it"
        )
    return LFW


@pytest.fixture(scope="session")
def photos() -> Path:
    """groups/, exif/ and bad/: whole photos as a service meets them."""
    folder = LFW.parent / "photos"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; MIEN_TEST_DATA names the folder that has it")
    return folder
