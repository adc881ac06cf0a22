"""A server for all tests that any signature opens, a factory for servers with other settings, and photos."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mien.engine import FaceEngine
from mien.gallery import Gallery
from mien.rekognition.server import create_app
from mien.rekognition.settings import SigV4, WireSettings

from .wire_server import Running, running

OPEN = WireSettings(sigv4=SigV4.ACCEPT_ANY)
Serve = Callable[..., Running]


@pytest.fixture(scope="session")
def engine() -> FaceEngine:
    return FaceEngine()


@pytest.fixture(scope="session")
def serve(engine: FaceEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start a server with these settings on a gallery of its own."""
    with ExitStack() as stack:

        def start(settings: WireSettings = OPEN, *, engine: Any = engine, **more: Any) -> Running:
            gallery = Gallery(tmp_path_factory.mktemp("gallery"), engine.model_version)
            stack.callback(gallery.close)
            return stack.enter_context(running(create_app(engine, gallery, settings=settings, **more)))

        yield start


@pytest.fixture(scope="session")
def server(serve: Serve) -> Running:
    return serve()


@pytest.fixture(scope="session")
def client(server: Running) -> Any:
    return server.client()


@pytest.fixture
def collection(client: Any) -> Iterator[str]:
    """An empty collection; what is in it goes with it."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    client.create_collection(CollectionId=name)
    yield name
    client.delete_collection(CollectionId=name)


class Album:
    """The photos that tests name: a group of five, one without a face, three of one person, one of another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.five = self.group("000_5")
        self.nobody = self.group("017_0")
        self.same = [self.group("007_B"), self.group("008_B")]
        self.stranger = self.group("009_C")

    def group(self, name: str) -> bytes:
        (path,) = (self._folder / "groups").glob(f"{name}.*")
        return path.read_bytes()


@pytest.fixture(scope="session")
def album(photos: Path) -> Album:
    return Album(photos)
