"""Whatever lies among the photos and is none: links, pipes, sockets, folders named like photos, half-stored photos."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mien.backends.embedded.backend import EmbeddedBackend
from mien.backends.embedded.backup import back_up
from mien.backends.embedded.folder_tree import Kind
from mien.domain.errors import ImageNotFound, ImageTooLarge, StorageError
from mien.domain.records import Erasure, UploadStatus
from tests.support.nesting import nested
from tests.support.process import wait_for

Portraits = dict[str, list[bytes]]
Make = Callable[[Path, Path], object]


def a_socket(place: Path, _: Path) -> None:
    here = os.getcwd()
    os.chdir(place.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(place.name)
    finally:
        os.chdir(here)


def a_folder(place: Path, elsewhere: Path) -> None:
    place.mkdir()
    (place / "x.jpg").write_bytes((elsewhere / "b.jpg").read_bytes())
    (place / "link.jpg").symlink_to(elsewhere / "b.jpg")


STRANGE: dict[str, Make] = {
    "a link to a photo": lambda place, elsewhere: place.symlink_to(elsewhere / "b.jpg"),
    "a link to a folder": lambda place, elsewhere: place.symlink_to(elsewhere),
    "a dangling link": lambda place, elsewhere: place.symlink_to(elsewhere / "none.jpg"),
    "a link to itself": lambda place, _: place.symlink_to(place.name),
    "a loop": lambda place, _: place.symlink_to("."),
    "a link to another person's photo": lambda place, _: place.symlink_to("../Venus"),
    "a pipe": lambda place, _: os.mkfifo(place),
    "a socket": a_socket,
    "a folder": a_folder,
}


@pytest.fixture
def uploaded(tmp_path: Path, backend: EmbeddedBackend, portraits: Portraits) -> Path:
    backend.app.enroll(portraits["Robert"][0], "Robert")
    backend.app.enroll(portraits["Venus"][0], "Venus")
    worker = backend.worker(threads=1)
    while worker.run_once():
        pass
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.jpg").write_bytes(portraits["Salma"][0])
    return tmp_path / "data" / "bucket" / "uploaded"


def test_folders_nested_too_deep_keep_nobody_from_starting_and_go_with_their_person(
    backend: EmbeddedBackend, uploaded: Path, portraits: Portraits
) -> None:
    with nested(uploaded / "Robert" / "deep", portraits["Robert"][1]):
        (uploaded / "Venus" / "b.jpg").write_bytes(portraits["Venus"][1])
        worker = backend.worker(threads=1)
        worker.start()
        try:
            wait_for(lambda: len(backend.app.faces(user_id="Venus").items) == 2)
        finally:
            worker.stop()
        (unread,) = backend.bucket.ignored()
        assert (unread.path.startswith("uploaded/Robert/deep/d/"), unread.kind) == (True, Kind.UNREADABLE)
        assert backend.app.forget("Robert").remaining_stores == ()
        assert not (uploaded / "Robert").exists()
        assert list(backend.bucket.ignored()) == []


def test_a_file_too_large_for_a_photo_is_not_read(
    backend: EmbeddedBackend, uploaded: Path, tmp_path: Path, portraits: Portraits
) -> None:
    place, path = uploaded / "Robert" / "large.jpg", "uploaded/Robert/large.jpg"
    place.write_bytes(portraits["Robert"][1])
    os.truncate(place, 2**40)  # with holes: it takes no space
    worker = backend.worker(threads=1)

    def look() -> UploadStatus:
        worker.watcher.look()
        while worker.run_once():
            pass
        return backend.app.upload_status(path).status

    assert look() is UploadStatus.REJECTED
    for call in (backend.app.image, backend.app.recognize_stored):
        with pytest.raises(ImageTooLarge):
            call(path)
    assert back_up(backend, tmp_path / "backup").photos == 2
    assert look() is UploadStatus.REJECTED
    place.write_bytes(portraits["Robert"][1])
    wait_for(lambda: look() is UploadStatus.INDEXED)


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_photo_is_never_taken_for_one_and_goes_with_its_person(
    backend: EmbeddedBackend, uploaded: Path, tmp_path: Path, portraits: Portraits, kind: str
) -> None:
    place = uploaded / "Robert" / "strange.jpg"
    STRANGE[kind](place, tmp_path / "elsewhere")
    keys = set(backend.bucket.keys("uploaded/"))
    assert len(keys) == 2
    assert not any("strange" in key for key in keys)
    assert [entry.path for entry in backend.bucket.ignored()] == ["uploaded/Robert/strange.jpg"]
    for call in (backend.app.image, backend.app.index_upload, backend.app.recognize_stored):
        with pytest.raises(ImageNotFound):
            call("uploaded/Robert/strange.jpg")
    worker = backend.worker(threads=1)
    worker.reconcile()
    assert not worker.run_once()
    assert os.path.lexists(place)
    receipt = backend.app.forget("Robert")
    files = 2 if kind == "a folder" else 1
    assert (receipt.faces, receipt.images, receipt.remaining_stores) == (1, files, ())
    assert not os.path.lexists(uploaded / "Robert")
    assert backend.app.verify_erased("Robert") == ()
    assert (tmp_path / "elsewhere" / "b.jpg").read_bytes() == portraits["Salma"][0]
    assert [person.user_id for person in backend.app.people().items] == ["Venus"]
    assert len(set(backend.bucket.keys("uploaded/"))) == 1


@pytest.mark.parametrize("kind", ["a link to a folder", "a dangling link", "a loop"])
def test_a_person_whose_folder_is_no_folder_is_erased_and_nothing_is_written_behind_it(
    backend: EmbeddedBackend, uploaded: Path, tmp_path: Path, portraits: Portraits, kind: str
) -> None:
    STRANGE[kind](uploaded / "Salma", tmp_path / "elsewhere")
    assert list(backend.bucket.keys("uploaded/Salma/")) == []
    with pytest.raises(StorageError):
        backend.app.upload(portraits["Salma"][1], "Salma")
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["b.jpg"]
    assert backend.app.forget("Salma").remaining_stores == ()
    assert not os.path.lexists(uploaded / "Salma")
    assert (tmp_path / "elsewhere" / "b.jpg").exists()
    assert backend.app.enroll(portraits["Salma"][1], "Salma").status is UploadStatus.INDEXED


def test_a_photo_that_is_replaced_by_a_link_is_a_deleted_photo(
    backend: EmbeddedBackend, uploaded: Path, tmp_path: Path
) -> None:
    (photo,) = (uploaded / "Robert").iterdir()
    photo.unlink()
    photo.symlink_to(tmp_path / "elsewhere" / "b.jpg")
    backend.worker(threads=1).reconcile()
    assert [person.user_id for person in backend.app.people().items] == ["Venus"]
    assert photo.is_symlink()
    assert backend.app.forget("Robert").remaining_stores == ()
    assert not os.path.lexists(photo)


def test_a_stuck_erasure_of_the_past_is_completed(
    backend: EmbeddedBackend, uploaded: Path, tmp_path: Path, portraits: Portraits
) -> None:
    (uploaded / "Robert" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "none.jpg")
    backend.catalog.put(Erasure("Robert", backend.app.person("Robert").timestamp))
    assert [receipt.remaining_stores for receipt in backend.app.resume_erasures()] == [()]
    assert backend.app.resume_erasures() == []


def test_half_stored_photos_of_a_killed_process_are_swept_and_those_of_a_living_one_are_kept(
    backend: EmbeddedBackend, uploaded: Path, tmp_path: Path
) -> None:
    incoming = tmp_path / "data" / "bucket" / ".incoming"
    (incoming / "b1946ac92492d2347c6235b4d2611184").write_bytes(b"half a photo")
    (incoming / "link").symlink_to(tmp_path / "elsewhere" / "b.jpg")
    with (incoming / "alive").open("wb") as draft:
        fcntl.flock(draft, fcntl.LOCK_EX)
        assert backend.bucket.remove_abandoned_drafts() == 2
        assert [path.name for path in incoming.iterdir()] == ["alive"]
    assert backend.bucket.remove_abandoned_drafts() == 1
    assert (tmp_path / "elsewhere" / "b.jpg").exists()


def test_a_half_stored_photo_is_erased_with_its_person(
    backend: EmbeddedBackend, uploaded: Path, tmp_path: Path, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        patch.setattr(os, "fsync", lambda _: 1 / 0)
        for name in ("Robert", "Venus"):
            with pytest.raises(ZeroDivisionError):  # dies with the draft half written
                backend.app.upload(portraits[name][1], name)
    incoming = tmp_path / "data" / "bucket" / ".incoming"
    assert len(list(incoming.iterdir())) == 2
    assert not any("Robert" in path.name for path in incoming.iterdir())
    backend.app.forget("Robert")
    assert len(list(incoming.iterdir())) == 1
    assert backend.app.verify_erased("Robert") == ()


def test_a_draft_that_is_swept_by_mistake_is_written_again(
    backend: EmbeddedBackend, uploaded: Path, tmp_path: Path, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    incoming, plain, removed = tmp_path / "data" / "bucket" / ".incoming", os.fsync, []

    def fsync(descriptor: int) -> None:
        plain(descriptor)
        for draft in list(incoming.iterdir())[: 1 - len(removed)]:
            draft.unlink()
            removed.append(draft)

    monkeypatch.setattr(os, "fsync", fsync)
    assert backend.app.enroll(portraits["Robert"][1], "Robert").status is UploadStatus.INDEXED
    assert len(removed) == 1


def test_a_row_without_a_file_is_erased(backend: EmbeddedBackend, uploaded: Path, portraits: Portraits) -> None:
    with backend.database.write() as transaction:
        transaction.execute("INSERT INTO BucketObjects VALUES ('uploaded/Salma/1.jpg', 'image/jpeg', '{}')")
    assert "bucket" in backend.app.verify_erased("Salma")
    assert backend.app.forget("Salma").remaining_stores == ()
    assert backend.database.read("SELECT count(*) FROM BucketObjects WHERE Key LIKE '%Salma%'") == [(0,)]
    assert backend.database.read("SELECT count(*) FROM BucketObjects") == [(2,)]


def test_names_that_cannot_be_keys_are_told(backend: EmbeddedBackend, uploaded: Path) -> None:
    names = [b"M\xfcller.jpg", b"photo.", b"con.jpg", b".hidden.jpg"]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(uploaded / "Robert"), name))).write_bytes(b"x")
    assert len(set(backend.bucket.keys("uploaded/Robert/"))) == 1
    assert len(list(backend.bucket.ignored())) == 3
    backend.app.forget("Robert")
    assert not (uploaded / "Robert").exists()
