"""A photo in the bucket -> its faces in the recognizer and the catalog, or the reasons why not.

Everything here may run twice, at once, and be cut off anywhere: ids come from the content, records are
replaced by equals, and the photo is looked for once more at the end, so that a deletion meanwhile wins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from mien.app.ports import Bucket, Catalog, Recognizer
from mien.domain import object_keys
from mien.domain.errors import ImageError, ImageNotFound, StorageError
from mien.domain.faces import Reason
from mien.domain.limits import MAX_FACES_PER_PHOTO, MAX_FACES_PER_USER
from mien.domain.policy import Policy, SeveralFaces
from mien.domain.records import FaceRecord, Image, IndexedFace, Indexing, Person, Upload, UploadNotice, UploadStatus

GAVE_UP = UploadNotice(
    "indexing_failed",
    "Something went wrong each time the photo was looked at, through no fault of the photo. It is kept; upload it "
    "again to have it tried once more.",
)

_SENTENCES = {
    Reason.EXTREME_POSE: "The face is turned too far away.",
    Reason.LOW_BRIGHTNESS: "The face is too dark.",
    Reason.LOW_SHARPNESS: "The face is blurred.",
    Reason.LOW_CONFIDENCE: "It is not certain that this is a face.",
    Reason.SMALL_BOUNDING_BOX: "The face is too small on the photo.",
    Reason.LOW_FACE_QUALITY: "The face is not clear enough.",
    Reason.EXCEEDS_MAX_FACES: "The photo shows more faces than can be enrolled at once.",
}


class IndexingService:
    """Indexes photos, gives up on them, and takes them back."""

    def __init__(
        self,
        bucket: Bucket,
        recognizer: Recognizer,
        catalog: Catalog,
        policy: Policy,
        now: Callable[[], datetime],
    ) -> None:
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._policy, self._now = policy, now

    def index(self, path: str) -> Upload:
        """Bring the upload to `indexed` or `rejected`. ImageNotFound when the photo is or gets lost."""
        image = self._photo(path)
        known = self._state(path)
        digest = hashlib.sha256(image.body).hexdigest()
        if known and known.status is UploadStatus.INDEXED and known.digest == digest:
            return known
        if known and known.digest not in {None, digest}:
            self._remove_faces(path)
        upload = self._enrol(path, image, known.timestamp if known else self._now(), digest)
        self._catalog.put(upload)
        if not self._lies_in_bucket(path):
            self.withdraw(path)
            raise ImageNotFound("The photo was deleted while it was indexed.")
        return upload

    def give_up(self, path: str) -> Upload:
        """Bring the upload to `failed`, unless its photo has an outcome. ImageNotFound when there is no photo."""
        known = self._state(path)
        if not self._lies_in_bucket(path):
            self.withdraw(path)
            raise ImageNotFound("There is no photo under this path.")
        if known and known.status.final and known.digest == self._digest(path):
            return known
        upload = Upload(
            path,
            object_keys.owner(path),
            UploadStatus.FAILED,
            known.timestamp if known else self._now(),
            known.digest if known else None,  # faces of a photo that was replaced are removed by it later
            reasons=(GAVE_UP,),
        )
        self._catalog.put(upload)
        return upload

    def withdraw(self, path: str) -> None:
        """Remove a photo and all that came of it; the person too, when it was their last."""
        self._bucket.delete([path])
        self._remove_faces(path)
        self._catalog.delete(Upload, [path])
        owner = object_keys.owner(path)
        if owner is not None and next(iter(self._bucket.keys(object_keys.folder(owner))), None) is None:
            self._recognizer.forget(owner)
            self._catalog.delete(Person, [owner])

    def _photo(self, path: str) -> Image:
        try:
            return self._bucket.get(path)
        except ImageNotFound:
            self.withdraw(path)
            raise

    def _state(self, path: str) -> Upload | None:
        return next(iter(self._catalog.get(Upload, [path])), None)

    def _digest(self, path: str) -> str | None:
        try:
            return hashlib.sha256(self._bucket.get(path).body).hexdigest()
        except StorageError:  # which may be why indexing failed
            return None

    def _lies_in_bucket(self, path: str) -> bool:
        return path in self._bucket.keys(path)

    def _remove_faces(self, path: str) -> None:
        ids = [
            face.face_id for face in self._catalog.find(FaceRecord, image_path=path, limit=MAX_FACES_PER_PHOTO).items
        ]
        self._recognizer.delete(ids)
        self._catalog.delete(FaceRecord, ids)

    def _enrol(self, path: str, image: Image, timestamp: datetime, digest: str) -> Upload:
        owner = object_keys.owner(path)

        def state(status: UploadStatus, **more: tuple[object, ...]) -> Upload:
            return Upload(path, owner, status, timestamp, digest, **more)  # type: ignore[arg-type]

        try:
            alike = self._recognizer.threshold(self._policy.threshold).similarity
            indexing = self._recognizer.index(image.body, owner, 1 if owner else MAX_FACES_PER_PHOTO, alike)
        except ImageError as error:
            return state(UploadStatus.REJECTED, reasons=(UploadNotice(error.code, str(error)),))
        if reasons := tuple(self._refusals(indexing, owner)):
            self._recognizer.delete([face.face_id for face in indexing.faces])
            return state(UploadStatus.REJECTED, reasons=reasons)
        warnings = self._remember(path, owner, indexing, timestamp)
        ids = tuple(face.face_id for face in indexing.faces)
        return state(UploadStatus.INDEXED, face_ids=ids, warnings=tuple(warnings))

    def _refusals(self, indexing: Indexing, owner: str | None) -> Iterator[UploadNotice]:
        if not indexing.faces:
            yield from _why_none(indexing.left_out)
        elif owner and self._policy.several_faces is SeveralFaces.REFUSE and _bystanders(indexing):
            yield UploadNotice("several_faces", "The photo shows several faces; it should show the person alone.")

    def _remember(self, path: str, owner: str | None, indexing: Indexing, timestamp: datetime) -> list[UploadNotice]:
        enrolled = self._enrolled(indexing)
        for found in indexing.faces:
            record = FaceRecord(found.face_id, owner, path, timestamp, found.face.box, found.face.confidence)
            same = enrolled.get(found.face_id)
            if same and same.image_path != path and not self._lies_in_bucket(same.image_path):  # it was renamed
                del enrolled[found.face_id]
            if found.face_id not in enrolled:
                self._catalog.put(record)
        warnings = list(_about_photo(path, indexing, owner, enrolled))
        if owner is not None:
            warnings += self._join(owner, indexing.faces[0], enrolled, timestamp)
        return warnings

    def _enrolled(self, indexing: Indexing) -> dict[str, FaceRecord]:
        ids = [face.face_id for face in indexing.faces]
        ids += [hit.face_id for face in indexing.faces for hit in face.face_hits]
        records = self._catalog.get(FaceRecord, list(dict.fromkeys(ids)))
        return {record.face_id: record for record in records if not record.negative}

    def _join(
        self, owner: str, found: IndexedFace, enrolled: dict[str, FaceRecord], timestamp: datetime
    ) -> Iterator[UploadNotice]:
        counts = found.face_id in self._recognizer.associate(owner, [found.face_id])
        if not self._catalog.get(Person, [owner]):
            self._catalog.put(Person(owner, timestamp))
        others = [
            face.face_id
            for face in self._catalog.find(FaceRecord, user_id=owner, limit=MAX_FACES_PER_USER).items
            if face.face_id != found.face_id and not face.negative
        ]
        like_own = any(hit.face_id in enrolled and enrolled[hit.face_id].user_id == owner for hit in found.face_hits)
        if others and not like_own:
            yield UploadNotice("unlike_person", "The face is unlike the person's other photos.", others[0])
        elif not counts:
            yield UploadNotice(
                "not_counted", "The face is kept, but the person already has as many faces as count together."
            )


def _why_none(left_out: Sequence[tuple[Reason, ...]]) -> Iterator[UploadNotice]:
    if not left_out:
        yield UploadNotice("no_face", "The photo shows no face.")
    for reason in dict.fromkeys(reason for reasons in left_out for reason in reasons):
        yield UploadNotice(reason.value.lower(), _SENTENCES[reason])


def _bystanders(indexing: Indexing) -> int:
    return sum(Reason.EXCEEDS_MAX_FACES in reasons for reasons in indexing.left_out)


def _about_photo(
    path: str, indexing: Indexing, owner: str | None, enrolled: dict[str, FaceRecord]
) -> Iterator[UploadNotice]:
    if owner and (others := _bystanders(indexing)):
        yield UploadNotice("several_faces", f"The photo shows {others + 1} faces; only the largest was enrolled.")
    for found in indexing.faces:
        if (same := enrolled.get(found.face_id)) and same.image_path != path:
            yield UploadNotice("duplicate", "The same photo was enrolled before.", found.face_id, 100.0)
        if owner:
            yield from _lookalikes(found, owner, enrolled)


def _lookalikes(found: IndexedFace, owner: str, enrolled: dict[str, FaceRecord]) -> Iterator[UploadNotice]:
    for hit in found.face_hits:
        record = enrolled.get(hit.face_id)
        if record and record.user_id not in {None, owner}:
            sentence = "The face looks like one that is enrolled under another name."
            yield UploadNotice("looks_like_another", sentence, hit.face_id, hit.similarity)
            return
