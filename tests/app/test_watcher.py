"""Changes by hand that the system does not announce: network drives, limits of inotify, folders behind links."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import watchfiles

from mien.api.logs import JsonLines
from mien.backends.embedded import watcher as watching
from mien.backends.embedded.backend import EmbeddedBackend
from mien.backends.embedded.event_queue import MAX_ATTEMPTS
from mien.backends.embedded.events import Worker
from mien.domain.errors import StorageError
from mien.domain.records import Upload, UploadStatus
from mien.domain.results import HealthWarning
from tests.support.process import wait_for

Portraits = dict[str, list[bytes]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.3)


@pytest.fixture
def folder(tmp_path: Path, backend: EmbeddedBackend) -> Path:
    folder = tmp_path / "data" / "bucket" / "uploaded" / "Robert"
    folder.mkdir()
    return folder


def look(backend: EmbeddedBackend, worker: Worker) -> set[str]:
    worker.watcher.look()
    while worker.run_once():
        pass
    return {face.image_path.rpartition("/")[2] for face in backend.app.faces().items}


def test_a_look_finds_what_is_new_replaced_renamed_and_deleted(
    backend: EmbeddedBackend, folder: Path, portraits: Portraits
) -> None:
    worker = backend.worker(threads=1)
    (folder / "1.jpg").write_bytes(portraits["Robert"][0])
    (folder / "2.jpg").write_bytes(portraits["Robert"][1])
    assert look(backend, worker) == {"1.jpg", "2.jpg"}
    before = backend.app.upload_status("uploaded/Robert/1.jpg")
    (folder / "1.jpg").write_bytes(portraits["Robert"][2])
    assert look(backend, worker) == {"1.jpg", "2.jpg"}
    after = backend.app.upload_status("uploaded/Robert/1.jpg")
    assert after.digest != before.digest
    assert len(backend.app.faces().items) == 2
    (folder / "2.jpg").rename(folder / "3.jpg")
    assert look(backend, worker) == {"1.jpg", "3.jpg"}
    (folder / "1.jpg").unlink()
    (folder / "3.jpg").unlink()
    assert look(backend, worker) == set()
    assert backend.app.people().items == ()


def test_a_photo_that_was_replaced_while_nobody_looked_is_found_at_the_next_start(
    start: Callable[[], EmbeddedBackend], folder: Path, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "1.jpg").write_bytes(portraits["Robert"][0])
    backend = start()
    look(backend, backend.worker(threads=1))
    before = backend.app.upload_status("uploaded/Robert/1.jpg")
    (folder / "1.jpg").write_bytes(portraits["Robert"][2])
    monkeypatch.setattr(watching, "_STORING_SECONDS", 0.0)
    again = start()
    look(again, again.worker(threads=1))
    assert again.app.upload_status("uploaded/Robert/1.jpg").digest != before.digest


def test_a_look_reads_no_photo_that_did_not_change(
    backend: EmbeddedBackend, folder: Path, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = backend.worker(threads=1)
    (folder / "1.jpg").write_bytes(portraits["Robert"][0])
    look(backend, worker)
    monkeypatch.setattr(watching, "_CLOCK_SLACK_SECONDS", -0.01)
    worker.watcher.look()
    monkeypatch.setattr(backend.bucket, "get", lambda _: pytest.fail("a photo was read"))
    worker.watcher.look()
    assert backend.queue.waiting() == 0


def test_a_look_revives_no_dead_letter(backend: EmbeddedBackend, folder: Path, portraits: Portraits) -> None:
    (folder / "1.jpg").write_bytes(portraits["Robert"][0])
    worker = backend.worker(threads=1)
    worker.watcher.look()
    event = backend.queue.claim()
    assert event is not None
    backend.queue.fail(replace(event, attempts=MAX_ATTEMPTS))
    worker.watcher.look()
    assert (backend.queue.waiting(), backend.queue.dead()) == (0, 1)


def test_a_look_at_a_folder_that_is_not_mounted_takes_nothing_along(
    backend: EmbeddedBackend, folder: Path, portraits: Portraits, tmp_path: Path
) -> None:
    (folder / "1.jpg").write_bytes(portraits["Robert"][0])
    worker = backend.worker(threads=1)
    look(backend, worker)
    (tmp_path / "data" / "bucket").rename(tmp_path / "elsewhere")
    (tmp_path / "data" / "bucket" / ".incoming").mkdir(parents=True)
    with pytest.raises(StorageError, match="mounted"):
        worker.watcher.look()
    for handler in (backend.app.remove_upload, backend.app.index_upload):
        with pytest.raises(StorageError, match="mounted"):
            handler("uploaded/Robert/1.jpg")
    assert len(backend.app.faces().items) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_without_announcements_the_folder_is_polled_and_it_is_said_once(
    backend: EmbeddedBackend,
    folder: Path,
    portraits: Portraits,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    def refuse(*_: object, **__: object) -> Iterator[object]:
        raise OSError(number, "OS file watch limit reached")

    monkeypatch.setattr(watchfiles, "watch", refuse)
    monkeypatch.setattr("mien.backends.embedded.events.RETRY_SECONDS", 0.05)
    worker = backend.worker(threads=1)
    with caplog.at_level(logging.WARNING):
        worker.start()
        try:
            wait_for(lambda: backend.app.warnings() != [])
            (folder / "1.jpg").write_bytes(portraits["Robert"][0])
            wait_for(lambda: status(backend, "uploaded/Robert/1.jpg") is UploadStatus.INDEXED)
            assert len(backend.app.faces().items) == 1
            (folder / "1.jpg").unlink()
            wait_for(lambda: backend.app.faces().items == ())
        finally:
            worker.stop()
    assert backend.app.warnings() == [watching.LIMIT_REACHED]
    assert "fs.inotify.max_user_watches" in watching.LIMIT_REACHED.message
    assert [record.getMessage() for record in caplog.records].count(watching.LIMIT_REACHED.message) == 1
    assert "Robert" not in caplog.text


@pytest.mark.parametrize(
    ("error", "warning"),
    [
        (OSError('OS file watch limit reached. about ["/x"]'), watching.LIMIT_REACHED),
        (OSError("Too many open files (os error 24)"), watching.LIMIT_REACHED),
        (PermissionError("permission denied"), watching.NOT_ANNOUNCED),
        (FileNotFoundError("No path was found."), watching.NOT_ANNOUNCED),
        (OSError("Function not implemented (os error 38)"), watching.NOT_ANNOUNCED),
    ],
)
def test_it_is_said_what_is_in_the_way_of_announcements(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch, error: OSError, warning: HealthWarning
) -> None:
    def refuse(*_: object, **__: object) -> Iterator[object]:
        raise error

    monkeypatch.setattr(watchfiles, "watch", refuse)
    assert backend.worker(threads=1).watcher.find_problem() == warning


def status(backend: EmbeddedBackend, path: str) -> UploadStatus | None:
    uploads = backend.catalog.get(Upload, [path])
    return uploads[0].status if uploads else None


def test_nothing_is_watched_behind_a_link(backend: EmbeddedBackend, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    worker = backend.worker(threads=1)
    worker.watcher.watch(threading.Event())
    assert backend.app.warnings() == [watching.LINKED_FOLDERS]
    os.unlink(folder / "link")
    assert backend.worker(threads=1).watcher.find_problem() is None


def test_folders_that_cannot_be_taken_are_counted_in_warnings_and_log(
    backend: EmbeddedBackend, folder: Path, portraits: Portraits, caplog: pytest.LogCaptureFixture
) -> None:
    uploaded = folder.parent
    (folder / "1.jpg").write_bytes(portraits["Robert"][0])
    worker = backend.worker(threads=1)
    look(backend, worker)
    assert backend.app.warnings() == []
    for number, name in enumerate((b"robert", b"con", b"Ann.", b"M\xfcller")):
        (odd := Path(os.fsdecode(os.fsencode(uploaded) + b"/" + name))).mkdir()
        (odd / "1.jpg").write_bytes(portraits["Venus"][number])
    Path(os.fsdecode(os.fsencode(folder) + b"/M\xfc.jpg")).write_bytes(b"a file, in a folder that is fine")
    with caplog.at_level(logging.WARNING):
        look(backend, worker)
        worker.watcher.look()  # the folder of a look-alike is known once its photo was rejected
        worker.watcher.look()
    assert backend.app.warnings() == [watching.not_taken(4)]
    told = [record for record in caplog.records if "cannot be a person's" in record.getMessage()]
    assert [json.loads(JsonLines().format(record))["folders"] for record in told] == [3, 4]
    assert not any(name in caplog.text.lower() for name in ("robert", "con/", "ann.", "ller"))
    for each in ("robert", "con", "Ann."):
        (uploaded / each / "1.jpg").unlink()
    look(backend, worker)
    worker.watcher.look()
    assert backend.app.warnings() == [watching.not_taken(1)]


def test_a_name_that_is_not_unicode_does_not_stop_the_watching(
    backend: EmbeddedBackend, folder: Path, portraits: Portraits
) -> None:
    Path(os.fsdecode(os.fsencode(folder.parent) + b"/M\xfcller")).mkdir()
    worker = backend.worker(threads=1)
    worker.start()
    try:
        wait_for(lambda: watching.UNREADABLE_NAME in backend.app.warnings())
        (folder / "1.jpg").write_bytes(portraits["Robert"][0])
        wait_for(lambda: len(backend.app.faces().items) == 1)
    finally:
        worker.stop()


def announce(backend: EmbeddedBackend, worker: Worker, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchfiles, "watch", lambda *_, **__: iter([{(watchfiles.Change.deleted, str(path))}]))
    worker.watcher.watch(threading.Event())
    while worker.run_once():
        pass


def restart(backend: EmbeddedBackend, worker: Worker, *_: object) -> None:
    worker.reconcile()


@pytest.mark.parametrize("name", ["Robert", "Robert/2026", "The Boss"])
@pytest.mark.parametrize("notice", [announce, restart])
def test_a_folder_that_is_moved_away_takes_its_faces_along(
    backend: EmbeddedBackend,
    folder: Path,
    portraits: Portraits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    notice: Callable[..., None],
) -> None:
    """The system announces the folder only, not the files in it; here it is that of an id, or of a person's name."""
    kept = backend.app.enroll(portraits["Robert"][0], user_id="boss", name="The Boss").image_path
    made = folder.parent / name
    made.mkdir(exist_ok=True)
    worker = backend.worker(threads=1)
    (made / "1.jpg").write_bytes(portraits["Venus"][1])
    assert look(backend, worker) == {kept.rpartition("/")[2], "1.jpg"}
    made.rename(tmp_path / "trash")
    notice(backend, worker, made, monkeypatch)
    assert [face.image_path for face in backend.app.faces().items] == [kept]
    assert [person.user_id for person in backend.app.people().items] == ["boss"]
