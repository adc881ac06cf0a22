"""An upload whose indexing fails again and again: who asks is told so, and it is tried again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mien.backends.embedded import events
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import StorageFull
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
        patch.setattr(events, "BACKOFF_SECONDS", 0.0)
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


def test_a_restart_tries_it_again(failed: Upload, start: Callable[[], EmbeddedBackend]) -> None:
    again = start()
    assert again.worker(threads=1).reconcile().photos_without_state == 1
    drain(again)
    assert again.app.upload_status(failed.image_path).status is UploadStatus.INDEXED
    assert again.queue.dead() == 0


def test_a_photo_that_cannot_be_indexed_and_was_deleted_leaves_no_letter(
    failed: Upload, machine: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.queue.put(failed.image_path)
    monkeypatch.setattr(events, "BACKOFF_SECONDS", 0.0)

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
    monkeypatch.setattr(events, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(events, "LEASE_SECONDS", 0.0)
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
