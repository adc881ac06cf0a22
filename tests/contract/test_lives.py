"""Random lives of photos and people: whatever happens in whatever order, everything fits together in the end.

Every enrolled face has a photo, every indexed photo has its faces, names and ids agree everywhere, an erased person is
nowhere, and nothing of others is lost. Each thing that is done may be cut off at any of its writes, as by a crash.
MIEN_TEST_LIVES=1000 tries so many lives on each backend; without it a few.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from mien.app.app import FaceApp
from mien.app.people import claims
from mien.domain import object_keys
from mien.domain.errors import FaceNotFound, InvalidInput, NoFace, UserExists, UserNotFound
from mien.domain.policy import Policy
from mien.domain.records import (
    Consent,
    Erasure,
    FaceRecord,
    NameClaim,
    Person,
    Recognition,
    Record,
    Upload,
    UploadStatus,
)
from tests.contract.life_model import Model
from tests.contract.lives import WORLDS, World, power_cut
from tests.support import painter

R = TypeVar("R", bound=Record)

LIVES = int(os.environ.get("MIEN_TEST_LIVES", "5"))
PEOPLE = ("Robert", "Venus", "Salma")
NAMES = ("Ann", "Anne", "Venus")
FILES = ("one.jpg", "two.jpg", "three.jpg")
RESULT_DAYS, VISITOR_DAYS = 10, 20
TODAY = datetime.now(UTC).date()

people = st.sampled_from(PEOPLE)
photos = st.integers(0, 2)
folders = st.sampled_from((*PEOPLE, "Ann", object_keys.NO_USER))
files = st.sampled_from(FILES)
cuts = st.one_of(st.none(), st.none(), st.integers(0, 12))
"""After how many writes the power is cut; None for never."""


@cache
def photo(person: str, number: int) -> bytes:
    """The third photo shows somebody else, too."""
    others = ("Hedy",) if number == 2 else ()
    return painter.photo_of(person, *others, photo=number)


class Lives(RuleBasedStateMachine):
    """Does something to a backend and to the model, and compares them whenever all events have been handled."""

    open_world: Callable[[], World]

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).open_world()
        self.model = Model()
        self.is_settled = True

    def teardown(self) -> None:
        try:
            self.settle()
            self.everything_fits_together()
            self.people_are_recognised_by_their_present_names()
            known = self._known()
            for label in (
                self.model.erased - self.model.in_use() - known.keys() - {each.name for each in known.values()}
            ):
                assert self.world.app.verify_erased(label) == ()
        finally:
            self.world.close()

    # Photos

    @rule(person=people, number=photos, cut=cuts)
    def upload(self, person: str, number: int, cut: int | None) -> None:
        self._upload(self.world.app.upload, person, photo(person, number), cut)

    @rule(person=people, number=photos, cut=cuts)
    def enroll(self, person: str, number: int, cut: int | None) -> None:
        self._upload(self.world.app.enroll, person, photo(person, number), cut)

    @rule(person=people, number=photos, cut=cuts)
    def upload_for_nobody(self, person: str, number: int, cut: int | None) -> None:
        self._upload(self.world.app.upload, None, photo(person, number), cut)

    @rule(person=people, number=photos, folder=folders, file=files)
    def copy_in_by_hand(self, person: str, number: int, folder: str, file: str) -> None:
        """Also replaces a photo by a copy of another."""
        self._write_by_hand(f"uploaded/{folder}/{file}", photo(person, number))

    @precondition(lambda self: self.model.files)
    @rule(data=st.data())
    def delete_by_hand(self, data: st.DataObject) -> None:
        self._remove_by_hand(self._draw_photo(data))

    @precondition(lambda self: self.model.files)
    @rule(data=st.data(), folder=folders, file=files)
    def rename_by_hand(self, data: st.DataObject, folder: str, file: str) -> None:
        """Also moves it to another person, or over another photo."""
        path, target = self._draw_photo(data), f"uploaded/{folder}/{file}"
        if target != path:
            self._write_by_hand(target, self.model.files[path])
            self._remove_by_hand(path)

    @precondition(lambda self: self.model.files)
    @rule(data=st.data(), person=people, cut=cuts)
    def move(self, data: st.DataObject, person: str, cut: int | None) -> None:
        self.settle()
        path, known = self._draw_photo(data), self._known()
        body, former = self.model.files[path], self.model.owners[path]
        admitted = self._admitted(person, known)
        if admitted is None:
            with pytest.raises(UserExists):
                self.world.app.move(path, person)
            return
        target = object_keys.image_path(admitted, object_keys.upload_id(body), "jpg")
        is_new = all(known[each].pending for each in {admitted} & known.keys())
        with self._cut(cut):
            self.world.app.move(path, person)
            assert target in self.world.bucket.keys(target)
            assert target == path or path not in self.world.bucket.keys(path)
        if self._is_there(target):
            self.model.store(target, body, admitted)
        if not self._is_there(path):
            self.model.remove([path])
        if is_new and target != path and former in self.model.consents and self.world.catalog.get(Consent, [admitted]):
            self.model.consents[admitted] = self.model.consents[former]
        assert self._is_there(target) or self._is_there(path)
        assert {each.recognition_id for each in self._all(Recognition)} == self.model.answers.keys()
        self._adopt_answers()  # they may name the person to whom the photo belongs now
        self.settle()

    @rule(data=st.data(), cut=cuts)
    def delete_face(self, data: st.DataObject, cut: int | None) -> None:
        """Takes along the photos that show no other face."""
        self.settle()
        faces = self.world.app.faces(limit=1000).items
        if not faces:
            return
        face = data.draw(st.sampled_from(sorted(faces, key=lambda face: (face.image_path, face.box.left))))
        shown_by = [upload for upload in self._all(Upload) if face.face_id in upload.face_ids]
        with self._cut(cut):
            self.world.app.delete_face(face.face_id)
        with suppress(FaceNotFound):
            self.world.app.delete_face(face.face_id)
        self.model.remove(upload.image_path for upload in shown_by if len(upload.face_ids) == 1)
        self.settle()

    # Recognition

    @rule(person=people, number=photos, cut=cuts)
    def recognize(self, person: str, number: int, cut: int | None) -> None:
        with self._cut(cut):
            self.world.app.recognize(photo(person, number))
        self._adopt_answers()

    @precondition(lambda self: self.model.files)
    @rule(data=st.data(), cut=cuts)
    def recognize_stored(self, data: st.DataObject, cut: int | None) -> None:
        path = self._draw_photo(data)
        with self._cut(cut):
            self.world.app.recognize_stored(path)
        self._adopt_answers()

    @precondition(lambda self: self.model.answers)
    @rule(data=st.data())
    def delete_recognition(self, data: st.DataObject) -> None:
        recognition_id = data.draw(st.sampled_from(list(self.model.answers)))
        self.world.app.delete_recognition(recognition_id)
        del self.model.answers[recognition_id]

    @rule(person=people, number=photos, cut=cuts)
    def reject(self, person: str, number: int, cut: int | None) -> None:
        with self._cut(cut), suppress(UserNotFound, NoFace):
            self.world.app.reject(photo(person, number), person)
        self.model.rejected = {face.face_id: face.user_id or "" for face in self._all(FaceRecord) if face.negative}

    @precondition(lambda self: self.model.rejected)
    @rule(data=st.data())
    def undo_rejection(self, data: st.DataObject) -> None:
        face_id = data.draw(st.sampled_from(list(self.model.rejected)))
        self.world.app.undo_rejection(face_id)
        del self.model.rejected[face_id]

    # People

    @rule(person=people, name=st.sampled_from(NAMES), cut=cuts)
    def rename(self, person: str, name: str, cut: int | None) -> None:
        known = self._known()
        holder, root = self.model.holder(name, known), self.model.root(person)
        if person not in known or holder not in {None, root}:
            with pytest.raises(UserExists if person in known else UserNotFound):
                self.world.app.rename(person, name)
            return
        with self._cut(cut):
            assert self.world.app.rename(person, name).name == name
        now = self._known()[root].name
        assert now in ({self.model.name(root), name} if cut is not None else {name})
        self.model.rename(root, now)

    @rule(person=people, into=people, cut=cuts)
    def merge(self, person: str, into: str, cut: int | None) -> None:
        known = self._known()
        if person not in known or into not in known or person in self.model.merged or self.model.root(into) == person:
            with pytest.raises((InvalidInput, UserNotFound)):
                self.world.app.merge(person, into)
            return
        root = self.model.root(into)
        with self._cut(cut):
            assert self.world.app.merge(person, into).user_id == root
        merged_into = self._known()[person].merged_into
        assert merged_into == root or (cut is not None and merged_into is None)
        if merged_into:
            self.model.merged[person] = root

    @rule(person=people, cut=cuts)
    def unmerge(self, person: str, cut: int | None) -> None:
        if person not in self.model.merged or person not in self._known():
            with pytest.raises((InvalidInput, UserNotFound)):
                self.world.app.unmerge(person)
            return
        with self._cut(cut):
            assert self.world.app.unmerge(person).user_id == person
        merged_into = self._known()[person].merged_into
        assert merged_into is None or (cut is not None and merged_into == self.model.merged[person])
        if merged_into is None:
            del self.model.merged[person]

    @rule(person=people, days=st.sampled_from((5, 30)), cut=cuts)
    def set_consent(self, person: str, days: int, cut: int | None) -> None:
        known, root = self._known(), self.model.root(person)
        if root not in known or known[root].pending:
            with pytest.raises(UserNotFound):
                self.world.app.set_consent(person, _day(days))
            return
        with self._cut(cut):
            self.world.app.set_consent(person, _day(days))
        stored = {consent.user_id: consent.last_day for consent in self.world.catalog.get(Consent, [root])}
        if cut is None or stored.get(root) == _day(days):
            renewed = self.model.with_merged(root) & self.model.consents.keys() | {root}
            self.model.consents |= dict.fromkeys(renewed, days)

    # Endings

    @rule(person=people, cut=cuts, copied_meanwhile=st.booleans())
    def forget(self, person: str, cut: int | None, copied_meanwhile: bool) -> None:
        user_ids = self.model.with_merged(self.model.root(person))
        photos = self._photos_recognised_as(user_ids)
        is_known = user_ids & self._known().keys() or user_ids & set(self.model.owners.values())
        is_named = any(named & user_ids for named in self.model.answers.values())
        consents, has_begun = dict(self.model.consents), True
        with self._cut(cut):
            try:
                assert self.world.app.forget(person).remaining_stores == ()
            except UserNotFound:
                assert not is_known
                assert not is_named
        if cut is not None:
            pending = {intent.user_id for intent in self._all(Erasure)}
            has_begun = bool(pending) or not user_ids & self._known().keys()
        if not has_begun:
            assert all(map(self._is_there, self.model.files))
            return
        self.model.remove(set(photos) & self.model.files.keys())
        self.model.erase(user_ids)
        if cut is not None and copied_meanwhile:  # what is younger than the request stays
            time.sleep(1.1 * self.world.CLOCK_SECONDS)
            path = f"uploaded/{person}/new.jpg"
            owner = self.model.owner_by_folder(path, self._known())
            self.world.write(path, photo(person, 1))
            self.model.store(path, photo(person, 1), owner)
        self.world.app.resume_erasures()
        if self.world.catalog.get(Consent, [person]):  # it ends the stay of a person who is there again
            self.model.consents[person] = consents[person]
        self.settle()

    @rule(days=st.sampled_from((0, 7, 15, 25, 40)), cut=cuts)
    def expire(self, days: int, cut: int | None) -> None:
        self.settle()
        with self._cut(cut):
            self._later(days).expire()
        self._later(days).expire()
        if days >= RESULT_DAYS:
            self.model.answers = {}
        if days >= VISITOR_DAYS:
            self.model.remove([path for path, owner in self.model.owners.items() if owner is None])
        over = {user_id for user_id, last_day in self.model.consents.items() if last_day < days}
        for user_ids in map(self.model.with_merged, sorted(over)):
            self.model.remove(set(self._photos_recognised_as(user_ids)) & self.model.files.keys())
            self.model.erase(user_ids)
        self.settle()

    # The machine

    @rule(cut=st.integers(0, 12))
    def cut_the_power_while_it_works(self, cut: int) -> None:
        with self._cut(cut):
            self.world.settle()
        self.is_settled = False

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule()
    def settle(self) -> None:
        self.world.settle()
        self.model.forget_vanished(set(self._known()))
        self.is_settled = True

    # What is true

    @precondition(lambda self: self.is_settled)
    @invariant()
    def everything_fits_together(self) -> None:
        self.photos_have_their_faces()
        self.people_have_photos_and_names()
        self.faces_are_counted()
        assert {each.recognition_id for each in self._all(Recognition)} == self.model.answers.keys()
        assert not self._all(Erasure)

    def photos_have_their_faces(self) -> None:
        model, world = self.model, self.world
        assert set(world.bucket.keys("uploaded/")) == model.files.keys()
        uploads = {upload.image_path: upload for upload in self._all(Upload)}
        assert {path: upload.user_id for path, upload in uploads.items()} == model.owners
        assert {upload.status for upload in uploads.values()} <= {UploadStatus.INDEXED}
        for path, upload in uploads.items():
            assert upload.digest == hashlib.sha256(model.files[path]).hexdigest()
            assert upload.face_ids
        shown = {face_id: upload.user_id for upload in uploads.values() for face_id in upload.face_ids}
        records = [record for record in self._all(FaceRecord) if not record.negative]
        assert {record.face_id: record.user_id for record in records} == shown
        assert all(record.face_id in uploads[record.image_path].face_ids for record in records)
        listed = {face.face_id for face in world.recognizer.list_faces().items}
        assert listed == shown.keys() | model.rejected.keys()
        for person in model.known():
            mine = {face_id for face_id, user_id in shown.items() if user_id == person}
            assert world.recognizer.face_ids(person) == mine

    def people_have_photos_and_names(self) -> None:
        model, world, known = self.model, self.world, self._known()
        assert {person.user_id: person.name for person in world.app.people(limit=1000).items} == {
            user_id: model.name(user_id) for user_id in model.enrolled()
        }
        assert {user_id for user_id, person in known.items() if not person.pending} == model.known()
        for user_id, person in known.items():
            assert person.name == model.name(user_id)
            assert person.merged_into == model.merged.get(user_id)
            assert set(person.merged) == {alias for alias, into in model.merged.items() if into == user_id}
            for claim in claims(person):
                assert [stored.user_id for stored in world.catalog.get(NameClaim, [claim.key])] == [user_id]
        assert {claim.user_id for claim in self._all(NameClaim)} == known.keys()
        assert {consent.user_id: consent.last_day for consent in self._all(Consent)} == {
            user_id: _day(days) for user_id, days in model.consents.items()
        }
        negatives = {record.face_id: record.user_id for record in self._all(FaceRecord) if record.negative}
        assert negatives == model.rejected

    def faces_are_counted(self) -> None:
        user_ids = sorted({*PEOPLE, *NAMES, *self._known()})
        faces = [face.user_id for face in self._all(FaceRecord) if face.user_id and not face.negative]
        found = self.world.catalog.summarize_faces(user_ids)
        assert {user_id: one.count for user_id, one in found.items()} == dict(Counter(faces))
        assert all(one.newest.user_id == user_id for user_id, one in found.items())
        assert self.world.catalog.recount_faces(user_ids, write=False) == []

    def people_are_recognised_by_their_present_names(self) -> None:
        model = self.model
        for person in PEOPLE:
            for face in self.world.app.recognize(photo(person, 0), store=False).faces:
                for candidate in face.candidates:
                    assert candidate.user_id is None or candidate.user_id in model.enrolled()
                    assert candidate.user_id is None or candidate.name == model.name(candidate.user_id)
        for recognition in self.world.app.recognitions(limit=1000).items:
            named = {candidate.user_id for face in recognition.faces for candidate in face.candidates}
            assert named & model.known() <= model.enrolled()

    # Helpers

    @contextmanager
    def _cut(self, after: int | None) -> Iterator[None]:
        if after is None:
            yield
        else:
            with power_cut(self.world, after):
                yield
            self.is_settled = False

    def _upload(
        self, store: Callable[[bytes, str | None], Upload], person: str | None, body: bytes, cut: int | None
    ) -> None:
        known = self._known()
        admitted = None if person is None else self._admitted(person, known)
        if person is not None and admitted is None:
            with pytest.raises(UserExists):
                store(body, person)
            return
        path = object_keys.image_path(admitted, object_keys.upload_id(body), "jpg")
        with self._cut(cut):
            assert store(body, person).image_path == path
        if self._is_there(path):  # whether it was stored before the power was cut, only the bucket tells
            self.model.store(path, body, admitted)
        assert cut is not None or self._is_there(path)
        self.world.note(admitted)
        self.is_settled = False

    def _admitted(self, person: str, known: dict[str, Person]) -> str | None:
        """The id under which a photo for a person is stored; None when it is refused."""
        if person in known:
            return self.model.root(person)
        return None if self.model.holder(person, known) else person

    def _write_by_hand(self, path: str, body: bytes) -> None:
        known = self._known()
        owner = self.model.owner_by_folder(path, known)
        uploads = self.world.catalog.get(Upload, [path])
        if uploads and uploads[0].user_id is not None:
            owner = uploads[0].user_id
        self.world.write(path, body)
        self.model.store(path, body, owner)
        self.is_settled = False
        if owner is not None and object_keys.user_id_of(path) not in known:
            self.settle()  # later, the folder's name may be another's

    def _remove_by_hand(self, path: str) -> None:
        self.world.remove(path)
        self.model.remove([path])
        self.is_settled = False
        if not self._known().keys() <= self.model.known():
            self.settle()  # later, somebody of the same id may be new

    def _photos_recognised_as(self, user_ids: set[str]) -> list[str]:
        """The photos of nobody on which somebody was recognised, and their copies."""
        answers = [each for each in self._all(Recognition) if each.recognition_id in self.model.answers]
        recognised = {
            answer.image_path
            for answer in answers
            if answer.image_path
            and object_keys.user_id_of(answer.image_path) is None
            and any(face.user_id in user_ids for face in answer.faces)
        }
        digests = {upload.digest for upload in self._all(Upload) if upload.image_path in recognised}
        return [
            upload.image_path
            for upload in self._all(Upload)
            if upload.user_id is None
            and object_keys.user_id_of(upload.image_path) is None
            and (upload.image_path in recognised or (upload.digest and upload.digest in digests))
        ]

    def _adopt_answers(self) -> None:
        answers = {each.recognition_id: each.user_ids for each in self._all(Recognition)}
        assert answers.keys() >= self.model.answers.keys()
        assert len(answers) <= len(self.model.answers) + 1
        self.model.answers = answers

    def _known(self) -> dict[str, Person]:
        return {person.user_id: person for person in self._all(Person)}

    def _all(self, kind: type[R]) -> tuple[R, ...]:
        return self.world.catalog.find(kind, limit=1000).items

    def _is_there(self, path: str) -> bool:
        return path in self.world.bucket.keys(path)

    def _draw_photo(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.model.files)))

    def _later(self, days: int) -> FaceApp:
        """The application as it will be after some days."""
        policy = Policy(result_days=RESULT_DAYS, visitor_days=VISITOR_DAYS)
        world, ahead = self.world, timedelta(days=days)
        return FaceApp(world.bucket, world.recognizer, world.catalog, policy, now=lambda: datetime.now(UTC) + ahead)


def _day(days: int) -> date:
    return TODAY + timedelta(days=days)


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
            phases=[Phase.generate],  # making a failing life shorter takes many minutes
            report_multiple_bugs=False,
            suppress_health_check=checks,
        ),
    )
