"""An upload whose indexing fails again and again: who asks is told so, and it is tried again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from mien.backends.embedded import event_queue
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import Overloaded, StorageFull
from mien.domain.records import Upload, UploadStatus

Portraits = dict[str, list[bytes]]


def drain(backend: EmbeddedBackend) -> None:
    worker = backend.worker(threads=1)
    while worker.run_once():
        pass


@pytest.fixture
def failed(backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch) -> Upload:
    """An upload after all attempts, which here follow each other at once."""
    upload = backend.app.upload(portraits["Robert"][0], "Robert")
    with monkeypatch.context() as patch:
        patch.setattr(event_queue, "BACKOFF_SECONDS", 0.0)
        patch.setattr(backend.recognizer, "index", lambda *_: 1 / 0)
        drain(backend)
    return backend.app.upload_status(upload.image_path)


def test_it_has_failed_and_says_why_without_a_name(failed: Upload, backend: EmbeddedBackend) -> None:
    assert failed.status is UploadStatus.FAILED
    (reason,) = failed.reasons
    assert reason.code == "indexing_failed"
    assert "Robert" not in reason.message
    assert (backend.queue.waiting(), backend.queue.dead()) == (0, 1)


def test_uploading_it_again_has_it_tried_again(failed: Upload, backend: EmbeddedBackend, portraits: Portraits) -> None:
    assert backend.app.upload(portraits["Robert"][0], "Robert").status is UploadStatus.PENDING
    drain(backend)
    assert backend.app.upload_status(failed.image_path).status is UploadStatus.INDEXED
    assert backend.queue.waiting() == backend.queue.dead() == 0


def test_a_restart_and_a_look_at_the_folder_leave_it_alone(
    failed: Upload, start: Callable[[], EmbeddedBackend], tmp_path: Path
) -> None:
    again = start()
    worker = again.worker(threads=1)
    worker.reconcile()
    worker.watcher.look()
    worker.watcher._on_created(tmp_path / "data" / "bucket" / failed.image_path)
    assert (again.queue.waiting(), again.queue.dead()) == (0, 1)
    assert [warning for warning in again.app.warnings() if "--retry-failed" in warning.message]


def test_another_file_in_its_place_is_tried(
    failed: Upload, backend: EmbeddedBackend, portraits: Portraits, tmp_path: Path
) -> None:
    (tmp_path / "data" / "bucket" / failed.image_path).write_bytes(portraits["Robert"][1] + b"anew")
    backend.worker(threads=1).watcher.look()
    drain(backend)
    assert backend.app.upload_status(failed.image_path).status is UploadStatus.INDEXED


def test_all_dead_letters_are_tried_again_when_asked(failed: Upload, backend: EmbeddedBackend) -> None:
    assert backend.queue.retry_dead() == 1
    drain(backend)
    assert backend.app.upload_status(failed.image_path).status is UploadStatus.INDEXED
    assert backend.queue.dead() == 0
    assert backend.app.warnings() == []


def vanish(backend: EmbeddedBackend) -> None:
    """A process claims all that is due, and dies."""
    backend.queue.expire_leases()
    while backend.queue.claim():
        pass


def test_a_photo_that_ends_its_process_is_given_up_at_the_third_claim(
    start: Callable[[], EmbeddedBackend], portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = start().app.upload(portraits["Robert"][0], "Robert")
    for _ in range(2):
        backend = start()
        backend.worker(threads=1).reconcile()
        vanish(backend)
    backend = start()
    backend.worker(threads=1).reconcile()
    backend.queue.expire_leases()
    monkeypatch.setattr(backend.recognizer, "index", lambda *_: pytest.fail("it was looked at again"))
    drain(backend)
    (reason,) = backend.app.upload_status(upload.image_path).reasons
    assert reason.code == "indexing_interrupted"
    assert (backend.queue.waiting(), backend.queue.dead()) == (0, 1)


def test_a_failure_that_cannot_be_stored_is_not_tried_again_at_once(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, now = backend.app.upload(portraits["Robert"][0], "Robert"), time.time()
    monkeypatch.setattr(backend.queue, "_now", lambda: now)
    worker = backend.worker(threads=1)
    monkeypatch.setattr(event_queue, "MAX_ATTEMPTS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(backend.recognizer, "index", lambda *_: 1 / 0)
        patch.setattr(backend.app, "mark_failed", fail_with(StorageFull("The disk is full.")))
        with pytest.raises(StorageFull):
            worker.run_once()
    assert not worker.run_once()
    assert (backend.queue.waiting(), backend.queue.dead()) == (1, 0)
    monkeypatch.setattr(backend.queue, "_now", lambda: now + 10)
    assert worker.run_once()
    assert backend.app.upload_status(upload.image_path).status is UploadStatus.INDEXED


def fail_with(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


KILLER = """
import os, signal, sys, time
from pathlib import Path
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from tests.support.fake_engine import FakeFaceEngine

deadly = Path(sys.argv[2]).read_bytes()

class Engine(FakeFaceEngine):
    def read(self, image, max_faces=100, **options):
        time.sleep(0.2)
        if image == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(image, max_faces)

backend = EmbeddedBackend(Path(sys.argv[1]), "people", Policy(), Engine)
worker = backend.worker(threads=3)
worker.start()
while backend.queue.waiting():
    time.sleep(0.05)
worker.stop()
"""


@pytest.mark.slow
def test_of_several_photos_only_the_one_that_kills_its_process_fails(
    start: Callable[[], EmbeddedBackend], portraits: Portraits, tmp_path: Path
) -> None:
    backend = start()
    deadly = backend.app.upload(portraits["Venus"][0], "Venus")
    for photo in portraits["Robert"]:
        backend.app.upload(photo, "Robert")
    (tmp_path / "deadly").write_bytes(portraits["Venus"][0])
    command = [sys.executable, "-c", KILLER, str(tmp_path / "data"), str(tmp_path / "deadly")]
    codes = [subprocess.run(command, timeout=120, check=False).returncode for _ in range(3)]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    statuses = {upload.image_path: upload.status for upload in backend.catalog.find(Upload).items}
    assert statuses.pop(deadly.image_path) is UploadStatus.FAILED
    assert set(statuses.values()) == {UploadStatus.INDEXED}
    assert subprocess.run(command, timeout=120, check=False).returncode == 0


def test_a_photo_that_was_indexed_after_all_leaves_no_letter(backend: EmbeddedBackend, portraits: Portraits) -> None:
    upload = backend.app.upload(portraits["Robert"][0], "Robert")
    for _ in range(2):
        vanish(backend)
    backend.queue.expire_leases()
    backend.app.index_upload(upload.image_path)
    drain(backend)
    assert backend.app.upload_status(upload.image_path).status is UploadStatus.INDEXED
    assert backend.queue.waiting() == backend.queue.dead() == 0


def test_a_photo_that_cannot_be_indexed_and_was_deleted_leaves_no_letter(
    failed: Upload, backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.queue.put(failed.image_path)
    monkeypatch.setattr(event_queue, "BACKOFF_SECONDS", 0.0)

    def vanish(*_: object) -> None:
        backend.bucket.delete([failed.image_path])
        backend.queue.put(failed.image_path)
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(backend.recognizer, "index", vanish)
    drain(backend)
    assert backend.queue.waiting() == backend.queue.dead() == 0
    assert backend.catalog.find(Upload).items == ()


def test_a_state_that_cannot_be_stored_is_stored_later(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = backend.app.upload(portraits["Robert"][0], "Robert")
    monkeypatch.setattr(event_queue, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(event_queue, "LEASE_SECONDS", 0.0)
    monkeypatch.setattr(backend.recognizer, "index", lambda *_: 1 / 0)
    plain, refused = backend.catalog.put, []

    def full_at_first(record: Upload) -> None:
        if not refused:
            refused.append(record)
            raise StorageFull("The disk is full.")
        plain(record)

    monkeypatch.setattr(backend.catalog, "put", full_at_first)
    with pytest.raises(StorageFull):
        drain(backend)
    drain(backend)
    assert backend.app.upload_status(upload.image_path).status is UploadStatus.FAILED
    assert backend.queue.dead() == 1


def test_a_photo_that_finds_no_capacity_is_not_blamed(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Overloaded("Other large photos are being worked on; try again.")

    upload = backend.app.upload(portraits["Robert"][0], "Robert")
    with monkeypatch.context() as patch:
        patch.setattr(event_queue, "BACKOFF_SECONDS", 0.0)
        patch.setattr(backend.recognizer, "index", refuse)
        worker = backend.worker(threads=1)
        assert all(worker.run_once() for _ in range(2 * event_queue.MAX_ATTEMPTS))
    assert backend.app.upload_status(upload.image_path).status is UploadStatus.PENDING
    drain(backend)
    assert backend.app.upload_status(upload.image_path).status is UploadStatus.INDEXED
