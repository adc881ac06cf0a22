"""Processes die at random moments of what ends or changes a life; after the next start, everything fits together."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mien.app.app import FaceApp
from mien.app.name_claims import claims
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.errors import UserNotFound
from mien.domain.records import Consent, Erasure, FaceRecord, NameClaim, Person, Recognition, Upload, UploadStatus
from tests.app.victim import POLICY, WORK
from tests.support.fake_engine import FakeFaceEngine
from tests.support.process import PATIENCE_SECONDS

KILLS = int(os.environ.get("MIEN_TEST_KILLS", "8")) // len(WORK)
ROOT = Path(__file__).parents[2]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

Portraits = dict[str, list[bytes]]


@contextmanager
def opened(folder: Path) -> Iterator[EmbeddedBackend]:
    backend = EmbeddedBackend(folder, "people", POLICY, FakeFaceEngine)
    with backend.app:
        yield backend


class Victim:
    """Runs `tests.app.victim` on a data folder."""

    def __init__(self, folder: Path, work: str) -> None:
        command = [sys.executable, "-m", "tests.app.victim", str(folder), work]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"

    def run(self) -> float:
        """Let it end; return how many seconds it took."""
        begun = time.monotonic()
        output, _ = self._process.communicate(b"\n", PATIENCE_SECONDS)
        assert output == b"done\n"
        return time.monotonic() - begun

    def kill_after(self, seconds: float) -> bool:
        """Kill it so many seconds after its beginning; tell whether it was at work then."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        time.sleep(seconds)
        self._process.kill()
        output, _ = self._process.communicate()
        return output == b""


def start_again(backend: EmbeddedBackend) -> None:
    """Do what a server does at its start."""
    backend.bucket.remove_abandoned_drafts()
    backend.app.resume_erasures()
    worker = backend.worker(threads=1)
    worker.reconcile()
    while worker.run_once():
        pass


def check_that_everything_fits(backend: EmbeddedBackend) -> None:
    uploads = backend.catalog.find(Upload, limit=1000).items
    assert {upload.image_path for upload in uploads} == set(backend.bucket.keys("uploaded/"))
    assert {upload.status for upload in uploads} <= {UploadStatus.INDEXED}
    shown = {face_id: upload.user_id for upload in uploads for face_id in upload.face_ids}
    assert {face.face_id: face.user_id for face in backend.catalog.find(FaceRecord, limit=1000).items} == shown
    assert {face.face_id for face in backend.recognizer.list_faces().items} == shown.keys()
    people = {person.user_id: person for person in backend.catalog.find(Person).items}
    assert people.keys() == {user_id for user_id in shown.values() if user_id is not None}
    assert {claim.key for claim in backend.catalog.find(NameClaim).items} == {
        claim.key for person in people.values() for claim in claims(person)
    }
    for user_id, person in people.items():
        assert set(person.merged) == {each.user_id for each in people.values() if each.merged_into == user_id}
        assert backend.recognizer.face_ids(user_id) == {face_id for face_id, owner in shown.items() if owner == user_id}
    assert backend.catalog.find(Erasure).items == ()
    assert backend.database.read("PRAGMA integrity_check") == [("ok",)]


def fill(backend: EmbeddedBackend, portraits: Portraits) -> None:
    """People, visitors, and answers that name them; some of it is over, some is not."""
    past = FaceApp(backend.bucket, backend.recognizer, backend.catalog, now=lambda: LONG_AGO)
    for name in ("Robert", "Venus", "Salma"):
        for photo in portraits[name][:3]:
            past.enroll(photo, name)
        backend.app.recognize(portraits[name][3])
        past.recognize(portraits[name][4])
    for photo in portraits["Sheryl"]:
        past.index_upload(past.upload(photo).image_path)


def damage(backend: EmbeddedBackend, folder: Path) -> None:
    """Leave what a repair has to do: photos without faces, and faces, records and states without a photo."""
    paths = sorted(backend.bucket.keys("uploaded/"))
    for path in paths[::4]:
        (folder / "bucket" / path).unlink()
    uploads = backend.catalog.get(Upload, paths)
    backend.catalog.delete(FaceRecord, [face_id for upload in uploads[1::4] for face_id in upload.face_ids])
    backend.recognizer.delete([face_id for upload in uploads[2::4] for face_id in upload.face_ids])
    backend.catalog.delete(Upload, [upload.image_path for upload in uploads[3::4]])


def check_that_robert_is_erased(backend: EmbeddedBackend) -> None:
    with suppress(UserNotFound):
        backend.app.forget("Robert")  # killed before the request was stored
    assert backend.app.verify_erased("Robert") == ()
    assert {person.user_id for person in backend.app.people().items} == {"Venus", "Salma"}
    assert len(backend.catalog.find(Recognition).items) == 4


def check_that_what_is_over_is_gone(backend: EmbeddedBackend) -> None:
    backend.app.expire()
    assert {person.user_id for person in backend.app.people().items} == {"Venus", "Salma"}
    assert backend.catalog.find(Consent).items == ()
    assert backend.catalog.find(Upload, of_nobody=True).items == ()
    named = [recognition.user_ids for recognition in backend.catalog.find(Recognition).items]
    assert sorted(map(sorted, named)) == [["Salma"], ["Venus"]]
    assert backend.app.verify_erased("Robert") == ()


def check_that_all_photos_are_theirs(backend: EmbeddedBackend) -> None:
    people = backend.catalog.find(Person).items
    assert {person.user_id: person.name for person in people}.items() <= {
        ("Robert", "Robert"),
        ("Salma", "Salma"),
        ("Salma", "Sal"),
        ("Venus", "Venus"),
        ("Venus", "Serena"),
    }
    assert len(people) == 3
    assert {len(backend.catalog.find(FaceRecord, user_id=person.user_id).items) for person in people} == {3}
    assert len(backend.catalog.find(Recognition).items) == 6


def check_that_nothing_is_left_to_repair(backend: EmbeddedBackend) -> None:
    backend.app.reconcile(repair=True, force=True, grace=0)
    found = backend.app.reconcile(repair=False, grace=0).found
    assert (found.removals, found.photos_without_state, found.people_without_claim) == (0, 0, 0)


CHECKS: dict[str, Callable[[EmbeddedBackend], None]] = {
    "erase": check_that_robert_is_erased,
    "expire": check_that_what_is_over_is_gone,
    "change": check_that_all_photos_are_theirs,
    "repair": check_that_nothing_is_left_to_repair,
}


@pytest.mark.slow
@pytest.mark.parametrize("work", WORK)
def test_whatever_is_killed_at_any_moment_is_whole_after_the_next_start(
    tmp_path: Path, portraits: Portraits, work: str
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    moments = random.Random(seed)
    seconds, killed_midway = 1.0, 0
    for number in range(KILLS + 1):
        folder = tmp_path / str(number)
        with opened(folder) as backend:
            fill(backend, portraits)
            if work == "expire":
                backend.catalog.put(Consent.until("Robert", LONG_AGO.date()))
            if work == "repair":
                damage(backend, folder)
        victim = Victim(folder, work)
        if number == 0:  # the first may live, to tell how long the others have
            seconds = victim.run()
        else:
            killed_midway += victim.kill_after(moments.uniform(0, 0.8 * seconds))
        with opened(folder) as backend:
            start_again(backend)
            CHECKS[work](backend)
            check_that_everything_fits(backend)
    assert killed_midway or KILLS < 5  # some kills may come too late
