"""Shared fixtures: where the real photos lie. They are not part of the project, so tests that need them skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PHOTO_DATA = Path(os.environ.get("MIEN_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def _folder(name: str) -> Path:
    folder = PHOTO_DATA / name
    if not folder.is_dir():
        pytest.skip(f"no photos at {folder} (set MIEN_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def lfw_dev() -> Path:
    """One folder per person, 250x250 portraits, and pairs.csv."""
    return _folder("lfw_dev")


@pytest.fixture(scope="session")
def photos() -> Path:
    """groups/, exif/ and bad/: whole photos as a service meets them."""
    return _folder("photos")
