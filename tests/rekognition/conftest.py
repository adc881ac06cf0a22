"""A server for all tests that accepts any signature, a factory for servers with other settings, and photos."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from mien.gallery import Gallery
from mien.rekognition.server import create_app
from mien.rekognition.settings import SigV4, WireSettings
from tests.support.fake_engine import FakeFaceEngine
from tests.support.markers import CAST
from tests.support.painter import photo_of, photos_of

from .wire_server import Running, running

OPEN = WireSettings(sigv4=SigV4.ACCEPT_ANY)
Serve = Callable[..., Running]


@pytest.fixture(scope="session")
def serve(engine: FakeFaceEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
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
    """The painted photos that tests name: a group of five, one without a face, two of one person, one of another."""

    five = photo_of(*CAST[:5])
    nobody = photo_of()
    same = photos_of("Salma", 2)
    stranger = photo_of("Sheryl")


@pytest.fixture(scope="session")
def album() -> type[Album]:
    return Album
