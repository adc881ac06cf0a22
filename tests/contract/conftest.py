"""Every test here runs on every backend; faces are painted, and a fake engine reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mien.domain.policy import Policy
from tests.contract.backends import BACKENDS, Ports
from tests.support.fake_engine import FakeFaceEngine


@pytest.fixture(params=BACKENDS)
def open_ports(
    request: pytest.FixtureRequest, tmp_path: Path, engine: FakeFaceEngine
) -> Iterator[Callable[[Policy], Ports]]:
    """Opens the backend under test with a policy of the test's choice."""
    with ExitStack() as opened:
        yield lambda policy: opened.enter_context(BACKENDS[request.param](tmp_path, engine, policy))


@pytest.fixture
def ports(open_ports: Callable[[Policy], Ports]) -> Ports:
    return open_ports(Policy())


@pytest.fixture
def open_backend(tmp_path: Path, engine: FakeFaceEngine) -> Iterator[Callable[[str], Ports]]:
    """Opens a backend by its name."""
    with ExitStack() as opened:
        yield lambda name: opened.enter_context(BACKENDS[name](tmp_path, engine, Policy()))
