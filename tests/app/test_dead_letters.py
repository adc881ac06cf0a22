"""An upload whose indexing fails again and again: who asks is told so, and it is tried again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.backends.embedded import event_queue
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import Overloaded, StorageFull
from mien.domain.records import Upload, UploadStatus

Portraits = dict[str, list[bytes]]


def drain(machine: EmbeddedBackend) -> None:
    worker = machine.worker(threads=1)
    while worker.run_once():
        pass


@pytest.fixture
def failed(machine: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch) -> Upload:
    """An upload after all attempts, which here follow each other at once."""
    upload = machine.app.upload(portraits["Robert"][0], "Robert")
    with monkeypatch.context() as patch:
        patch.setattr(event_queue, "BACKOFF_SECONDS", 0.0)
        patch.setattr(machine.recognizer, "index", lambda *_: 1 / 0)
        drain(machine)
    return machine.app.upload_status(upload.image_path)


def test_it_has_failed_and_says_why_without_a_name(failed: Upload, machine: EmbeddedBackend) -> None:
    assert failed.status is UploadStatus.FAILED
    (reason,) = failed.reasons
    assert reason.code == "indexing_failed"
    assert "Robert" not in reason.message
    assert (machine.queue.waiting(), machine.queue.dead()) == (0, 1)


def test_uploading_it_again_has_it_tried_again(failed: Upload, machine: EmbeddedBackend, portraits: Portraits) -> None:
    assert machine.app.upload(portraits["Robert"][0], "Robert").status is UploadStatus.PENDING
    drain(machine)
    assert machine.app.upload_status(failed.image_path).status is UploadStatus.INDEXED
    assert machine.queue.waiting() == machine.queue.dead() == 0


def test_a_restart_and_a_look_at_the_folder_leave_it_alone(
    failed: Upload, start: Callable[[], EmbeddedBackend], tmp_path: Path
) -> None:
    again = start()
    worker = again.worker(threads=1)
    worker.reconcile()
    worker.watcher.look()
    worker.watcher._on_created(tmp_path / "data" / "bucket" / failed.image_path)
    assert (again.queue.waiting(), again.queue.dead()) == (0, 1)
    assert [warning for warning in again.app.warnings() if "--retry-failed" in warning]


def test_another_file_in_its_place_is_tried(
    failed: Upload, machine: EmbeddedBackend, portraits: Portraits, tmp_path: Path
) -> None:
    (tmp_path / "data" / "bucket" / failed.image_path).write_bytes(portraits["Robert"][1] + b"anew")
    machine.worker(threads=1).watcher.look()
    drain(machine)
    assert machine.app.upload_status(failed.image_path).status is UploadStatus.INDEXED


def test_all_dead_letters_are_tried_again_when_asked(failed: Upload, machine: EmbeddedBackend) -> None:
    assert machine.queue.retry_dead() == 1
    drain(machine)
    assert machine.app.upload_status(failed.image_path).status is UploadStatus.INDEXED
    assert machine.queue.dead() == 0
    assert machine.app.warnings() == []


def vanish(machine: EmbeddedBackend) -> None:
    """A process claims all that is due, and dies."""
    machine.queue.expire_leases()
    while machine.queue.claim():
        pass


def test_a_photo_that_ends_its_process_is_given_up_at_the_third_claim(
    start: Callable[[], EmbeddedBackend], portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = start().app.upload(portraits["Robert"][0], "Robert")
    for _ in range(2):
        machine = start()
        machine.worker(threads=1).reconcile()
        vanish(machine)
    machine = start()
    machine.worker(threads=1).reconcile()
    machine.queue.expire_leases()
    monkeypatch.setattr(machine.recognizer, "index", lambda *_: pytest.fail("it was looked at again"))
    drain(machine)
    (reason,) = machine.app.upload_status(upload.image_path).reasons
    assert reason.code == "indexing_interrupted"
    assert (machine.queue.waiting(), machine.queue.dead()) == (0, 1)


KILLER = """
import os, signal, sys, time
from pathlib import Path
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from tests.support.fake_engine import FakeFaceEngine

deadly = Path(sys.argv[2]).read_bytes()

class Engine(FakeFaceEngine):
    def read(self, image, max_faces=100):
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
    machine = start()
    deadly = machine.app.upload(portraits["Venus"][0], "Venus")
    for photo in portraits["Robert"]:
        machine.app.upload(photo, "Robert")
    (tmp_path / "deadly").write_bytes(portraits["Venus"][0])
    command = [sys.executable, "-c", KILLER, str(tmp_path / "data"), str(tmp_path / "deadly")]
    codes = [subprocess.run(command, timeout=120, check=False).returncode for _ in range(3)]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    statuses = {upload.image_path: upload.status for upload in machine.catalog.find(Upload).items}
    assert statuses.pop(deadly.image_path) is UploadStatus.FAILED
    assert set(statuses.values()) == {UploadStatus.INDEXED}
    assert subprocess.run(command, timeout=120, check=False).returncode == 0


def test_a_photo_that_was_indexed_after_all_leaves_no_letter(machine: EmbeddedBackend, portraits: Portraits) -> None:
    upload = machine.app.upload(portraits["Robert"][0], "Robert")
    for _ in range(2):
        vanish(machine)
    machine.queue.expire_leases()
    machine.app.index_upload(upload.image_path)
    drain(machine)
    assert machine.app.upload_status(upload.image_path).status is UploadStatus.INDEXED
    assert machine.queue.waiting() == machine.queue.dead() == 0


def test_a_photo_that_cannot_be_indexed_and_was_deleted_leaves_no_letter(
    failed: Upload, machine: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.queue.put(failed.image_path)
    monkeypatch.setattr(event_queue, "BACKOFF_SECONDS", 0.0)

    def vanish(*_: object) -> None:
        machine.bucket.delete([failed.image_path])
        machine.queue.put(failed.image_path)
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(machine.recognizer, "index", vanish)
    drain(machine)
    assert machine.queue.waiting() == machine.queue.dead() == 0
    assert machine.catalog.find(Upload).items == ()


def test_a_state_that_cannot_be_stored_is_stored_later(
    machine: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = machine.app.upload(portraits["Robert"][0], "Robert")
    monkeypatch.setattr(event_queue, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(event_queue, "LEASE_SECONDS", 0.0)
    monkeypatch.setattr(machine.recognizer, "index", lambda *_: 1 / 0)
    plain, refused = machine.catalog.put, []

    def full_at_first(record: Upload) -> None:
        if not refused:
            refused.append(record)
            raise StorageFull("The disk is full.")
        plain(record)

    monkeypatch.setattr(machine.catalog, "put", full_at_first)
    with pytest.raises(StorageFull):
        drain(machine)
    drain(machine)
    assert machine.app.upload_status(upload.image_path).status is UploadStatus.FAILED
    assert machine.queue.dead() == 1


def test_a_photo_that_finds_no_capacity_is_not_blamed(
    machine: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Overloaded("Other large photos are being worked on; try again.")

    upload = machine.app.upload(portraits["Robert"][0], "Robert")
    with monkeypatch.context() as patch:
        patch.setattr(event_queue, "BACKOFF_SECONDS", 0.0)
        patch.setattr(machine.recognizer, "index", refuse)
        worker = machine.worker(threads=1)
        assert all(worker.run_once() for _ in range(2 * event_queue.MAX_ATTEMPTS))
    assert machine.app.upload_status(upload.image_path).status is UploadStatus.PENDING
    drain(machine)
    assert machine.app.upload_status(upload.image_path).status is UploadStatus.INDEXED
