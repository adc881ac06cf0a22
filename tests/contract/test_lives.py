"""Random lives of photos and people: whatever happens in whatever order, everything fits together in the end.

Every enrolled face has a photo, every indexed photo has its faces, an erased person is nowhere, and nothing of others
is lost. MIEN_TEST_LIVES=1000 tries so many lives on each backend; without it a few.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from mien.domain.errors import UserNotFound
from mien.domain.records import Erasure, FaceRecord, Upload, UploadStatus
from tests.contract.lives import WORLDS, World, power_cut
from tests.support import painter

LIVES = int(os.environ.get("MIEN_TEST_LIVES", "5"))
PEOPLE = ("Robert", "Venus", "Salma")
NAMES = ("one.jpg", "two.jpg", "three.jpg")

people = st.sampled_from(PEOPLE)
photos = st.integers(0, 2)
names = st.sampled_from(NAMES)


@cache
def photo(person: str, number: int) -> bytes:
    return painter.photo_of(person, photo=number)


def path_of(person: str, name: str) -> str:
    return f"uploaded/{person}/{name}"


class Lives(RuleBasedStateMachine):
    """Keeps in `files` what the bucket has to hold: the bytes by path."""

    open_world: Callable[[], World]

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).open_world()
        self.files: dict[str, bytes] = {}
        self.erased: set[str] = set()
        self.is_settled = True

    def teardown(self) -> None:
        try:
            self.world.settle()
            self.is_settled = True
            self.everything_fits_together()
            for person in self.erased:
                assert self.world.app.verify_erased(person) == ()
        finally:
            self.world.close()

    @rule(person=people, number=photos)
    def upload(self, person: str, number: int) -> None:
        self._store(self.world.app.upload(photo(person, number), person).image_path, photo(person, number))

    @rule(person=people, number=photos)
    def enroll(self, person: str, number: int) -> None:
        self._store(self.world.app.enroll(photo(person, number), person).image_path, photo(person, number))

    @rule(person=people, number=photos, name=names)
    def copy_in_by_hand(self, person: str, number: int, name: str) -> None:
        """Also replaces a photo by a copy of another."""
        self.world.write(path_of(person, name), photo(person, number))
        self._store(path_of(person, name), photo(person, number))

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def delete_by_hand(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.files)))
        self.world.remove(path)
        del self.files[path]
        self.is_settled = False

    @precondition(lambda self: self.files)
    @rule(data=st.data(), person=people, name=names)
    def rename_by_hand(self, data: st.DataObject, person: str, name: str) -> None:
        """Also moves it to another person, or over another photo."""
        path = data.draw(st.sampled_from(sorted(self.files)))
        target, body = path_of(person, name), self.files[path]
        if target != path:
            self.world.write(target, body)
            self.world.remove(path)
            del self.files[path]
            self._store(target, body)

    @precondition(lambda self: self.files and self.is_settled)
    @rule(data=st.data())
    def delete_face(self, data: st.DataObject) -> None:
        """Takes the photo along, with its copies of the same person."""
        face = data.draw(st.sampled_from(sorted(self.world.app.faces(limit=1000).items, key=lambda f: f.image_path)))
        body = self.files[face.image_path]
        self.world.app.delete_face(face.face_id)
        folder = face.image_path.rpartition("/")[0]
        self.files = {p: b for p, b in self.files.items() if b != body or p.rpartition("/")[0] != folder}

    @rule(person=people, number=photos)
    def recognize(self, person: str, number: int) -> None:
        self.world.app.recognize(photo(person, number))

    @rule(person=people)
    def forget(self, person: str) -> None:
        has_photos = any(path.startswith(path_of(person, "")) for path in self.files)
        try:
            receipt = self.world.app.forget(person)
        except UserNotFound:
            assert not has_photos
        else:
            assert receipt.remaining_stores == ()
        self._erase(person)

    @rule(person=people, calls=st.integers(0, 12))
    def cut_the_power_while_forgetting(self, person: str, calls: int) -> None:
        with power_cut(self.world, calls), suppress(UserNotFound):
            self.world.app.forget(person)
        if self.world.catalog.get(Erasure, [person]):
            self.world.app.resume_erasures()
        if not any(self.world.bucket.keys(path_of(person, ""))):  # it had begun, or there was nobody
            self._erase(person)
        self.is_settled = False

    @rule(person=people, number=photos, calls=st.integers(0, 8))
    def cut_the_power_while_enrolling(self, person: str, number: int, calls: int) -> None:
        with power_cut(self.world, calls):
            self.world.app.enroll(photo(person, number), person)
        self._adopt(person, photo(person, number))

    @rule(calls=st.integers(0, 12))
    def cut_the_power_while_it_works(self, calls: int) -> None:
        with power_cut(self.world, calls):
            self.world.settle()
        self.is_settled = False

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule()
    def settle(self) -> None:
        self.world.settle()
        self.is_settled = True

    @precondition(lambda self: self.is_settled)
    @invariant()
    def everything_fits_together(self) -> None:
        world = self.world
        assert set(world.bucket.keys("uploaded/")) == set(self.files)
        uploads = world.catalog.find(Upload, limit=1000).items
        assert {upload.image_path for upload in uploads} == set(self.files)
        assert {upload.status for upload in uploads} <= {UploadStatus.INDEXED}
        for upload in uploads:
            assert upload.digest == hashlib.sha256(self.files[upload.image_path]).hexdigest()
        shown = {face_id: upload.user_id for upload in uploads for face_id in upload.face_ids}
        records = world.catalog.find(FaceRecord, limit=1000).items
        assert {record.face_id: record.user_id for record in records} == shown
        listed = {upload.image_path: upload.face_ids for upload in uploads}
        assert all(record.face_id in listed[record.image_path] for record in records)
        assert {face.face_id for face in world.recognizer.list_faces().items} == set(shown)
        enrolled = {path.split("/")[1] for path in self.files}
        assert {person.user_id for person in world.app.people(limit=1000).items} == enrolled
        for person in enrolled:
            mine = {face_id for face_id, user_id in shown.items() if user_id == person}
            assert world.recognizer.face_ids(person) == mine

    def _store(self, path: str, body: bytes) -> None:
        self.files[path] = body
        self.erased.discard(path.split("/")[1])
        self.is_settled = False

    def _adopt(self, person: str, body: bytes) -> None:
        """Whether the photo was stored before the power was cut, only the bucket tells."""
        for path in self.world.bucket.keys(path_of(person, "")):
            if path not in self.files:
                self._store(path, body)
        self.is_settled = False

    def _erase(self, person: str) -> None:
        self.files = {p: body for p, body in self.files.items() if not p.startswith(path_of(person, ""))}
        self.erased.add(person)


@pytest.mark.parametrize("backend", WORLDS)
def test_lives_end_with_everything_in_its_place(backend: str) -> None:
    class OnBackend(Lives):
        open_world = staticmethod(WORLDS[backend])

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        OnBackend,
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=25 if LIVES > 100 else 15,
            deadline=None,
            derandomize=LIVES <= 100,
            suppress_health_check=checks,
        ),
    )
