"""The backends that have to pass the contract: each is opened by one context manager, listed in BACKENDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mien.app.app import FaceApp
from mien.app.group_ports import Grouping
from mien.app.ports import Bucket, Catalog, Recognizer
from mien.backends.embedded.backend import EmbeddedBackend
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.backends.memory.recognizer import MemoryRecognizer
from mien.domain.policy import Policy
from tests.aws import local
from tests.support.fake_engine import FakeFaceEngine


@dataclass(frozen=True)
class Ports:
    """A backend, and how to let the events run that its bucket made."""

    bucket: Bucket
    recognizer: Recognizer
    catalog: Catalog
    app: FaceApp
    run_events: Callable[[], None]


Open = Callable[[Path, FakeFaceEngine, Policy], AbstractContextManager[Ports]]


@contextmanager
def memory(_: Path, engine: FakeFaceEngine, policy: Policy) -> Iterator[Ports]:
    waiting: list[str] = []
    bucket, recognizer, catalog = MemoryBucket(waiting.append), MemoryRecognizer(engine), MemoryCatalog()
    app = FaceApp(bucket, recognizer, catalog, policy, grouping=Grouping(bucket, recognizer, catalog))

    def run_events() -> None:
        while waiting:
            app.index_upload(waiting.pop())

    yield Ports(bucket, recognizer, catalog, app, run_events)


@contextmanager
def embedded(folder: Path, engine: FakeFaceEngine, policy: Policy) -> Iterator[Ports]:
    backend = EmbeddedBackend(folder, "people", policy, lambda: engine)
    worker = backend.worker(threads=1)

    def run_events() -> None:
        while worker.run_once():
            pass

    with backend.app:
        yield Ports(backend.bucket, backend.recognizer, backend.catalog, backend.app, run_events)


@contextmanager
def aws(folder: Path, engine: FakeFaceEngine, policy: Policy) -> Iterator[Ports]:
    with local.storage() as (bucket, catalog), local.wire_api(folder, engine) as url:
        recognizer = local.recognizer(url)
        app = FaceApp(bucket, recognizer, catalog, policy)

        def run_events() -> None:
            for key in bucket.keys("uploaded/"):  # at least once, in any order: why not all of them
                app.index_upload(key)

        yield Ports(bucket, recognizer, catalog, app, run_events)


BACKENDS: dict[str, Open] = {"memory": memory, "embedded": embedded, "aws": aws}
