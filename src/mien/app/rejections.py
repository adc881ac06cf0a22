"""'This is not Alice': a face that is remembered as not being somebody, and its effect on later answers.

It is an enrolled face whose record has the person's id and says `negative`. A face that is at least as like it as
it is like the person is not that person; so look-alikes are told apart where a stricter threshold would lose
Alice, too. Forgetting Alice forgets it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

from mien.app import recognition
from mien.app.ports import Catalog, Recognizer
from mien.domain import object_keys
from mien.domain.errors import FaceNotFound, NoFace
from mien.domain.faces import Page
from mien.domain.records import FaceRecord, Probe

HITS = 50


class RejectionService:
    """Adds, lists and takes back."""

    def __init__(self, recognizer: Recognizer, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._recognizer, self._catalog, self._now = recognizer, catalog, now

    def add(self, image: bytes, user_id: str) -> FaceRecord:
        """The photo's face that is most like the user is not the user. NoFace when no face is like them at all."""
        probes = self._recognizer.search(image, 0.0, HITS)
        ids = {hit.face_id for probe in probes for hit in probe.face_hits}
        records = {record.face_id: record for record in self._catalog.get(FaceRecord, sorted(ids))}
        likeness = [(_likeness(probe, records, user_id), place) for place, probe in enumerate(probes)]
        best, place = max(likeness, default=(0.0, 0))
        if best <= 0:
            raise NoFace("No face on the photo is like this person.")
        box = probes[place].face.box
        face_id = self._recognizer.index_face(image, box)
        path = object_keys.image_path(None, hashlib.sha256(face_id.encode()).hexdigest()[:32], "negative")
        record = FaceRecord(face_id, user_id, path, self._now(), box, probes[place].face.confidence, negative=True)
        self._catalog.put(record)
        return record

    def undo(self, face_id: str) -> None:
        """Raises FaceNotFound."""
        if not any(record.negative for record in self._catalog.get(FaceRecord, [face_id])):
            raise FaceNotFound("There is no rejection of this id.")
        self._recognizer.delete([face_id])
        self._catalog.delete(FaceRecord, [face_id])

    def of(self, user_id: str, limit: int, cursor: str | None) -> Page[FaceRecord]:
        page = self._catalog.find(FaceRecord, user_id=user_id, limit=limit, cursor=cursor)
        return Page(tuple(record for record in page.items if record.negative), page.next_token)


def _likeness(probe: Probe, records: dict[str, FaceRecord], user_id: str) -> float:
    people = recognition.people_like(probe, records)
    return next((person.similarity for person in people if person.user_id == user_id), 0.0)
