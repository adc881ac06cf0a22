"""Erasure of a person from every store, in an order that survives interruption at any point.

The intent (an Erasure record) is written first and removed last; every step in between may be repeated. Photos are
deleted before faces: indexing checks at its end that its photo still exists, so if both run at once, the one that
finishes last removes the faces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from mien.app.ports import Bucket, Catalog, R, Recognizer
from mien.domain import object_keys
from mien.domain.errors import UserNotFound
from mien.domain.faces import iterate_pages
from mien.domain.records import Consent, Erasure, ErasureReport, FaceRecord, Person, Recognition, Upload

LeftoverScan = Callable[[str], tuple[str, ...]]
"""Searches below the ports, such as in the free pages of a database file, and names the places that hold a user id."""


class ErasureService:
    """Forgets people, finishes interrupted erasures, and verifies that nothing is left."""

    def __init__(
        self,
        bucket: Bucket,
        recognizer: Recognizer,
        catalog: Catalog,
        leftovers: LeftoverScan,
        now: Callable[[], datetime],
    ) -> None:
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._leftovers, self._now = leftovers, now

    def forget(self, user_id: str) -> ErasureReport:
        """Remove a person from every store and report what was removed.

        The intent remains when a store still holds something, so that `resume` tries again. Raises UserNotFound
        when no store knows the person.
        """
        if not self._catalog.get(Erasure, [user_id]) and not self._stores_with(user_id):
            raise UserNotFound("Nobody is enrolled under this user id.")
        intent = Erasure(user_id, self._now())
        self._catalog.put(intent)
        counts = self._remove(user_id)
        self._catalog.delete(Erasure, [user_id])
        remaining = self.remaining_stores(user_id)
        if remaining:
            self._catalog.put(intent)
        return ErasureReport(**counts, user_id=user_id, timestamp=self._now(), remaining_stores=remaining)

    def resume(self) -> list[ErasureReport]:
        """Finish the erasures that were interrupted."""
        return [self.forget(intent.user_id) for intent in self._all(Erasure)]

    def remaining_stores(self, user_id: str) -> tuple[str, ...]:
        """Name the stores that still hold something of the person; an empty tuple proves the erasure."""
        return (*self._stores_with(user_id), *self._leftovers(user_id))

    def _stores_with(self, user_id: str) -> list[str]:
        holds = {
            "bucket": self._bucket.holds(object_keys.folder(user_id)),
            "recognizer": bool(self._recognizer.face_ids(user_id)),
            "faces": bool(self._catalog.find(FaceRecord, user_id=user_id, limit=1).items),
            "uploads": bool(self._catalog.find(Upload, user_id=user_id, limit=1).items),
            "recognitions": bool(self._catalog.find(Recognition, user_id=user_id, limit=1).items),
            "people": bool(self._catalog.get(Person, [user_id])),
            "consents": bool(self._catalog.get(Consent, [user_id])),
        }
        return [store for store, does_hold in holds.items() if does_hold]

    def _remove(self, user_id: str) -> dict[str, int]:
        recognitions = list(self._all(Recognition, user_id=user_id))
        photos = set(self._bucket.keys(object_keys.folder(user_id))) | _photos_without_user(recognitions, user_id)
        uploads = photos | {upload.image_path for upload in self._all(Upload, user_id=user_id)}
        images = self._bucket.delete(sorted(uploads)) + self._bucket.delete_folder(object_keys.folder(user_id))
        faces = set(self._recognizer.face_ids(user_id))
        faces |= {face.face_id for face in self._all(FaceRecord, user_id=user_id)}
        faces |= {face.face_id for photo in photos for face in self._all(FaceRecord, image_path=photo)}
        removed = max(self._recognizer.delete(sorted(faces)), self._catalog.delete(FaceRecord, sorted(faces)))
        self._recognizer.forget(user_id)
        self._catalog.delete(Person, [user_id])
        self._catalog.delete(Consent, [user_id])
        return {
            "faces": removed,
            "images": images,
            "uploads": self._catalog.delete(Upload, sorted(uploads)),
            "recognitions": self._catalog.delete(Recognition, [r.recognition_id for r in recognitions]),
        }

    def _all(self, kind: type[R], *, user_id: str | None = None, image_path: str | None = None) -> Iterator[R]:
        find = partial(self._catalog.find, kind, user_id=user_id, image_path=image_path, limit=1000)
        return iterate_pages(lambda token: find(token=token))


def _photos_without_user(recognitions: list[Recognition], user_id: str) -> set[str]:
    """Photos that were uploaded for nobody and on which the person was recognised."""
    return {
        r.image_path
        for r in recognitions
        if r.image_path is not None
        and object_keys.user_id_of(r.image_path) is None
        and any(face.user_id == user_id for face in r.faces)
    }
