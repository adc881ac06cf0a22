"""Record rejections: that a face is not a person, to tell look-alikes apart.

A rejected face is an enrolled face whose record has the person's user id and `negative`. A face at least as similar
to it as to the person is not matched, which separates look-alikes where a stricter threshold would lose the person,
too. Forgetting the person removes their rejected faces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime

from mien.app.decision import rank_candidates
from mien.app.people import PeopleService
from mien.app.ports import Catalog, Recognizer
from mien.app.present_names import canonical, user_ids, with_present_ids
from mien.domain import object_keys
from mien.domain.errors import FaceNotFound, NoFace
from mien.domain.faces import Page
from mien.domain.records import FaceRecord
from mien.domain.results import Probe

MAX_HITS = 50


class RejectionService:
    """Adds, lists and removes rejections."""

    def __init__(
        self, recognizer: Recognizer, catalog: Catalog, people: PeopleService, now: Callable[[], datetime]
    ) -> None:
        self._recognizer, self._catalog, self._people, self._now = recognizer, catalog, people, now

    def add(self, image: bytes, user_id: str) -> FaceRecord:
        """Reject the photo's face that is most similar to the person.

        Raises NoFace when none has a similarity above 0, and ImageError.
        """
        probes: Sequence[Probe] = self._recognizer.search(image, 0.0, MAX_HITS).probes
        face_ids = {hit.face_id for probe in probes for hit in probe.face_hits}
        records = {record.face_id: record for record in self._catalog.get(FaceRecord, sorted(face_ids))}
        people = self._people.aliases.by_id(user_ids(probes, records))
        probes, records = with_present_ids(probes, people), canonical(records.values(), people)
        similarities = [(_similarity(probe, records, user_id), index) for index, probe in enumerate(probes)]
        best, index = max(similarities, default=(0.0, 0))
        if best <= 0:
            raise NoFace("No face in the photo is similar to this person.")
        face = probes[index].face
        face_id = self._recognizer.index_face(image, face.box)
        path = object_keys.image_path(None, hashlib.sha256(face_id.encode()).hexdigest()[:32], "negative")
        record = FaceRecord(face_id, user_id, path, self._now(), face.box, face.confidence, negative=True)
        self._catalog.put(record)
        return record

    def remove(self, face_id: str) -> None:
        """Take a rejection back. Raises FaceNotFound when the face is not a rejected one."""
        if not any(record.negative for record in self._catalog.get(FaceRecord, [face_id])):
            raise FaceNotFound("There is no rejection of this id.")
        self._recognizer.delete([face_id])
        self._catalog.delete(FaceRecord, [face_id])

    def list(self, user_id: str, limit: int, token: str | None) -> Page[FaceRecord]:
        """Return one page of a person's rejected faces, newest first; it may hold fewer than `limit`."""
        page = self._catalog.find(FaceRecord, user_id=self._people.aliases.family(user_id), limit=limit, token=token)
        return Page(tuple(record for record in page.items if record.negative), page.next_token)


def _similarity(probe: Probe, records: dict[str, FaceRecord], user_id: str) -> float:
    candidates = rank_candidates(probe, records)
    return next((candidate.similarity for candidate in candidates if candidate.user_id == user_id), 0.0)
