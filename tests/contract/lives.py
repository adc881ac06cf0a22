"""A data folder, or its counterpart in memory, that outlives crashes: what the test of lives acts on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any, Protocol

from mien.app.app import FaceApp
from mien.app.ports import Bucket, Catalog, Recognizer
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.backends.embedded.backend import EmbeddedBackend
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.backends.memory.recognizer import MemoryRecognizer
from mien.domain.errors import ImageNotFound
from mien.domain.policy import Policy
from mien.security.audit import Action, Activity
from tests.aws import local
from tests.support.fake_engine import FakeFaceEngine

CHANGING = {
    "bucket": ("put", "delete", "delete_folder", "delete_remains"),
    "recognizer": ("index", "index_face", "associate", "delete", "forget"),
    "catalog": ("put", "delete"),
}


class PowerCut(BaseException):
    """Ends whatever runs, as a crash would: nothing catches it."""


class World(Protocol):
    """A backend with what people do to its photos past the application."""

    CLOCK_SECONDS: float
    """How exactly the bucket tells when a photo was stored."""

    app: FaceApp
    bucket: Bucket
    recognizer: Recognizer
    catalog: Catalog

    def write(self, path: str, body: bytes) -> None:
        """Put a file there by hand, in place of one that is there."""

    def remove(self, path: str) -> None:
        """Delete a file by hand."""

    def restart(self) -> None:
        """Drop the application without closing it, and open it again."""

    def settle(self) -> None:
        """Let everything happen that happens by itself."""

    def note(self, user_id: str | None) -> None:
        """Leave an entry about a person in the audit log, where the backend keeps one beside its records."""

    def close(self) -> None:
        """Close whatever was opened."""


class MemoryWorld:
    """The stores survive in memory; events of what is done by hand wait in a list."""

    CLOCK_SECONDS = 0.0

    def __init__(self) -> None:
        self._waiting: list[tuple[str, str]] = []
        self.bucket = MemoryBucket(lambda key: self._waiting.append(("index_upload", key)))
        self.recognizer, self.catalog = MemoryRecognizer(FakeFaceEngine()), MemoryCatalog()
        self.restart()

    def write(self, path: str, body: bytes) -> None:
        self.bucket.put(path, body, "image/jpeg", {})

    def remove(self, path: str) -> None:
        self.bucket.delete([path])
        self._waiting.append(("remove_upload", path))

    def restart(self) -> None:
        for port in (self.bucket, self.recognizer, self.catalog):
            for name in set(vars(port)) & {name for names in CHANGING.values() for name in names}:
                delattr(port, name)
        self.app = FaceApp(self.bucket, self.recognizer, self.catalog)

    def settle(self) -> None:
        self.app.resume_erasures()
        while self._waiting:
            handler, path = self._waiting[0]
            with suppress(ImageNotFound):
                getattr(self.app, handler)(path)
            self._waiting.pop(0)  # a handler that was cut off gets the event again
        self.app.reconcile(repair=True, force=True, grace=0)

    def note(self, user_id: str | None) -> None: ...

    def close(self) -> None: ...


class EmbeddedWorld:
    """A data folder; its files are changed by hand as a file manager would, and only what is written is announced."""

    CLOCK_SECONDS = 0.01

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._opened: list[EmbeddedBackend] = []
        self._written: list[str] = []
        self.restart()

    def write(self, path: str, body: bytes) -> None:
        file = Path(self._folder.name, "bucket", path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        self._written.append(path)

    def remove(self, path: str) -> None:
        Path(self._folder.name, "bucket", path).unlink()

    def restart(self) -> None:
        engine = FakeFaceEngine()
        self._backend = EmbeddedBackend(Path(self._folder.name), "people", Policy(), lambda: engine)
        self._opened.append(self._backend)
        self.app, self.bucket = self._backend.app, self._backend.bucket
        self.recognizer, self.catalog = self._backend.recognizer, self._backend.catalog
        with (
            self._backend.database.write() as transaction
        ):  # leases run out; that the power was cut is no photo's fault
            transaction.execute("UPDATE Events SET DueAt = 0, Holder = NULL, Lost = 0")

    def settle(self) -> None:
        self.bucket.remove_abandoned_drafts()
        self.app.resume_erasures()
        worker = self._backend.worker(threads=1)
        worker.reconcile()
        while self._written:
            self._backend.queue.put(self._written.pop(0))
        while worker.run_once():
            pass
        self.app.reconcile(repair=True, force=True, grace=0)

    def note(self, user_id: str | None) -> None:
        activity = Activity("lives", Action.ENROLL)
        activity.concern(user_id)
        self._backend.audit.record(activity)

    def close(self) -> None:
        for backend in self._opened:
            backend.close()
        self._folder.cleanup()


class SeenWhole:
    """A recognizer of which the test sees all faces of a person; the application sees those that are associated."""

    def __init__(self, recognizer: RekognitionRecognizer) -> None:
        vars(self)["_recognizer"] = recognizer

    def face_ids(self, user_id: str) -> frozenset[str]:
        return frozenset(face.face_id for face in self.list_faces().items if face.user_id == user_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_recognizer"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(vars(self)["_recognizer"], name, value)


class AwsWorld:
    """Bucket and tables in moto, the collection behind our wire API; the queue's events wait in a list."""

    CLOCK_SECONDS = 1.0

    def __init__(self) -> None:
        self._opened = ExitStack()
        folder = self._opened.enter_context(tempfile.TemporaryDirectory())
        self._storage = self._opened.enter_context(local.storage())
        url = self._opened.enter_context(local.wire_api(Path(folder), FakeFaceEngine()))
        self._recognizer = local.recognizer(url)
        self._gone: list[str] = []
        self.restart()

    def write(self, path: str, body: bytes) -> None:
        self.bucket.put(path, body, "image/jpeg", {})

    def remove(self, path: str) -> None:
        self.bucket.delete([path])
        self._gone.append(path)

    def restart(self) -> None:
        bucket, catalog = self._storage
        self.bucket, recognizer, self.catalog = copy(bucket), copy(self._recognizer), copy(catalog)
        self.recognizer: Any = SeenWhole(recognizer)
        self.app = FaceApp(self.bucket, recognizer, self.catalog, find_remains=recognizer.find_remains)

    def settle(self) -> None:
        self.app.resume_erasures()
        while self._gone:
            self.app.remove_upload(self._gone[0])
            self._gone.pop(0)  # a handler that was cut off gets the event again
        for path in self.bucket.keys("uploaded/"):  # at least once, in any order: why not all of them
            with suppress(ImageNotFound):
                self.app.index_upload(path)
        self.app.reconcile(repair=True, force=True, grace=0)

    def note(self, user_id: str | None) -> None: ...

    def close(self) -> None:
        self._opened.close()


WORLDS: dict[str, Callable[[], World]] = {"memory": MemoryWorld, "embedded": EmbeddedWorld, "aws": AwsWorld}


@contextmanager
def power_cut(world: World, after: int) -> Iterator[None]:
    """Let what is done inside end at a call that changes something, the one which follows `after` others; restart."""
    left = after

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise PowerCut
            return call(*arguments, **named)

        return counted

    for name, methods in CHANGING.items():
        port = getattr(world, name)
        for method in methods:
            setattr(port, method, wrap(getattr(port, method)))
    try:
        with suppress(PowerCut):
            yield
    finally:
        world.restart()
