"""FaceApp: the flows of the application, in the words of its users. The only place that knows them.

    upload      photo -> bucket -> (event) -> index_upload -> recognizer -> catalog
    recognize   photo -> recognizer -> people -> catalog -> answer

Photos are bytes of an image file; user ids are any text; similarities run from 0 to 100. Beside what
the methods name, all of them raise StorageError leaves, and those that take a photo ImageError leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType

from mien.app.erasure import ErasureService, LeftoverScan
from mien.app.indexing import IndexingService
from mien.app.ports import Bucket, Catalog, Recognizer
from mien.app.recognition import RecognitionService
from mien.app.rejections import RejectionService
from mien.app.uploads import UploadService
from mien.domain import object_keys
from mien.domain.errors import FaceNotFound, ImageTooLarge, InvalidInput, RecognitionNotFound, UserNotFound
from mien.domain.faces import Detection, Issue, Page
from mien.domain.policy import Policy
from mien.domain.records import (
    Comparison,
    ErasureReport,
    FaceRecord,
    Image,
    Person,
    Recognition,
    Upload,
    UploadForm,
    UploadStatus,
)
from mien.domain.thresholds import Threshold


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FaceApp:
    """Upload photos of people you know; show it a new photo; it says who is on it."""

    def __init__(
        self,
        bucket: Bucket,
        recognizer: Recognizer,
        catalog: Catalog,
        policy: Policy | None = None,
        *,
        residue: LeftoverScan = lambda _: (),
        hygiene: Callable[[], Sequence[Issue]] | None = None,
        close: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.policy = policy or Policy()
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._reception = UploadService(bucket, catalog, now)
        self._enrolment = IndexingService(bucket, recognizer, catalog, self.policy, now)
        self._eraser = ErasureService(bucket, recognizer, catalog, residue, now)
        self._identification = RecognitionService(recognizer, catalog, self.policy, now)
        self._hygiene = hygiene
        self._rejections = RejectionService(recognizer, catalog, now)
        self._close, self._now = close, now

    def __enter__(self) -> FaceApp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and connections; the app is of no use afterwards."""
        self._close()

    # Uploads

    def upload(self, image: bytes, user_id: str | None = None) -> Upload:
        """Store a photo; an event then indexes it. The same photo for the same user is the same upload."""
        self._check_size(image)
        return self._reception.take(image, None if user_id is None else object_keys.user_id(user_id))

    def presign_upload(self, content_type: str, user_id: str | None = None) -> UploadForm:
        """A form for a direct upload, good for a quarter of an hour. InvalidInput for another type."""
        owner = None if user_id is None else object_keys.user_id(user_id)
        return self._reception.form(content_type, owner, self.policy.max_image_bytes)

    def receive(self, image_path: str, image: bytes) -> None:
        """Store a photo under the path that a form was given for; an event then indexes it."""
        self._check_size(image)
        self._reception.take_at(object_keys.image_key(image_path), image)

    def upload_state(self, image_path: str) -> Upload:
        """Raises ImageNotFound."""
        return self._reception.state(object_keys.image_key(image_path))

    def index_upload(self, image_path: str) -> Upload:
        """What the object-created event calls: index the photo, as often as it is asked to.

        Raises ImageNotFound when the photo is no longer there; the event then is settled.
        """
        return self._enrolment.index(object_keys.image_key(image_path))

    def give_up(self, image_path: str) -> Upload:
        """What the event calls once its attempts are used up: the upload is `failed`. Raises ImageNotFound."""
        return self._enrolment.give_up(object_keys.image_key(image_path))

    def enroll(self, image: bytes, user_id: str) -> Upload:
        """Upload and index at once, for callers that wait for the outcome."""
        return self.index_upload(self.upload(image, user_id).image_path)

    def move(self, image_path: str, user_id: str) -> Upload:
        """Give a photo to another person, as when renaming or merging people: enrolled there, withdrawn here."""
        path = object_keys.image_key(image_path)
        upload = self.enroll(self.image(path).body, user_id)
        if upload.image_path != path and upload.status is UploadStatus.INDEXED:
            self._enrolment.withdraw(path)
        return upload

    def image(self, image_path: str) -> Image:
        """Raises ImageNotFound."""
        return self._bucket.get(object_keys.image_key(image_path))

    # Recognition

    def threshold(self, given: str | float | None = None) -> Threshold:
        """What a threshold means here and now; without one, the policy's. InvalidInput for what cannot be."""
        return self._recognizer.threshold(self.policy.threshold if given is None else given)

    def recognize(self, image: bytes, threshold: str | float | None = None, *, store: bool = True) -> Recognition:
        """Who is on the photo? Every face is searched. The photo is not kept; the answer is, if `store`.

        `threshold`: a similarity, or an error rate such as `fmr=1e-4` or `fpir=0.01`.
        """
        self._check_size(image)
        return self._identification.answer(image, None, threshold, store=store)

    def recognize_stored(self, image_path: str, threshold: str | float | None = None) -> Recognition:
        """Who is on a photo of the bucket? Raises ImageNotFound."""
        image = self.image(image_path).body
        self._check_size(image)
        return self._identification.answer(image, image_path, threshold, store=True)

    def recognition(self, recognition_id: str) -> Recognition:
        """Raises RecognitionNotFound."""
        found = self._catalog.get(Recognition, [recognition_id])
        if not found:
            raise RecognitionNotFound("There is no recognition of this id.")
        return found[0]

    def recognitions(
        self,
        user_id: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Recognition]:
        """Stored answers, newest first; of one person: those that name them, as match or as candidate."""
        owner = None if user_id is None else object_keys.user_id(user_id)
        return self._catalog.find(Recognition, user_id=owner, since=since, limit=limit, cursor=cursor)

    def detect(self, image: bytes) -> list[Detection]:
        """The photo's faces, largest first, without names."""
        self._check_size(image)
        return self._recognizer.detect(image)

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        """The source's largest face against each of the target's, most similar first. Raises NoFace."""
        self._check_size(source)
        self._check_size(target)
        return self._recognizer.compare(source, target)

    # Faces and people

    def face(self, face_id: str) -> FaceRecord:
        """Raises FaceNotFound."""
        found = self._catalog.get(FaceRecord, [face_id])
        if not found:
            raise FaceNotFound("There is no face of this id.")
        return found[0]

    def faces(
        self,
        user_id: str | None = None,
        image_path: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[FaceRecord]:
        """Enrolled faces, newest first, by at most one of person and photo; a page may hold fewer than `limit`."""
        if user_id is not None and image_path is not None:
            raise InvalidInput("Faces can be listed by user id or by image path, not by both.")
        owner = None if user_id is None else object_keys.user_id(user_id)
        page = self._catalog.find(FaceRecord, user_id=owner, image_path=image_path, limit=limit, cursor=cursor)
        return Page(tuple(face for face in page.items if not face.negative), page.next_token)

    def reject(self, image: bytes, user_id: str) -> FaceRecord:
        """Remember that the photo's face that is most like this person is not them. NoFace when none is like them."""
        self._check_size(image)
        return self._rejections.add(image, self.person(user_id).user_id)

    def rejections(self, user_id: str, limit: int = 100, cursor: str | None = None) -> Page[FaceRecord]:
        """The faces that are known not to be the person; a page may hold fewer than `limit`."""
        return self._rejections.of(object_keys.user_id(user_id), limit, cursor)

    def undo_rejection(self, face_id: str) -> None:
        """Raises FaceNotFound."""
        self._rejections.undo(face_id)

    def hygiene(self) -> Sequence[Issue]:
        """What looks wrong with who is enrolled. InvalidInput where the recognizer does not show embeddings."""
        if self._hygiene is None:
            raise InvalidInput("The recogniser in use does not show embeddings, so its faces cannot be looked over.")
        return self._hygiene()

    def delete_face(self, face_id: str) -> None:
        """Remove a face, and its photo unless that shows another enrolled one. Raises FaceNotFound."""
        face = self.face(face_id)
        on_photo = self._catalog.find(FaceRecord, image_path=face.image_path, limit=2).items
        if len(on_photo) < 2:
            self._enrolment.withdraw(face.image_path)
        self._recognizer.delete([face_id])
        self._catalog.delete(FaceRecord, [face_id])

    def people(self, limit: int = 100, cursor: str | None = None) -> Page[Person]:
        """Everybody who is enrolled, newest first."""
        return self._catalog.find(Person, limit=limit, cursor=cursor)

    def person(self, user_id: str) -> Person:
        """Raises UserNotFound."""
        found = self._catalog.get(Person, [object_keys.user_id(user_id)])
        if not found:
            raise UserNotFound("Nobody is enrolled under this user id.")
        return found[0]

    def forget(self, user_id: str) -> ErasureReport:
        """Erase every trace of a person: vectors, metadata, images and results. Raises UserNotFound."""
        return self._eraser.forget(object_keys.user_id(user_id))

    def resume_erasures(self) -> list[ErasureReport]:
        """Finish what was cut off; to be called at every start."""
        return self._eraser.resume()

    def verify_erased(self, user_id: str) -> tuple[str, ...]:
        """The stores that hold something of the person; empty when there is nothing left anywhere."""
        return self._eraser.traces(object_keys.user_id(user_id))

    def _check_size(self, image: bytes) -> None:
        if len(image) > self.policy.max_image_bytes:
            raise ImageTooLarge(f"The photo has more than {self.policy.max_image_bytes} bytes.")
