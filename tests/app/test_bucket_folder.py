"""What people do to the bucket's folder past the application: delete, rename, move away, unmount."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import StorageBusy, StorageError
from mien.domain.records import Upload, UploadStatus
from tests.support.process import wait_for

Portraits = dict[str, list[bytes]]


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return tmp_path / "data" / "bucket"


@pytest.fixture
def filled(backend: EmbeddedBackend, portraits: Portraits) -> EmbeddedBackend:
    """Two photos of Robert, one of Venus."""
    for photo in portraits["Robert"][:2]:
        backend.app.enroll(photo, "Robert")
    backend.app.enroll(portraits["Venus"][0], "Venus")
    return backend


@contextmanager
def working(backend: EmbeddedBackend) -> Iterator[None]:
    worker = backend.worker(threads=1)
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def paths(backend: EmbeddedBackend) -> set[str]:
    uploads = {upload.image_path for upload in backend.catalog.find(Upload).items}
    assert uploads == {face.image_path for face in backend.app.faces().items}
    return uploads


def test_a_deleted_photo_takes_its_face_along_at_the_next_start(filled: EmbeddedBackend, bucket: Path) -> None:
    roberts = sorted((bucket / "uploaded" / "Robert").iterdir())
    roberts[0].unlink()
    assert filled.worker(threads=1).reconcile().photos_deleted_by_hand == 1
    assert len(paths(filled)) == 2
    assert len(filled.recognizer.face_ids("Robert")) == 1
    roberts[1].unlink()
    filled.worker(threads=1).reconcile()
    assert [person.user_id for person in filled.app.people().items] == ["Venus"]
    assert filled.app.verify_erased("Robert") == ()


def test_one_deleted_photo_that_cannot_be_followed_keeps_no_other_waiting(
    filled: EmbeddedBackend, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("Robert", "Venus"):
        for photo in (bucket / "uploaded" / folder).iterdir():
            photo.unlink()
    index, worker = filled.app.index_upload, filled.worker(threads=1)

    def index_all_but_roberts(path: str) -> Upload:
        if "/Robert/" in path:
            raise StorageBusy("Another process holds the database.")
        return index(path)

    monkeypatch.setattr(filled.app, "index_upload", index_all_but_roberts)
    assert worker.reconcile().photos_deleted_by_hand == 3
    assert [person.user_id for person in filled.app.people().items] == ["Robert"]
    monkeypatch.undo()
    while worker.run_once():
        pass
    assert filled.app.people().items == ()


def test_a_deleted_photo_and_a_folder_that_is_moved_away_are_noticed(
    filled: EmbeddedBackend, bucket: Path, tmp_path: Path
) -> None:
    folder = bucket / "uploaded" / "Robert"
    photo = next(folder.iterdir())
    body = photo.read_bytes()

    def deleted() -> bool:
        photo.write_bytes(body)  # again and again, because nobody knows from when on the folder is watched
        photo.unlink()
        return len(filled.app.faces(user_id="Robert").items) == 1

    with working(filled):
        wait_for(deleted)
        folder.rename(tmp_path / "Robert")
        wait_for(lambda: len(filled.app.people().items) == 1)
    assert filled.recognizer.face_ids("Robert") == frozenset()


def test_a_renamed_photo_keeps_its_face(filled: EmbeddedBackend, bucket: Path) -> None:
    (photo,) = (bucket / "uploaded" / "Venus").iterdir()
    photo.rename(photo.with_name("Wimbledon.jpg"))
    with working(filled):
        wait_for(lambda: filled.app.upload_status("uploaded/Venus/Wimbledon.jpg").status is UploadStatus.INDEXED)
        wait_for(lambda: len(filled.catalog.find(Upload).items) == 3)
    assert len(paths(filled)) == 3


def test_a_disk_that_is_not_mounted_takes_nothing_along(
    start: Callable[[], EmbeddedBackend], filled: EmbeddedBackend, bucket: Path, portraits: Portraits
) -> None:
    disk = bucket.rename(bucket.with_name("elsewhere"))
    bucket.mkdir()  # the empty folder on which it would be mounted
    again = start()
    worker = again.worker(threads=1)
    with pytest.raises(StorageError, match="mounted"):
        worker.reconcile()
    path = f"uploaded/Robert/{next((disk / 'uploaded' / 'Robert').iterdir()).name}"
    with pytest.raises(StorageError, match="mounted"):
        again.app.index_upload(path)
    with pytest.raises(StorageError, match="mounted"):
        again.app.upload(portraits["Salma"][0], "Salma")
    assert len(again.app.faces().items) == 3
    for folder in (bucket / "uploaded", bucket / ".incoming", bucket):
        folder.rmdir()
    disk.rename(bucket)
    assert worker.reconcile().photos_deleted_by_hand == 1  # Salma's, whose upload was refused
    assert len(paths(again)) == 3
    assert {upload.status for upload in again.catalog.find(Upload).items} == {UploadStatus.INDEXED}


def test_a_folder_without_its_database_is_taken_over(
    filled: EmbeddedBackend, bucket: Path, start: Callable[[], EmbeddedBackend]
) -> None:
    filled.app.close()
    for file in bucket.parent.glob("mien.db*"):
        file.unlink()
    again = start()
    worker = again.worker(threads=1)
    assert worker.reconcile().photos_without_state == 3
    while worker.run_once():
        pass
    assert len(paths(again)) == 3


@pytest.mark.parametrize("litter", ["@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".thumbnails"])
def test_what_systems_leave_in_the_folder_becomes_nobody(
    filled: EmbeddedBackend, bucket: Path, portraits: Portraits, litter: str
) -> None:
    before = paths(filled)
    uploaded = bucket / "uploaded"
    for folder in (uploaded / litter, uploaded / litter / "Robert", uploaded / "Robert" / litter):
        folder.mkdir()
        (folder / "thumbnail.jpg").write_bytes(portraits["Salma"][0])
    worker = filled.worker(threads=1)
    for path in uploaded.rglob("thumbnail.jpg"):
        worker.watcher._on_created(path)
    worker.watcher._on_created(uploaded / litter)
    worker.reconcile()
    while worker.run_once():
        pass
    assert filled.queue.waiting() == 0
    assert paths(filled) == before
    assert {person.user_id for person in filled.app.people().items} == {"Robert", "Venus"}
