"""The embedded backend on a temporary folder, with a fake engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from tests.app.served import Served
from tests.support import painter
from tests.support.fake_engine import FakeFaceEngine
from tests.support.process import free_port, serve


@pytest.fixture
def start(tmp_path: Path, engine: FakeFaceEngine) -> Iterator[Callable[[], EmbeddedBackend]]:
    """Opens the data folder, as often as a test wants: each is what another process would open."""
    with ExitStack() as opened:

        def start() -> EmbeddedBackend:
            backend = EmbeddedBackend(tmp_path / "data", "people", Policy(), lambda: engine)
            opened.enter_context(backend.app)
            return backend

        yield start


@pytest.fixture
def backend(start: Callable[[], EmbeddedBackend]) -> EmbeddedBackend:
    return start()


@pytest.fixture
def portraits() -> dict[str, list[bytes]]:
    """Five photos each of four people."""
    return {name: painter.photos_of(name) for name in ("Robert", "Venus", "Salma", "Sheryl")}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    port = free_port()
    process = serve(tmp_path / "data", port)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield Served(process, client, tmp_path / "data")
    finally:
        process.kill()
        process.wait()
