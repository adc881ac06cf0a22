"""What goes wrong around the embedded backend: full disks, damage, death at any moment, two at once."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import ImageNotFound, StorageDamaged, StorageError, StorageFull
from mien.domain.policy import Policy
from mien.domain.records import Upload, UploadStatus
from mien.gallery.store.database import PAGE_BYTES
from tests.support.fake_engine import FakeFaceEngine
from tests.support.process import PATIENCE_SECONDS, free_port, serve, wait_for

Portraits = dict[str, list[bytes]]


def drain(backend: EmbeddedBackend) -> None:
    worker = backend.worker(threads=1)
    while worker.run_once():
        pass


def outcomes(backend: EmbeddedBackend) -> list[UploadStatus]:
    return [upload.status for upload in backend.catalog.find(Upload, limit=1000).items]


def test_the_same_photo_by_many_at_once_is_one_face(backend: EmbeddedBackend, portraits: Portraits) -> None:
    photo = portraits["Robert"][0]
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda _: backend.app.enroll(photo, "Robert"), range(8)))
    assert {state.face_ids for state in states} == {states[0].face_ids}
    assert len(backend.app.faces().items) == len(backend.recognizer.face_ids("Robert")) == 1


def test_photos_of_one_person_at_once_all_count(backend: EmbeddedBackend, portraits: Portraits) -> None:
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda photo: backend.app.enroll(photo, "Robert"), portraits["Robert"]))
    assert len(backend.app.faces(user_id="Robert").items) == 5
    members = backend.gallery().faces.list("people", user_id="Robert").items
    assert len(members) == 5


@pytest.mark.parametrize("moment", ["index", "associate"])
def test_forgetting_during_indexing_wins(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    upload = backend.app.upload(portraits["Robert"][0], "Robert")
    plain = getattr(backend.recognizer, moment)

    def interrupted(*arguments: object) -> object:
        done = plain(*arguments)
        backend.app.forget("Robert")
        return done

    monkeypatch.setattr(backend.recognizer, moment, interrupted)
    with pytest.raises(ImageNotFound):
        backend.app.index_upload(upload.image_path)
    assert backend.app.verify_erased("Robert") == ()


def test_an_answer_goes_that_names_a_forgotten_person_whose_photo_was_still_being_indexed(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = backend.app.upload(portraits["Robert"][0], "Robert")
    index, put, named = backend.recognizer.index, backend.catalog.put, []

    def index_too_late(*arguments: object) -> object:
        backend.app.forget("Robert")
        return index(*arguments)

    def recognize_at_the_end(*records: object, **conditions: object) -> bool:
        done = put(*records, **conditions)
        if any(isinstance(record, Upload) and record.status is UploadStatus.INDEXED for record in records):
            named.append(backend.app.recognize(portraits["Robert"][1]).faces[0].user_id)
        return done

    monkeypatch.setattr(backend.recognizer, "index", index_too_late)
    monkeypatch.setattr(backend.catalog, "put", recognize_at_the_end)
    with pytest.raises(ImageNotFound):
        backend.app.index_upload(upload.image_path)
    assert named == ["Robert"]
    assert backend.app.verify_erased("Robert") == ()


def test_answers_about_a_person_who_is_enrolled_anew_stay_when_a_photo_from_before_goes(
    backend: EmbeddedBackend, portraits: Portraits
) -> None:
    before = backend.app.enroll(portraits["Robert"][0], "Robert")
    backend.app.forget("Robert")
    late = backend.app.enroll(portraits["Robert"][0], "Robert")
    backend.catalog.put(replace(late, timestamp=before.timestamp))
    backend.app.enroll(portraits["Robert"][1], "Robert")
    answers = [backend.app.recognize(portraits["Robert"][number]) for number in (0, 1)]
    assert [answer.faces[0].user_id for answer in answers] == ["Robert", "Robert"]
    backend.bucket.delete([late.image_path])
    backend.app.remove_upload(late.image_path)
    kept = backend.app.recognitions(user_id="Robert").items
    assert [each.recognition_id for each in kept] == [answers[1].recognition_id]


@pytest.mark.parametrize("step", ["bucket.delete", "recognizer.delete", "recognizer.forget", "catalog.delete"])
def test_an_erasure_that_is_cut_off_finishes_at_the_next_start(
    start: Callable[[], EmbeddedBackend], portraits: Portraits, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    backend = start()
    backend.app.enroll(portraits["Robert"][0], "Robert")
    backend.app.recognize(portraits["Robert"][1])
    port, method = step.split(".")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(getattr(backend, port), method, die)
        with pytest.raises(KeyboardInterrupt):
            backend.app.forget("Robert")
    again = start()
    (receipt,) = again.app.resume_erasures()
    assert receipt.remaining_stores == again.app.verify_erased("Robert") == ()
    assert again.app.resume_erasures() == []


def test_a_photo_from_a_clock_that_was_ahead_is_erased_by_the_next_start_too(
    start: Callable[[], EmbeddedBackend], portraits: Portraits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend = start()
    photo = tmp_path / "data" / "bucket" / backend.app.enroll(portraits["Robert"][0], "Robert").image_path
    ahead = time.time() + 3600
    os.utime(photo, (ahead, ahead))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backend.bucket, "delete", die)
        with pytest.raises(KeyboardInterrupt):
            backend.app.forget("Robert")
    again = start()
    (receipt,) = again.app.resume_erasures()
    assert receipt.images == 1
    assert again.app.verify_erased("Robert") == ()


def test_erased_vectors_and_names_are_in_no_file(
    start: Callable[[], EmbeddedBackend], portraits: Portraits, engine: FakeFaceEngine, tmp_path: Path
) -> None:
    backend = start()
    name, photos = "Róbert the Unmistakable", portraits["Robert"]
    backend.app.enroll(portraits["Venus"][0], "Venus")
    for photo in photos[:3]:
        backend.app.enroll(photo, name)
    backend.app.recognize(photos[3])
    needles = [engine.read(photo)[0].embedding.tobytes()[:64] for photo in photos[:3]]
    needles += [name.encode(), *(photo[-256:] for photo in photos[:3])]
    assert all(_in_files(tmp_path / "data", needle) for needle in needles)
    backend.app.forget(name)
    backend.app.recognize(portraits["Venus"][1])
    assert [needle for needle in needles if _in_files(tmp_path / "data", needle)] == []
    assert backend.app.verify_erased(name) == ()


def with_remains_in_a_page(start: Callable[[], EmbeddedBackend], portraits: Portraits, folder: Path) -> EmbeddedBackend:
    """Forget Robert, and put his id where SQLite may leave it when it divides a page."""
    backend = start()
    backend.app.enroll(portraits["Venus"][0], "Venus")
    backend.app.enroll(portraits["Robert"][0], "Robert")
    backend.app.forget("Robert")
    backend.close()
    database = folder / "mien.db"
    content = bytearray(database.read_bytes())
    leaf = next(page for page in range(PAGE_BYTES, len(content), PAGE_BYTES) if content[page] == 0x0A)
    cells, beginning = int.from_bytes(content[leaf + 3 : leaf + 5]), int.from_bytes(content[leaf + 5 : leaf + 7])
    gap = leaf + 8 + 2 * cells  # https://sqlite.org/fileformat2.html#b_tree_pages
    assert gap + 100 < leaf + beginning
    content[gap + 50 : gap + 58] = b'"Robert"'
    database.write_bytes(content)
    return start()


def test_what_a_divided_page_kept_of_an_erased_person_goes_with_the_verification(
    start: Callable[[], EmbeddedBackend], portraits: Portraits, tmp_path: Path
) -> None:
    again = with_remains_in_a_page(start, portraits, tmp_path / "data")
    assert again.app.verify_erased("Robert") == ()
    assert not _in_files(tmp_path / "data", b'"Robert"')
    assert [person.user_id for person in again.app.people().items] == ["Venus"]


def test_what_cannot_be_written_anew_is_told(
    start: Callable[[], EmbeddedBackend], portraits: Portraits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    again = with_remains_in_a_page(start, portraits, tmp_path / "data")
    read = again.database.read

    def failing(statement: str, *values: object) -> object:
        if statement == "VACUUM":
            raise StorageError("mien.db could not be read or written; the disk may be full or failing.")
        return read(statement, *values)

    monkeypatch.setattr(again.database, "read", failing)
    assert again.app.verify_erased("Robert") == ("mien.db",)


def _in_files(folder: Path, needle: bytes) -> bool:
    return any(
        needle in path.read_bytes() or needle in os.fsencode(path) for path in folder.rglob("*") if path.is_file()
    )


def test_a_full_disk_refuses_the_upload_whole(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageFull):
            backend.app.upload(portraits["Robert"][0], "Robert")
    assert list(backend.bucket.keys("uploaded/")) == []
    files = [path.name for path in (tmp_path / "data" / "bucket").rglob("*") if path.is_file()]
    assert files == [".mark"]
    assert backend.app.enroll(portraits["Robert"][0], "Robert").status is UploadStatus.INDEXED


@pytest.mark.parametrize("method", ["put", "delete"])
def test_a_full_disk_does_not_keep_anybody_from_being_forgotten(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str
) -> None:
    reserve = tmp_path / "data" / "reserve"
    backend.app.enroll(portraits["Robert"][0], "Robert")
    backend.app.recognize(portraits["Robert"][1])
    plain = getattr(backend.catalog, method)
    assert reserve.stat().st_size == reserve.stat().st_blocks * 512 > 0

    def full(*arguments: object, **conditions: object) -> object:
        if reserve.exists():
            raise StorageFull("The disk is full.")
        return plain(*arguments, **conditions)

    monkeypatch.setattr(backend.catalog, method, full)
    receipt = backend.app.forget("Robert")
    assert (receipt.faces, receipt.images, receipt.recognitions) == (1, 1, 1)
    assert backend.app.verify_erased("Robert") == ()
    EmbeddedBackend(tmp_path / "data", "people", Policy(), FakeFaceEngine).app.close()
    assert reserve.exists()


def test_a_full_database_refuses_and_recovers(backend: EmbeddedBackend, portraits: Portraits) -> None:
    photo = portraits["Robert"][0]
    backend.app.enroll(photo, "Robert")
    pages = backend.database.read("PRAGMA page_count")[0][0]
    backend.database.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFull):
        list(map(backend.app.recognize, [photo] * 1000))
    backend.database.read("PRAGMA max_page_count = 1000000")
    assert backend.app.recognize(photo).faces[0].user_id == "Robert"


def test_a_damaged_database_says_so(start: Callable[[], EmbeddedBackend], portraits: Portraits, tmp_path: Path) -> None:
    backend = start()
    backend.app.enroll(portraits["Robert"][0], "Robert")
    backend.close()
    database = tmp_path / "data" / "mien.db"
    database.write_bytes(b"no database at all" + database.read_bytes()[18:])
    with pytest.raises(StorageDamaged, match="backup"):
        start()


def test_a_folder_that_cannot_be_says_so(tmp_path: Path, engine: FakeFaceEngine) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        EmbeddedBackend(tmp_path / "file" / "data", "people", Policy(), lambda: engine)


def test_a_damaged_marker_is_that_of_another_disk(
    backend: EmbeddedBackend, portraits: Portraits, tmp_path: Path
) -> None:
    (tmp_path / "data" / "bucket" / ".mark").write_bytes(b"\xff\xfe")
    with pytest.raises(StorageError, match="does not match"):
        backend.app.upload(portraits["Robert"][0], "Robert")


def test_a_folder_that_cannot_be_written_says_so(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "replace", read_only)
    with pytest.raises(StorageError):
        backend.app.upload(portraits["Robert"][0], "Robert")


def test_failures_are_tried_again_and_then_put_aside(
    backend: EmbeddedBackend, portraits: Portraits, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = backend.app.upload(portraits["Robert"][0], "Robert")
    worker = backend.worker(threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(backend.recognizer, "index", lambda *_: 1 / 0)
        assert worker.run_once()
    assert backend.queue.waiting() == 1
    backend.queue.put(upload.image_path)  # its time has come
    assert worker.run_once()
    assert backend.app.upload_status(upload.image_path).status is UploadStatus.INDEXED
    assert backend.queue.waiting() == backend.queue.dead() == 0


def test_two_servers_on_one_folder_index_everything_once(
    start: Callable[[], EmbeddedBackend], portraits: Portraits
) -> None:
    machines = [start(), start()]
    workers = [backend.worker(threads=2) for backend in machines]
    for worker in workers:
        worker.start()
    try:
        for number, (name, photos) in enumerate(portraits.items()):
            for photo in photos:
                machines[number % 2].app.upload(photo, name)
        wait_for(lambda: machines[0].queue.waiting() == 0)
    finally:
        for worker in workers:
            worker.stop()
    for backend in machines:
        assert outcomes(backend) == [UploadStatus.INDEXED] * 20
        assert len(backend.app.faces().items) == 20
        assert sum(len(backend.recognizer.face_ids(name)) for name in portraits) == 20
        assert backend.app.recognize(portraits["Salma"][0]).faces[0].user_id == "Salma"


def test_a_photo_copied_by_hand_is_an_upload(backend: EmbeddedBackend, portraits: Portraits, tmp_path: Path) -> None:
    uploaded = tmp_path / "data" / "bucket" / "uploaded"
    before, after = (uploaded / name for name in ("Robert De Niro", "Venus"))
    before.mkdir()
    (before / "my.photo_1.jpg").write_bytes(portraits["Robert"][0])
    worker = backend.worker(threads=1)
    worker.start()
    try:
        wait_for(lambda: len(backend.app.people().items) == 1)
        after.mkdir()
        (after / ".hidden.jpg").write_bytes(portraits["Salma"][0])
        (after / "x.jpg").write_bytes(portraits["Venus"][0])
        wait_for(lambda: len(backend.app.people().items) == 2)
    finally:
        worker.stop()
    assert {person.user_id for person in backend.app.people().items} == {"Robert De Niro", "Venus"}
    assert len(backend.app.faces().items) == 2


@pytest.mark.slow
def test_nothing_is_lost_or_done_twice_after_kill_9(
    start: Callable[[], EmbeddedBackend], portraits: Portraits, tmp_path: Path
) -> None:
    photos = [(name, photo) for name, many in portraits.items() for photo in many]
    port = free_port()
    for round_number in range(2):
        server = serve(tmp_path / "data", port, {"MIEN_COLLECTION": "people"})
        half = photos[round_number * 10 : round_number * 10 + 10]
        for name, photo in half:
            answer = httpx.post(
                f"http://127.0.0.1:{port}/upload",
                params={"user_id": name},
                content=photo,
                headers={"Content-Type": "image/jpeg"},
                timeout=PATIENCE_SECONDS,
            )
            assert answer.status_code == 202
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    backend = start()
    backend.worker(threads=1).reconcile()
    wait_for(lambda: drain(backend) is None and backend.queue.waiting() == 0)
    assert outcomes(backend) == [UploadStatus.INDEXED] * 20
    assert len(backend.app.faces().items) == 20
    assert sum(len(backend.recognizer.face_ids(name)) for name in portraits) == 20
