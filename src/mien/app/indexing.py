"""Index photos: let what is stored of a photo's faces follow the photo, whether it comes, changes or goes.

Everything here may run twice, at the same time as itself, and be interrupted anywhere: ids come from the content,
records are replaced by equal ones, and the photo's existence is checked once more at the end, so that a deletion in
the meantime wins.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from mien.app.enrolment import Enroller
from mien.app.people import PeopleService
from mien.app.photo_faces import PhotoFaces
from mien.app.ports import SIGNED_AT, Bucket, Catalog, Recognizer
from mien.app.upload_notices import LOOKS_LIKE_ANOTHER_NAME
from mien.domain import object_keys
from mien.domain.errors import AccessDenied, ImageNotFound, ImageTooLarge, StorageBusy, StorageError, UserExists
from mien.domain.faces import iterate_pages
from mien.domain.policy import Policy
from mien.domain.records import Consent, FaceRecord, Recognition, Upload, UploadNotice, UploadStatus
from mien.domain.results import Image

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3


class IndexingService:
    """Indexes photos, marks those as failed that cannot be indexed, and removes photos with their faces."""

    def __init__(
        self,
        bucket: Bucket,
        recognizer: Recognizer,
        catalog: Catalog,
        people: PeopleService,
        policy: Policy,
        now: Callable[[], datetime],
        check_not_forgotten: Callable[[str, datetime], None],
    ) -> None:
        """Compose the service; `check_not_forgotten` is `ErasureService.check_not_erased_since`."""
        self._check_not_forgotten = check_not_forgotten
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._people, self._now = people, now
        self._faces = PhotoFaces(bucket, recognizer, catalog)
        self._enroller = Enroller(recognizer, catalog, people, policy, self._faces)

    def index(self, path: str) -> Upload:
        """Index a photo of the bucket and return its upload, which then is `indexed` or `rejected`.

        A photo that is indexed already is left alone. Raises ImageNotFound when the photo is missing, also when it
        disappears meanwhile; its faces and records are then removed, too. A photo that came by a form which is older
        than the person's erasure is deleted, and counts as missing. Raises StorageBusy when its faces disappear
        again and again.
        """
        try:
            image = self._photo(path)
        except ImageTooLarge as error:
            return self._reject_unread(path, error)
        self._refuse_late(path, image)
        upload = self._upload(path)
        digest = hashlib.sha256(image.body).hexdigest()
        if (
            upload
            and upload.status is UploadStatus.INDEXED
            and upload.digest == digest
            and self._faces.are_enrolled(upload.face_ids)
        ):
            return upload
        is_replaced = upload is not None and upload.digest not in {None, digest}
        if is_replaced:
            self._release(path)
        timestamp = upload.timestamp if upload and not _is_overwritten(upload, digest) else self._now()
        for _ in range(MAX_ATTEMPTS):  # a copy of this photo that is deleted meanwhile may take the faces along
            indexed = self._index_for_owner(path, upload, image, timestamp, digest)
            self._catalog.put(indexed)
            self._require_photo(path)
            if is_replaced:
                self._release(path, keep=indexed.face_ids)
            if self._faces.are_enrolled(indexed.face_ids):
                self._refuse_late(path, image)  # the person may have been forgotten meanwhile
                return indexed
        raise StorageBusy("The photo's faces were removed while it was indexed; try again.")

    def mark_failed(self, path: str, reason: UploadNotice) -> Upload:
        """Mark an upload as `failed`, unless its present photo is indexed or rejected. Raises ImageNotFound."""
        upload = self._upload(path)
        self._require_photo(path)
        if upload and upload.status.final and upload.digest == self._digest(path):
            return upload
        failed = Upload(
            path,
            self._owner_if_known(path, upload),
            UploadStatus.FAILED,
            upload.timestamp if upload else self._now(),
            upload.digest if upload else None,  # faces of a photo that was replaced are removed by it later
            reasons=(reason,),
        )
        self._catalog.put(failed)
        self._require_photo(path)
        return failed

    def remove_photo(self, path: str) -> None:
        """Remove a photo, its upload, the faces that no copy of it shows, and the person when it was their last photo.

        The upload goes last: as long as it is there, a reconciliation finds what an interruption left.
        """
        self._bucket.delete([path])
        self._remove_traces(path)

    def is_only_photo_of_its_faces(self, upload: Upload) -> bool:
        """Tell whether no copy of a photo shows the faces that it shows."""
        faces = self._catalog.get(FaceRecord, upload.face_ids)
        return all(len(self._faces.showing(face)) <= 1 for face in faces)

    def remove_missing(self, path: str) -> None:
        """Remove what is left of a photo that no longer exists; one that exists is left alone."""
        if not self._faces.exists(path):
            self._remove_traces(path)
            if self._faces.exists(path):  # it was stored again meanwhile
                self.index(path)

    def remove_face(self, face: FaceRecord) -> None:
        """Remove an enrolled face, and every photo that shows no other enrolled face."""
        while not all(self._take_out(face, upload) for upload in self._faces.showing(face)):
            pass
        self._recognizer.delete([face.face_id])
        self._catalog.delete(FaceRecord, [face.face_id])

    def remove_belongings(self, user_id: str) -> None:
        """Remove what else is stored of a person without photos: their user, rejections and consent."""
        pages = iterate_pages(lambda token: self._catalog.find(FaceRecord, user_id=user_id, limit=1000, token=token))
        rejected = [record.face_id for record in pages if record.negative]
        self._recognizer.delete(rejected)
        self._catalog.delete(FaceRecord, rejected)
        self._recognizer.forget(user_id)
        self._catalog.delete(Consent, [user_id])

    def _take_out(self, face: FaceRecord, upload: Upload) -> bool:
        """Take a face out of a photo that shows it; False when the upload was changed or removed meanwhile."""
        others = tuple(face_id for face_id in upload.face_ids if face_id != face.face_id)
        if others:
            return self._catalog.put(replace(upload, face_ids=others), unchanged=[upload])
        self.remove_photo(upload.image_path)
        return True

    def _remove_traces(self, path: str) -> None:
        """Remove what is left of a photo that does not exist; one that is stored meanwhile stays."""
        self._bucket.delete_remains(path)
        self._release(path)
        upload = self._upload(path)
        self._withdraw_recognitions(upload)
        user_id = self._owner_if_known(path, upload)
        if user_id is not None and self._people.is_without_photos(user_id, but=path):
            self._recognizer.forget(user_id)
            vanishing = self._people.vanishing(user_id, but=path)
            for each in vanishing:
                self.remove_belongings(each)
            self._people.remove(*vanishing)
        self._catalog.delete(Upload, [path])

    def _withdraw_recognitions(self, upload: Upload | None) -> None:
        """Remove the answers by this photo that name somebody who was forgotten while it was being indexed.

        Others stay: the person may be enrolled anew.
        """
        if upload is None or upload.user_id is None:
            return
        user_id, path = upload.user_id, upload.image_path
        try:
            self._check_not_forgotten(user_id, upload.timestamp)
        except AccessDenied:
            found = iterate_pages(
                lambda token: self._catalog.find(Recognition, user_id=user_id, limit=1000, token=token)
            )
            due = [each.recognition_id for each in found if each.may_be_due_to(path, user_id)]
            self._catalog.delete(Recognition, due)

    def _require_photo(self, path: str) -> None:
        """Raise ImageNotFound for a photo that does not exist, after what is left of it was removed."""
        if not self._faces.exists(path):
            self._remove_traces(path)
            raise ImageNotFound("There is no photo under this path, or it was deleted meanwhile.")

    def _release(self, path: str, keep: Sequence[str] = ()) -> None:
        for copy in self._faces.release(path, keep):
            with suppress(ImageNotFound):
                self.index(copy)

    def _photo(self, path: str) -> Image:
        try:
            return self._bucket.get(path)
        except ImageNotFound:
            self._remove_traces(path)
            raise

    def _reject_unread(self, path: str, error: ImageTooLarge) -> Upload:
        """Reject a photo that the bucket does not read for its size, and remove the faces of what was there before."""
        upload = self._upload(path)
        self._release(path)
        rejected = Upload(
            path,
            self._owner_if_known(path, upload),
            UploadStatus.REJECTED,
            upload.timestamp if upload else self._now(),
            reasons=(UploadNotice(error.code, str(error)),),
        )
        self._catalog.put(rejected)
        self._require_photo(path)
        return rejected

    def _refuse_late(self, path: str, image: Image) -> None:
        signed_at, user_id = image.metadata.get(SIGNED_AT), object_keys.user_id_of(path)
        if signed_at is None or user_id is None:
            return
        try:
            self._check_not_forgotten(user_id, _moment(signed_at))
        except AccessDenied as error:
            self.remove_photo(path)
            log.warning("a photo was deleted: its form is older than the erasure of its person")
            raise ImageNotFound("The photo came by a form that is older than the person's erasure.") from error

    def _owner(self, path: str, upload: Upload | None) -> str | None:
        """Whose photo it is: what was found out first stays true when the person gets another name."""
        return upload.user_id if upload and upload.user_id is not None else self._people.owner(path)

    def _owner_if_known(self, path: str, upload: Upload | None) -> str | None:
        try:
            return self._owner(path, upload)
        except UserExists:
            return None

    def _upload(self, path: str) -> Upload | None:
        return next(iter(self._catalog.get(Upload, [path])), None)

    def _digest(self, path: str) -> str | None:
        try:
            return hashlib.sha256(self._bucket.get(path).body).hexdigest()
        except (StorageError, ImageTooLarge):  # which may be why indexing failed
            return None

    def _index_for_owner(
        self, path: str, upload: Upload | None, image: Image, timestamp: datetime, digest: str
    ) -> Upload:
        try:
            user_id = self._owner(path, upload)
        except UserExists as error:
            reason = UploadNotice(LOOKS_LIKE_ANOTHER_NAME, f"The photo's folder cannot be taken: {error}")
            return Upload(path, None, UploadStatus.REJECTED, timestamp, digest, reasons=(reason,))
        return self._enroller.enroll(path, user_id, image, timestamp, digest)


def _moment(text: str) -> datetime:
    """Read a time; what is none, because somebody stored it by hand, is long ago."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)


def _is_overwritten(upload: Upload, digest: str) -> bool:
    """Whether other bytes took the place of a photo that had its outcome, so that the photo is a new one."""
    return upload.status.final and upload.digest not in {None, digest}
