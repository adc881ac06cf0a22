"""Give a photo to another person: enrol it there, take it from its former place, and correct what named the former."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from mien.app.indexing import IndexingService
from mien.app.people import PeopleService
from mien.app.ports import Bucket, Catalog
from mien.app.retention import RetentionService
from mien.app.uploads import UploadService
from mien.domain.faces import iterate_pages
from mien.domain.policy import MAX_FACES_PER_USER
from mien.domain.records import Candidate, FaceRecord, Person, Recognition, RecognizedFace, Upload, UploadStatus

PAGE = 1000


class PhotoMover:
    """Moves photos between people. Image paths have to be valid already."""

    def __init__(
        self,
        bucket: Bucket,
        catalog: Catalog,
        people: PeopleService,
        uploads: UploadService,
        indexing: IndexingService,
        retention: RetentionService,
        admit: Callable[[str | None, str | None], str | None],
        enroll: Callable[[bytes, str], Upload],
    ) -> None:
        """Compose it.

        Args:
            bucket, catalog: Two of the ports.
            people, uploads, indexing, retention: The flows that a photo is part of.
            admit: Returns the id of the person of an id or a name, who may be new.
            enroll: Stores and indexes a photo for a person.
        """
        self._bucket, self._catalog, self._people = bucket, catalog, people
        self._uploads, self._indexing, self._retention = uploads, indexing, retention
        self._admit, self._enroll = admit, enroll

    def move(self, path: str, user_id: str | None, name: str | None) -> Upload:
        """Do what `FaceApp.move` does; cut off in between, the same call goes on.

        The photo leaves its former place last. Raises ImageNotFound.
        """
        image, former = self._bucket.get(path).body, self._uploads.status(path).user_id
        admitted = self._admit(user_id, name) or ""
        is_new = all(person.pending for person in self._catalog.get(Person, [admitted]))
        upload = self._enroll(image, admitted)
        if upload.image_path != path and upload.status is UploadStatus.INDEXED:
            if is_new and former is not None:
                self._retention.copy_consent(former, admitted)
            self._correct_recognitions(path, upload)
            upload = self._remove_former(path, upload)
        return upload

    def _remove_former(self, path: str, moved: Upload) -> Upload:
        """Remove a photo that was moved; return its new upload, which no longer says that it looks like the former."""
        former = [face_id for upload in self._catalog.get(Upload, [path]) for face_id in upload.face_ids]
        self._indexing.remove_photo(path)
        gone = {*former} - {face.face_id for face in self._catalog.get(FaceRecord, former)}
        for stored in self._catalog.get(Upload, [moved.image_path]):
            warnings = tuple(warning for warning in stored.warnings if warning.face_id not in gone)
            if warnings != stored.warnings:
                self._catalog.put(replace(stored, warnings=warnings), unchanged=[stored])
        return replace(moved, warnings=tuple(warning for warning in moved.warnings if warning.face_id not in gone))

    def _correct_recognitions(self, path: str, moved: Upload) -> None:
        for former in self._catalog.get(Upload, [path]):
            if former.user_id is not None and self._indexing.is_only_photo_of_its_faces(former):
                self._relabel(former, moved, self._people.aliases.family(former.user_id))

    def _relabel(self, former: Upload, moved: Upload, user_ids: Collection[str]) -> None:
        """Let stored recognitions that named somebody for one photo's face name its new person.

        Args:
            former: The photo as it was enrolled for the person to whom it did not belong.
            moved: The same photo as it is enrolled now.
            user_ids: All ids of the former person.
        """
        if not former.face_ids or not moved.face_ids:
            return
        enrolled = self._catalog.find(FaceRecord, user_id=user_ids, limit=MAX_FACES_PER_USER).items
        is_only_face = all(face.negative or face.face_id in former.face_ids for face in enrolled)

        def is_of_photo(candidate: Candidate) -> bool:
            return candidate.face_id in former.face_ids or (is_only_face and candidate.user_id in user_ids)

        pages = iterate_pages(lambda token: self._catalog.find(Recognition, user_id=user_ids, limit=PAGE, token=token))
        for recognition in pages:
            faces = tuple(_relabelled(face, is_of_photo, moved) for face in recognition.faces)
            if faces != recognition.faces:
                named_now = replace(recognition, faces=faces)
                # Gone with the ids by which it is found; unless somebody whom it named was forgotten meanwhile.
                is_stored = self._catalog.put(named_now, gone=[recognition], unchanged=[recognition])
                if is_stored and len(self._catalog.get(FaceRecord, moved.face_ids)) < len(moved.face_ids):
                    self._catalog.delete(Recognition, [recognition.recognition_id])


def _relabelled(face: RecognizedFace, is_of_photo: Callable[[Candidate], bool], moved: Upload) -> RecognizedFace:
    """The face with the person of a moved photo in place of whom it was like because of that photo."""
    wrong = {candidate.user_id for candidate in face.candidates if is_of_photo(candidate)}
    if not wrong:
        return face
    candidates = tuple(
        replace(each, user_id=moved.user_id, face_id=moved.face_ids[0], image_path=moved.image_path)
        if is_of_photo(each)
        else each
        for each in face.candidates
    )
    return replace(face, user_id=moved.user_id if face.user_id in wrong else face.user_id, candidates=candidates)
