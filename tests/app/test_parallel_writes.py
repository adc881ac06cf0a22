"""Writes to one person, photo, face, recognition or collection at once: each is answered, none with a server error."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import combinations_with_replacement
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from starlette.testclient import TestClient

from mien.api.api import create_api
from mien.backends.embedded import folder_tree
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import MienError, StorageError, UserNotFound
from mien.gallery.store import private_files
from mien.settings import Settings
from tests.support.painter import photo_of

Write = Callable[[], int]
JPEG = {"Content-Type": "image/jpeg"}
AT_ONCE = 4
WRITES = (
    *("delete person", "delete face", "delete recognition", "delete unnamed", "undo rejection", "reject", "rename"),
    *("consent", "merge", "merge back", "unmerge", "move photo", "upload", "recognize", "index"),
)
DELETIONS = ("delete person", "delete face", "delete recognition", "undo rejection")
KEYS = [f"uploaded/ann/{number}.jpg" for number in range(3)]


class Rest:
    """Two people with two photos each, and the writes that concern the first of them; each returns a status."""

    def __init__(self, backend: EmbeddedBackend) -> None:
        self.backend, self.app = backend, backend.app
        self.client = TestClient(create_api(backend.app, Settings(), signer=backend.signer))
        self.photos = [photo_of("Robert", photo=number) for number in range(2)]

    def prepare(self) -> None:
        for number, photo in enumerate(self.photos):
            self.path = self.app.enroll(photo, "Robert").image_path
            self.app.enroll(photo_of("Venus", photo=number), "Venus")
        self.face = self.app.faces("Robert").items[0].face_id
        self.recognition = self.app.recognize(self.photos[0]).recognition_id
        self.rejection = self.app.reject(photo_of("Salma"), "Robert").face_id

    def writes(self) -> dict[str, Write]:
        request = self.client.request
        return {
            "delete person": lambda: request("DELETE", "/users/Robert").status_code,
            "delete face": lambda: request("DELETE", f"/faces/{self.face}").status_code,
            "delete recognition": lambda: request("DELETE", f"/recognitions/{self.recognition}").status_code,
            "delete unnamed": lambda: request("DELETE", "/recognitions?unnamed=true").status_code,
            "undo rejection": lambda: request("DELETE", f"/rejections/{self.rejection}").status_code,
            "reject": lambda: self._send("POST", "/rejections?user_id=Robert", photo_of("Salma")),
            "rename": lambda: request("PATCH", "/users/Robert", json={"name": "Bob"}).status_code,
            "consent": lambda: request("PATCH", "/users/Robert", json={"consent_until": "2099-01-01"}).status_code,
            "merge": lambda: request("POST", "/users/Robert/merge", json={"into": "Venus"}).status_code,
            "merge back": lambda: request("POST", "/users/Venus/merge", json={"into": "Robert"}).status_code,
            "unmerge": lambda: request("POST", "/users/Robert/unmerge").status_code,
            "move photo": lambda: request("PATCH", f"/images/{self.path}", json={"user_id": "Venus"}).status_code,
            "upload": lambda: self._send("POST", "/upload?user_id=Robert", self.photos[0]),
            "recognize": lambda: self._send("POST", "/recognize", self.photos[1]),
            "index": self._index,
        }

    def _send(self, method: str, url: str, photo: bytes) -> int:
        return self.client.request(method, url, content=photo, headers=JPEG).status_code

    def _index(self) -> int:
        try:
            self.app.index_upload(self.path)
        except MienError:
            return 404
        return 200


@pytest.fixture
def rest(backend: EmbeddedBackend) -> Rest:
    return Rest(backend)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        yield pool


def statuses(rest: Rest, pool: ThreadPoolExecutor, *names: str) -> list[tuple[str, int]]:
    """Prepare, do each write `AT_ONCE` times, all at the same moment, and forget both people."""
    rest.prepare()
    writes, begin = rest.writes(), Barrier(AT_ONCE * len(names))

    def write(name: str) -> tuple[str, int]:
        begin.wait()
        return name, writes[name]()

    try:
        return list(pool.map(write, names * AT_ONCE))
    finally:
        for user_id in ("Robert", "Venus"):
            with suppress(UserNotFound):
                rest.app.forget(user_id)


@pytest.mark.parametrize("name", DELETIONS)
def test_who_deletes_the_same_at_once_gets_an_answer(rest: Rest, pool: ThreadPoolExecutor, name: str) -> None:
    answered = {status for _, status in statuses(rest, pool, name)}
    assert answered & {200, 202, 204}
    assert answered <= {200, 202, 204, 404}


@pytest.mark.slow
def test_no_two_writes_at_once_end_in_an_error_of_the_server(rest: Rest, pool: ThreadPoolExecutor) -> None:
    pairs = combinations_with_replacement(WRITES, 2)
    answered = [(one, two, *answer) for one, two in pairs for answer in statuses(rest, pool, one, two)]
    assert [each for each in answered if each[-1] >= 500] == []


def test_photos_come_and_go_at_once(backend: EmbeddedBackend, rng: np.random.Generator) -> None:
    bucket = backend.bucket
    steps: list[Callable[[], object]] = [
        lambda: bucket.put(KEYS[0], b"\xff\xd8\xff", "image/jpeg", {}),
        lambda: bucket.delete(KEYS),
        lambda: bucket.delete_folder("uploaded/ann/"),
        lambda: bucket.holds("uploaded/ann/"),
        lambda: list(bucket.keys("uploaded/")),
        bucket.remove_abandoned_drafts,
    ]

    def work(order: list[int]) -> None:
        for number in order:
            steps[number]()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, rng.integers(0, len(steps), (8, 60)).tolist()))


@pytest.mark.parametrize("step", ["delete", "holds"])
@pytest.mark.parametrize("looks", [1, 2, 3])
def test_a_folder_that_goes_in_between_is_no_error(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str, looks: int
) -> None:
    backend.bucket.put(KEYS[0], b"\xff\xd8\xff", "image/jpeg", {})
    folder, plain, looked = tmp_path / "data" / "bucket" / "uploaded" / "ann", folder_tree.is_folder, []

    def and_then_it_goes(root: Path, path: str) -> bool:
        answer = plain(root, path)
        looked.append(path)
        if len(looked) == looks:
            shutil.rmtree(folder, ignore_errors=True)
        return answer

    monkeypatch.setattr(folder_tree, "is_folder", and_then_it_goes)
    if step == "delete":
        assert backend.bucket.delete(KEYS[:1]) in {0, 1}
    else:
        backend.bucket.holds("uploaded/ann/")


def test_a_photo_finds_its_place_though_its_folder_is_removed_as_empty(
    backend: EmbeddedBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, plain, removed = tmp_path / "data" / "bucket" / "uploaded" / "ann", private_files.make_folder, []

    def and_then_it_goes(path: Path) -> None:
        plain(path)
        if path == folder and not removed:
            removed.append(folder.rmdir())

    monkeypatch.setattr(private_files, "make_folder", and_then_it_goes)
    backend.bucket.put(KEYS[0], b"\xff\xd8\xff", "image/jpeg", {})
    assert list(backend.bucket.keys("uploaded/")) == [KEYS[0]]


def test_a_file_in_the_place_of_a_folder_is_told(backend: EmbeddedBackend, tmp_path: Path) -> None:
    (tmp_path / "data" / "bucket" / "uploaded" / "ann").write_bytes(b"")
    with pytest.raises(StorageError):
        backend.bucket.put(KEYS[0], b"\xff\xd8\xff", "image/jpeg", {})
