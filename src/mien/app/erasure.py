"""Erasure of a person from every store, in an order that survives interruption at any point.

The intent (an Erasure record) is written first and removed last; every step in between may be repeated. Photos are
deleted before faces: indexing checks at its end that its photo still exists, so if both run at once, the one that
finishes last removes the faces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial

from mien.app.people import PeopleService
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
        people: PeopleService,
        leftovers: LeftoverScan,
        now: Callable[[], datetime],
    ) -> None:
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._people, self._leftovers, self._now = people, leftovers, now

    def forget(self, user_ids: Sequence[str]) -> ErasureReport:
        """Remove a person from every store and report what was removed.

        `user_ids` are the ids of the person, their own first and then those that were merged into it. The intents
        remain when a store still holds something, so that `resume` tries again. Raises UserNotFound when no store
        knows the person.
        """
        if not self._catalog.get(Erasure, user_ids) and not any(map(self._stores_with, user_ids)):
            raise UserNotFound("Nobody is enrolled under this user id.")
        intents = [Erasure(user_id, self._now()) for user_id in user_ids]
        self._catalog.put(*intents)
        names = [person.name for person in self._catalog.get(Person, user_ids)]
        counts: Counter[str] = Counter(faces=0, images=0, uploads=0, recognitions=0)
        for user_id in reversed(user_ids):
            counts.update(self._remove(user_id))
        self._catalog.delete(Erasure, user_ids)
        left = [store for user_id in user_ids for store in self.remaining_stores(user_id)]
        left += [place for name in names if name not in user_ids for place in self._leftovers(name)]
        remaining = tuple(dict.fromkeys(left))
        if remaining:
            self._catalog.put(*intents)
        return ErasureReport(**counts, user_id=user_ids[0], timestamp=self._now(), remaining_stores=remaining)

    def resume(self) -> list[ErasureReport]:
        """Finish the erasures that were interrupted."""
        return [self.forget([intent.user_id]) for intent in self._all(Erasure)]

    def remaining_stores(self, user_id: str) -> tuple[str, ...]:
        """Name the stores that still hold something of the person; an empty tuple proves the erasure."""
        return (*self._stores_with(user_id), *self._leftovers(user_id))

    def _stores_with(self, user_id: str) -> list[str]:
        holds = {
            "bucket": bool(self._photos(user_id)) or any(map(self._bucket.holds, self._folders(user_id))),
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
        photos = self._photos(user_id) | _photos_without_user(recognitions, user_id)
        uploads = photos | {upload.image_path for upload in self._all(Upload, user_id=user_id)}
        folders = self._folders(user_id)
        images = self._bucket.delete(sorted(uploads)) + sum(map(self._bucket.delete_folder, folders))
        faces = set(self._recognizer.face_ids(user_id))
        faces |= {face.face_id for face in self._all(FaceRecord, user_id=user_id)}
        faces |= {face.face_id for photo in photos for face in self._all(FaceRecord, image_path=photo)}
        removed = max(self._recognizer.delete(sorted(faces)), self._catalog.delete(FaceRecord, sorted(faces)))
        self._recognizer.forget(user_id)
        self._people.remove(user_id)
        self._catalog.delete(Consent, [user_id])
        return {
            "faces": removed,
            "images": images,
            "uploads": self._catalog.delete(Upload, sorted(uploads)),
            "recognitions": self._catalog.delete(Recognition, [r.recognition_id for r in recognitions]),
        }

    def _photos(self, user_id: str) -> set[str]:
        """The photos of the person's folder, and of one that somebody made for their name."""
        return {path for folder in self._named_folders(user_id) for path in self._in_folder(folder, user_id)[0]}

    def _folders(self, user_id: str) -> list[str]:
        """The person's folders, in which everything is theirs."""
        return [folder for folder in self._named_folders(user_id) if not self._in_folder(folder, user_id)[1]]

    def _named_folders(self, user_id: str) -> list[str]:
        names = [person.name for person in self._catalog.get(Person, [user_id])]
        others = {person.user_id for person in self._catalog.get(Person, names)} - {user_id}
        folders = [object_keys.folder(text) for text in dict.fromkeys((user_id, *names)) if text not in others]
        return [folder for folder in folders if object_keys.is_possible_folder(folder)]

    def _in_folder(self, folder: str, user_id: str) -> tuple[set[str], set[str]]:
        """The person's photos in a folder, and those that belong to another from before a change of names."""
        photos = set(self._bucket.keys(folder))
        owners = {upload.image_path: upload.user_id for upload in self._catalog.get(Upload, sorted(photos))}
        theirs = {path for path in photos if owners.get(path) in {None, user_id}}
        return theirs, photos - theirs

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
