"""Forgetting a person: every trace of them, in an order that survives being cut off.

The intent is written first and removed last; what it asks for may be repeated. Photos go before faces,
because indexing looks for its photo last: whichever of the two comes second cleans up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from mien.app.ports import Bucket, Catalog, R, Recognizer
from mien.domain import object_keys
from mien.domain.errors import UserNotFound
from mien.domain.faces import iterate_pages
from mien.domain.records import Erasure, ErasureReport, FaceRecord, Person, Recognition, Upload

LeftoverScan = Callable[[str], tuple[str, ...]]


class ErasureService:
    """Forgets, finishes what was begun, and proves the absence.

    `residue` looks for a user id below the level of the ports, such as in the free pages of a database,
    and names the places where it is.
    """

    def __init__(
        self,
        bucket: Bucket,
        recognizer: Recognizer,
        catalog: Catalog,
        residue: LeftoverScan,
        now: Callable[[], datetime],
    ) -> None:
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._residue, self._now = residue, now

    def forget(self, user_id: str) -> ErasureReport:
        """Raises UserNotFound when there is no trace to begin with."""
        if not self._catalog.get(Erasure, [user_id]) and not self._stores_with(user_id):
            raise UserNotFound("Nobody is enrolled under this user id.")
        intent = Erasure(user_id, self._now())
        self._catalog.put(intent)
        receipt = self._remove(user_id)
        self._catalog.delete(Erasure, [user_id])
        traces = self.traces(user_id)
        if traces:
            self._catalog.put(intent)
        return ErasureReport(**receipt, user_id=user_id, timestamp=self._now(), traces=traces)

    def resume(self) -> list[ErasureReport]:
        """Finish the erasures that were cut off."""
        return [self.forget(intent.user_id) for intent in self._all(Erasure)]

    def traces(self, user_id: str) -> tuple[str, ...]:
        """Where something of the person still lies; empty proves the absence."""
        return (*self._stores_with(user_id), *self._residue(user_id))

    def _stores_with(self, user_id: str) -> list[str]:
        places = {
            "bucket": any(True for _ in self._bucket.keys(object_keys.folder(user_id))),
            "recognizer": bool(self._recognizer.face_ids(user_id)),
            "faces": bool(self._catalog.find(FaceRecord, user_id=user_id, limit=1).items),
            "uploads": bool(self._catalog.find(Upload, user_id=user_id, limit=1).items),
            "recognitions": bool(self._catalog.find(Recognition, user_id=user_id, limit=1).items),
            "people": bool(self._catalog.get(Person, [user_id])),
        }
        return [place for place, found in places.items() if found]

    def _remove(self, user_id: str) -> dict[str, int]:
        recognitions = list(self._all(Recognition, user_id=user_id))
        photos = set(self._bucket.keys(object_keys.folder(user_id))) | _unnamed_photos(recognitions, user_id)
        uploads = photos | {upload.image_path for upload in self._all(Upload, user_id=user_id)}
        images = self._bucket.delete(sorted(uploads))
        faces = set(self._recognizer.face_ids(user_id))
        faces |= {face.face_id for face in self._all(FaceRecord, user_id=user_id)}
        faces |= {face.face_id for photo in photos for face in self._all(FaceRecord, image_path=photo)}
        gone = max(self._recognizer.delete(sorted(faces)), self._catalog.delete(FaceRecord, sorted(faces)))
        self._recognizer.forget(user_id)
        self._catalog.delete(Person, [user_id])
        return {
            "faces": gone,
            "images": images,
            "uploads": self._catalog.delete(Upload, sorted(uploads)),
            "recognitions": self._catalog.delete(Recognition, [r.recognition_id for r in recognitions]),
        }

    def _all(self, kind: type[R], *, user_id: str | None = None, image_path: str | None = None) -> Iterator[R]:
        find = partial(self._catalog.find, kind, user_id=user_id, image_path=image_path, limit=1000)
        return iterate_pages(lambda cursor: find(cursor=cursor))


def _unnamed_photos(recognitions: list[Recognition], user_id: str) -> set[str]:
    """Photos that were uploaded for nobody and turned out to show the person."""
    return {
        r.image_path
        for r in recognitions
        if r.image_path is not None
        and object_keys.owner(r.image_path) is None
        and any(face.user_id == user_id for face in r.faces)
    }
