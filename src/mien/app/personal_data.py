"""Find and remove what the stores hold of a person: photos, faces, groups, uploads, recognitions, name and consent.

Photos are deleted before faces: indexing checks at its end that its photo still exists, so if both run at once, the
one that finishes last removes the faces. Recognitions are deleted last: one that is stored later checks that the faces
that it names still exist. All of it may be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice

from mien.app.people import PeopleService
from mien.app.ports import Bucket, Catalog, Recognizer
from mien.domain import object_keys
from mien.domain.groups import FaceGroup
from mien.domain.records import Consent, FaceRecord, Person, R, Recognition, Upload

STEP = 500
"""Photos, faces or recognitions that are removed at once."""


class PersonalData:
    """Finds and removes people's data on the three ports."""

    def __init__(self, bucket: Bucket, recognizer: Recognizer, catalog: Catalog, people: PeopleService) -> None:
        self._bucket, self._recognizer, self._catalog, self._people = bucket, recognizer, catalog, people

    def stores_with(self, user_id: str) -> list[str]:
        """Name the stores that hold something of a person."""
        holds = {
            "bucket": any(self._holds(folder, user_id) for folder in self._named_folders(user_id)),
            "recognizer": bool(self._recognizer.face_ids(user_id)),
            "faces": self._has_faces(user_id),
            "uploads": bool(self._catalog.find(Upload, user_id=user_id, limit=1).items),
            "recognitions": bool(self._catalog.find(Recognition, user_id=user_id, limit=1).items),
            "people": bool(self._catalog.get(Person, [user_id])),
            "consents": bool(self._catalog.get(Consent, [user_id])),
            "groups": bool(self._catalog.find(FaceGroup, user_id=user_id, limit=1).items),
        }
        return [store for store, does_hold in holds.items() if does_hold]

    def photos_since(self, user_id: str, moment: datetime) -> dict[str, datetime]:
        """Return the photos in a person's folders that were stored after a moment, each with its time."""
        paths = (path for folder in self._named_folders(user_id) for path in self._bucket.keys(folder))
        photos = ((path, self._bucket.stored_at(path)) for path in paths)
        return {path: stored_at for path, stored_at in photos if stored_at and stored_at > moment}

    def remove(self, user_id: str, requested: datetime, kept: Mapping[str, datetime], counts: Counter[str]) -> None:
        """Remove everything of a person but some photos, the faces enrolled from them, and later recognitions.

        Args:
            user_id: The person, who is somebody new when photos are kept.
            requested: When the erasure was requested.
            kept: The photos that stay, with the times at which they were stored.
            counts: Gets how many `faces`, `images`, `uploads` and `recognitions` were removed, also before an error.
        """
        self._remove_photos(user_id, kept, counts)
        self._remove_faces(user_id, kept, counts)
        for groups in self._pages(FaceGroup, user_id=user_id):
            self._catalog.delete(FaceGroup, [group.group_id for group in groups])
        until = min(kept.values(), default=None)
        if until is not None:
            self._people.begin_anew(user_id, requested, until)
        else:
            self._recognizer.forget(user_id)
            self._people.remove(user_id)
            self._catalog.delete(Consent, [user_id])
        for page in self._pages(Recognition, user_id=user_id):
            older = [recognition for recognition in page if until is None or recognition.timestamp < until]
            self._remove_photos_without_user(older, user_id, counts)
            counts["recognitions"] += self._catalog.delete(Recognition, [r.recognition_id for r in older])

    def _has_faces(self, user_id: str) -> bool:
        """Whether there is a face, or no face but their number."""
        has_any = bool(self._catalog.find(FaceRecord, user_id=user_id, limit=1).items)
        return has_any or bool(self._catalog.recount_faces([user_id], write=False))

    def _remove_photos(self, user_id: str, kept: Mapping[str, datetime], counts: Counter[str]) -> None:
        for folder in self._named_folders(user_id):
            is_shared = False
            for keys in _batches(key for key in self._bucket.keys(folder) if key not in kept):
                theirs = self._theirs(keys, user_id)
                is_shared |= len(theirs) < len(keys)
                counts["images"] += len(theirs)  # before: on a full disk, they are gone although it fails
                self._bucket.delete(theirs)
                counts["uploads"] += self._catalog.delete(Upload, theirs)
                self._remove_recognitions_of(theirs, counts)
            if not kept and not is_shared:
                counts["images"] += self._bucket.delete_folder(folder)
        for page in self._pages(Upload, user_id=user_id):
            paths = [upload.image_path for upload in page if upload.image_path not in kept]
            counts["images"] += self._bucket.delete(paths)
            counts["uploads"] += self._catalog.delete(Upload, paths)
            self._remove_recognitions_of(paths, counts)

    def _remove_recognitions_of(self, paths: Sequence[str], counts: Counter[str]) -> None:
        """Remove the recognitions of photos in a folder that is named otherwise, or stored by an earlier version."""
        for path in paths:
            for page in self._pages(Recognition, image_path=path):
                counts["recognitions"] += self._catalog.delete(Recognition, [each.recognition_id for each in page])

    def _remove_faces(self, user_id: str, kept: Mapping[str, datetime], counts: Counter[str]) -> None:
        records = [face for page in self._pages(FaceRecord, user_id=user_id) for face in page]
        own = {face.face_id for face in records} | self._recognizer.face_ids(user_id)
        own -= {face.face_id for face in records if face.image_path in kept}
        for face_ids in _batches(sorted(own)):
            counts["faces"] += self._delete_faces(face_ids)
        if not kept:
            self._catalog.recount_faces([user_id], write=True)

    def _remove_photos_without_user(
        self, recognitions: Sequence[Recognition], user_id: str, counts: Counter[str]
    ) -> None:
        """Remove the photos that were uploaded for nobody and on which the person was recognised, and their copies."""
        recognised = _photos_without_user(recognitions, user_id)
        photos = sorted(recognised | self._copies_without_user(recognised))
        counts["images"] += self._bucket.delete(photos)
        for photo in photos:
            faces = {face.face_id for page in self._pages(FaceRecord, image_path=photo) for face in page}
            counts["faces"] += self._delete_faces(sorted(faces))
        counts["uploads"] += self._catalog.delete(Upload, photos)

    def _named_folders(self, user_id: str) -> list[str]:
        """The person's folder, and one that somebody made for their name."""
        names = [person.name for person in self._catalog.get(Person, [user_id])]
        others = {person.user_id for person in self._catalog.get(Person, names)} - {user_id}
        folders = [object_keys.folder(text) for text in dict.fromkeys((user_id, *names)) if text not in others]
        return [folder for folder in folders if object_keys.is_possible_folder(folder)]

    def _theirs(self, keys: Sequence[str], user_id: str) -> list[str]:
        """The photos among those of a person's folder that are not another's, from before a change of names."""
        owners = {upload.image_path: upload.user_id for upload in self._catalog.get(Upload, keys)}
        return [key for key in keys if owners.get(key) in {None, user_id}]

    def _holds(self, folder: str, user_id: str) -> bool:
        is_shared = False
        for keys in _batches(self._bucket.keys(folder)):
            theirs = self._theirs(keys, user_id)
            if theirs:
                return True
            is_shared = True
        return not is_shared and self._bucket.holds(folder)

    def _copies_without_user(self, photos: set[str]) -> set[str]:
        digests = {upload.digest for upload in self._catalog.get(Upload, sorted(photos))} - {None}
        uploads = (upload for digest in digests for page in self._pages(Upload, digest=digest) for upload in page)
        return {upload.image_path for upload in uploads if upload.user_id is None and upload.digest in digests}

    def _delete_faces(self, face_ids: Sequence[str]) -> int:
        return max(self._recognizer.delete(face_ids), self._catalog.delete(FaceRecord, face_ids))

    def _pages(
        self,
        kind: type[R],
        *,
        user_id: str | None = None,
        image_path: str | None = None,
        digest: str | None = None,
    ) -> Iterator[tuple[R, ...]]:
        find = partial(self._catalog.find, kind, user_id=user_id, image_path=image_path, digest=digest, limit=STEP)
        page = find()
        yield page.items
        while page.next_token is not None:
            page = find(token=page.next_token)
            yield page.items


def _batches(items: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(list(items))
    while batch := list(islice(remaining, STEP)):
        yield batch


def _photos_without_user(recognitions: Iterable[Recognition], user_id: str) -> set[str]:
    return {
        r.image_path
        for r in recognitions
        if r.image_path is not None
        and object_keys.user_id_of(r.image_path) is None
        and any(face.user_id == user_id for face in r.faces)
    }
