"""A server to attack, for all tests of a module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.hostile.target import Target
from tests.support.fake_engine import use_fake_engine


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with pytest.MonkeyPatch.context() as patch:
        use_fake_engine(patch)
        with Target(tmp_path_factory.mktemp("data")).running() as running:
            yield running


def inputs(usual: int) -> int:
    """How many inputs a test tries: MIEN_TEST_FUZZ, or its usual number."""
    return int(os.environ.get("MIEN_TEST_FUZZ", usual))
