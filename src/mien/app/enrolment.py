"""Enrol the faces of one photo, or say why they are not.

What is enrolled already stays as it is, so that all of it may be repeated, and run at the same time as itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from mien.app.people import PeopleService
from mien.app.photo_faces import PhotoFaces
from mien.app.ports import Catalog, Recognizer
from mien.app.upload_notices import count_bystanders, warnings_of, why_no_face
from mien.domain.errors import ImageError
from mien.domain.policy import MAX_FACES_PER_PHOTO, MAX_FACES_PER_USER, Policy, SeveralFaces
from mien.domain.records import FaceRecord, Upload, UploadNotice, UploadStatus
from mien.domain.results import Image, IndexedFace, IndexResult, StoredPhoto


class Enroller:
    """Puts the faces of photos into the recognizer and the catalog."""

    def __init__(
        self, recognizer: Recognizer, catalog: Catalog, people: PeopleService, policy: Policy, faces: PhotoFaces
    ) -> None:
        self._recognizer, self._catalog, self._people = recognizer, catalog, people
        self._policy, self._faces = policy, faces

    def enroll(self, path: str, user_id: str | None, image: Image, timestamp: datetime, digest: str) -> Upload:
        """Index a photo's faces, store their records, and associate the largest with its person.

        Args:
            path: The photo's path.
            user_id: Whose photo it is; None for nobody, when all its faces are enrolled.
            image: The photo.
            timestamp: When the photo was uploaded.
            digest: The photo's SHA-256, in hexadecimal.

        Returns the upload to be stored: `indexed`, with warnings, or `rejected`, with reasons.
        """

        def upload(status: UploadStatus, **more: tuple[object, ...]) -> Upload:
            return Upload(path, user_id, status, timestamp, digest, **more)  # type: ignore[arg-type]

        try:
            similar_from = self._recognizer.threshold(self._policy.threshold).similarity
            is_checked = user_id is not None and self._policy.enrollment_checks
            result = self._recognizer.index(
                StoredPhoto(path, lambda: image.body),
                user_id,
                1 if user_id else MAX_FACES_PER_PHOTO,
                similar_from if is_checked else None,
            )
        except ImageError as error:
            return upload(UploadStatus.REJECTED, reasons=(UploadNotice(error.code, str(error)),))
        if reasons := tuple(self._reasons_to_reject(result, user_id)):
            new = {face.face_id for face in result.faces} - self._enrolled(result).keys()
            self._recognizer.delete(sorted(new))  # a copy of the photo may have been enrolled before
            return upload(UploadStatus.REJECTED, reasons=reasons)
        warnings = self._store_records(path, user_id, result, timestamp)
        face_ids = tuple(face.face_id for face in result.faces)
        return upload(UploadStatus.INDEXED, face_ids=face_ids, warnings=tuple(warnings))

    def _reasons_to_reject(self, result: IndexResult, user_id: str | None) -> Iterator[UploadNotice]:
        if not result.faces:
            yield from why_no_face(result.rejected)
        elif user_id and self._policy.several_faces is SeveralFaces.REFUSE and count_bystanders(result):
            yield UploadNotice("several_faces", "The photo shows several faces; it should show the person alone.")

    def _store_records(
        self, path: str, user_id: str | None, result: IndexResult, timestamp: datetime
    ) -> list[UploadNotice]:
        enrolled = self._enrolled(result)
        for indexed in result.faces:
            same = enrolled.get(indexed.face_id)
            if same and same.image_path != path and not self._faces.exists(same.image_path):  # the photo was renamed
                del enrolled[indexed.face_id]
            if indexed.face_id not in enrolled:
                face = indexed.face
                self._catalog.put(FaceRecord(indexed.face_id, user_id, path, timestamp, face.box, face.confidence))
        family = () if user_id is None else self._people.aliases.family(user_id)
        warnings = list(warnings_of(path, result, family, enrolled))
        if user_id is not None:
            warnings += self._associate(user_id, family, result.faces[0], enrolled, timestamp)
        return warnings

    def _enrolled(self, result: IndexResult) -> dict[str, FaceRecord]:
        """The records of the photo's faces and of all faces similar to them, by face id, without rejected ones."""
        face_ids = [face.face_id for face in result.faces]
        face_ids += [hit.face_id for face in result.faces for hit in face.face_hits]
        records = self._catalog.get(FaceRecord, list(dict.fromkeys(face_ids)))
        return {record.face_id: record for record in records if not record.negative}

    def _associate(
        self,
        user_id: str,
        family: Sequence[str],
        indexed: IndexedFace,
        enrolled: dict[str, FaceRecord],
        timestamp: datetime,
    ) -> Iterator[UploadNotice]:
        is_associated = not self._policy.user_vectors or (
            indexed.face_id in self._recognizer.associate(user_id, [indexed.face_id])
        )
        self._people.register(user_id, timestamp)
        others = self._policy.enrollment_checks and {
            face.face_id
            for face in self._catalog.find(FaceRecord, user_id=user_id, limit=MAX_FACES_PER_USER).items
            if face.face_id != indexed.face_id and not face.negative
        }
        similar_records = (enrolled[hit.face_id] for hit in indexed.face_hits if hit.face_id in enrolled)
        is_similar = any(record.user_id in family for record in similar_records)
        if others and not is_similar and (unlike := self._unlike_one(family, indexed.face_id, others)):
            yield UploadNotice("unlike_person", "The face is unlike the person's other photos.", unlike)
        elif not is_associated and self._recognizer.count_associated(user_id) >= MAX_FACES_PER_USER:
            yield UploadNotice(
                "not_counted",
                f"The face is kept, but the person already has {MAX_FACES_PER_USER} faces, as many as count together.",
            )
        elif not is_associated:
            yield UploadNotice(
                "not_counted", "The face is kept, but it is too unlike the person's other faces to count with them."
            )

    def _unlike_one(self, family: Sequence[str], face_id: str, others: set[str]) -> str | None:
        """One of the person's other faces when the face is like none of them; None when it is like one.

        They are compared now: photos of the person that are indexed at once may have been added since the face was.
        """
        threshold = self._recognizer.threshold(self._policy.threshold).similarity
        similar = [hit.face_id for hit in self._recognizer.similar(face_id, threshold)]
        if others.intersection(similar):
            return None
        records = self._catalog.get(FaceRecord, similar)
        if any(record.user_id in family and not record.negative for record in records):
            return None
        return min(others)
