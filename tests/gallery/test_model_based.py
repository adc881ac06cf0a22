"""Model-based test: random operations on two galleries that share a folder, compared with plain dictionaries."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from mien.domain.errors import FaceNotFound, UserExists, UserNotFound
from mien.domain.faces import UserStatus
from mien.gallery import Gallery, Refusal, compare
from tests.gallery.faces import Vectors, embedding, face, image_id
from tests.gallery.killed_writer import open_small

pytestmark = pytest.mark.slow

NAMES = st.sampled_from(["ann", "bob", "cy"])
THRESHOLDS = st.sampled_from([0.0, 1.0, 50.0, 75.0, 80.0, 99.0, 99.95])
PEOPLE = st.integers(0, 3)
PHOTOS = st.integers(0, 2)
EDGE = 1e-3
"""Similarities nearer to a threshold than this may fall on the other side when sums are in another order."""


@dataclass
class PlainFace:
    key: tuple[int, str | None, int]
    vector: Vectors
    user: str | None = None


class Comparison(RuleBasedStateMachine):
    face_ids = Bundle("face_ids")

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.galleries = [open_small(self.folder) for _ in range(2)]
        self.faces: dict[str, PlainFace] = {}
        self.users: set[str] = set()
        self.turn = 0
        self.gallery.collections.create("c")

    def teardown(self) -> None:
        for gallery in getattr(self, "galleries", []):
            gallery.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def gallery(self) -> Gallery:
        """The two galleries in turn."""
        self.turn += 1
        return self.galleries[self.turn % 2]

    @rule(
        target=face_ids,
        image=st.integers(0, 4),
        external=st.sampled_from([None, "a", "b"]),
        people=st.lists(PEOPLE, max_size=3),
        photo=PHOTOS,
    )
    def index(self, image: int, external: str | None, people: list[int], photo: int) -> object:
        read = [face(person, photo, place) for place, person in enumerate(people)]
        stored = self.gallery.faces.index("c", read, image_id=image_id(image), external_image_id=external)
        known = {plain.key: face_id for face_id, plain in self.faces.items()}
        for place, (one, found) in enumerate(zip(read, stored, strict=True)):
            key = (image, external, place)
            assert (found.face_id in self.faces) == (key in known)
            assert known.setdefault(key, found.face_id) == found.face_id
            self.faces.setdefault(found.face_id, PlainFace(key, one.embedding))
            assert (found.image_id, found.box, found.external_image_id) == (image_id(image), one.box, external)
        return multiple(*[found.face_id for found in stored])

    @rule(target=face_ids, person=PEOPLE, photos=st.sampled_from([1, 70]), compact=st.booleans())
    def add_in_bulk(self, person: int, photos: int, compact: bool) -> object:
        vectors = [embedding(person, photo) for photo in range(photos)]
        added = self.gallery.faces.add_embeddings("c", np.stack(vectors), ["bulk"] * photos)
        for face_id, vector in zip(added, vectors, strict=True):
            self.faces[face_id] = PlainFace((-1, "bulk", len(self.faces)), vector)
        if compact:
            self.gallery.compact("c")
        return multiple(*added)

    @rule(chosen=st.lists(consumes(face_ids), min_size=1, max_size=8))
    def delete(self, chosen: list[str]) -> None:
        done = self.gallery.faces.delete("c", chosen)
        asked = set(chosen)
        free = {face_id for face_id in asked & set(self.faces) if self.faces[face_id].user is None}
        assert set(done.deleted) == free
        for face_id, user_id, reason in done.failed:
            if face_id in self.faces:
                assert (user_id, reason) == (self.faces[face_id].user, Refusal.ASSOCIATED_TO_AN_EXISTING_USER)
            else:
                assert (user_id, reason) == (None, Refusal.FACE_NOT_FOUND)
        assert {failed.face_id for failed in done.failed} == asked - free
        for face_id in free:
            del self.faces[face_id]

    @rule(name=NAMES)
    def create_user(self, name: str) -> None:
        try:
            self.gallery.users.create("c", name)
            assert name not in self.users
        except UserExists:
            assert name in self.users
        self.users.add(name)

    @rule(name=NAMES)
    def delete_user(self, name: str) -> None:
        try:
            self.gallery.users.delete("c", name)
            assert name in self.users
        except UserNotFound:
            assert name not in self.users
        self.users.discard(name)
        for plain in self.faces.values():
            plain.user = None if plain.user == name else plain.user

    @rule(name=NAMES, chosen=st.lists(face_ids, min_size=1, max_size=4), threshold=THRESHOLDS)
    def associate(self, name: str, chosen: list[str], threshold: float) -> None:
        if name not in self.users:
            return
        own = self._centre(name)
        done = self.gallery.users.associate("c", name, chosen, threshold=threshold)
        failed = {refused.face_id: refused for refused in done.failed}
        for face_id in set(chosen):
            plain = self.faces.get(face_id)
            if plain is None:
                assert failed.pop(face_id).reason == Refusal.FACE_NOT_FOUND
            elif plain.user not in {None, name}:
                assert failed.pop(face_id)[1:] == (plain.user, None, Refusal.ASSOCIATED_TO_A_DIFFERENT_USER)
            elif plain.user is None and face_id in done.associated:
                assert own is None or _alike(own, plain.vector) >= threshold - EDGE
                plain.user = name
            elif plain.user is None:
                refused = failed.pop(face_id)
                assert refused.reason == Refusal.LOW_MATCH_CONFIDENCE
                assert refused.confidence is not None
                assert refused.confidence < threshold
        assert failed == {}
        assert done.status == (UserStatus.CREATED if self._centre(name) is None else UserStatus.ACTIVE)

    @rule(name=NAMES, chosen=st.lists(face_ids, min_size=1, max_size=4))
    def disassociate(self, name: str, chosen: list[str]) -> None:
        if name not in self.users:
            return
        done = self.gallery.users.disassociate("c", name, chosen)
        own = {face_id for face_id in chosen if face_id in self.faces and self.faces[face_id].user == name}
        assert set(done.disassociated) == own
        for face_id, user_id, reason in done.failed:
            owner = self.faces[face_id].user if face_id in self.faces else None
            assert user_id == owner
            assert reason == (Refusal.ASSOCIATED_TO_A_DIFFERENT_USER if owner else Refusal.FACE_NOT_FOUND)
        for face_id in own:
            self.faces[face_id].user = None

    @rule(person=PEOPLE, photo=PHOTOS, threshold=THRESHOLDS, limit=st.sampled_from([None, 1, 3]))
    def search_faces(self, person: int, photo: int, threshold: float, limit: int | None) -> None:
        probe = embedding(person, photo)
        (found,) = self.gallery.search.faces("c", probe[np.newaxis], threshold=threshold, limit=limit)
        scores = {face_id: _alike(probe, plain.vector) for face_id, plain in self.faces.items()}
        _hold([(match.face.face_id, match.similarity) for match in found], scores, threshold, limit)
        assert all(match.face.user_id == self.faces[match.face.face_id].user for match in found)

    @rule(face_id=face_ids, threshold=THRESHOLDS, limit=st.sampled_from([None, 1]))
    def search_face(self, face_id: str, threshold: float, limit: int | None) -> None:
        try:
            found = self.gallery.search.similar_faces("c", face_id, threshold=threshold, limit=limit)
        except FaceNotFound:
            assert face_id not in self.faces
            return
        probe = self.faces[face_id].vector
        scores = {other: _alike(probe, plain.vector) for other, plain in self.faces.items() if other != face_id}
        _hold([(match.face.face_id, match.similarity) for match in found], scores, threshold, limit)

    @rule(person=PEOPLE, photo=PHOTOS, threshold=THRESHOLDS, limit=st.sampled_from([None, 1]))
    def search_users(self, person: int, photo: int, threshold: float, limit: int | None) -> None:
        probe = embedding(person, photo)
        (found,) = self.gallery.search.users("c", probe[np.newaxis], threshold=threshold, limit=limit)
        _hold([(m.user.user_id, m.similarity) for m in found], self._user_scores(probe), threshold, limit)

    @rule(name=NAMES, threshold=THRESHOLDS)
    def search_user(self, name: str, threshold: float) -> None:
        if name not in self.users:
            return
        own = self._centre(name)
        scores = {} if own is None else self._user_scores(own)
        scores.pop(name, None)
        found = self.gallery.search.similar_users("c", user_id=name, threshold=threshold)
        _hold([(match.user.user_id, match.similarity) for match in found], scores, threshold, None)

    @rule(size=st.integers(1, 3), user=st.none() | NAMES, external=st.sampled_from([None, "a", "bulk"]))
    def list_pages(self, size: int, user: str | None, external: str | None) -> None:
        listed, token = [], None
        while True:
            page = self.gallery.faces.list("c", user_id=user, external_image_id=external, limit=size, token=token)
            listed += page.items
            assert len(page.items) <= size
            if (token := page.next_token) is None:
                break
        expected = [
            face_id
            for face_id, plain in self.faces.items()
            if (user is None or plain.user == user) and (external is None or plain.key[1] == external)
        ]
        assert [found.face_id for found in listed] == expected

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "galleries"):
            return
        collection = self.gallery.collections.describe("c")
        assert (collection.face_count, collection.user_count) == (len(self.faces), len(self.users))

    def _centre(self, name: str) -> Vectors | None:
        own = [plain.vector for plain in self.faces.values() if plain.user == name]
        return (centre := np.sum(own, axis=0)) / np.linalg.norm(centre) if own else None

    def _user_scores(self, probe: Vectors) -> dict[str, float]:
        centres = {name: self._centre(name) for name in self.users}
        return {name: _alike(probe, centre) for name, centre in centres.items() if centre is not None}


def _alike(one: Vectors, other: Vectors) -> float:
    return compare(one, other)


def _hold(found: list[tuple[str, float]], scores: dict[str, float], threshold: float, limit: int | None) -> None:
    """Assert that a search found what the scores ask for."""
    similarities = [score for _, score in found]
    assert similarities == sorted(similarities, reverse=True)
    assert len({name for name, _ in found}) == len(found)
    for name, score in found:
        assert score >= threshold
        assert abs(score - scores[name]) < EDGE
    certain = sorted((score for score in scores.values() if score >= threshold + EDGE), reverse=True)[:limit]
    assert len(found) >= len(certain)
    assert all(abs(mine - best) < EDGE for mine, best in zip(similarities, certain, strict=False))


Comparison.TestCase.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestComparison = Comparison.TestCase
