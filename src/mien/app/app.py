"""Offer everything that a user of Mien can do, on three ports: `FaceApp`.

upload      photo -> bucket -> (event) -> index_upload -> recognizer -> catalog
recognize   photo -> recognizer -> people -> catalog -> recognition
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime

from mien.app.erasure import EmptyLogs, ErasureService, FindRemains
from mien.app.group_ports import Grouping
from mien.app.groups import GroupService
from mien.app.indexing import IndexingService
from mien.app.moving import PhotoMover
from mien.app.people import PeopleService
from mien.app.ports import Bucket, Catalog, Recognizer
from mien.app.recognition import RecognitionService
from mien.app.reconciler import GRACE_SECONDS, Reconciler
from mien.app.reconciliation import Reconciliation
from mien.app.rejections import RejectionService
from mien.app.retention import RetentionService
from mien.app.upload_notices import INDEXING_FAILED, INDEXING_INTERRUPTED
from mien.app.uploads import UploadService
from mien.domain import image_types, object_keys
from mien.domain.dates import in_utc
from mien.domain.errors import FaceNotFound, ImageNotFound, ImageTooLarge, InvalidInput, RecognitionNotFound, UserExists
from mien.domain.faces import Detection, Issue, Page
from mien.domain.groups import NO_GROUPS
from mien.domain.policy import Policy
from mien.domain.records import Erasure, ErasureReceipt, FaceRecord, Person, Recognition, Upload, UploadStatus
from mien.domain.results import (
    Comparison,
    ErasureReport,
    Expiry,
    FaceSummary,
    HealthWarning,
    Image,
    StoredPhoto,
    UploadForm,
)
from mien.domain.thresholds import Threshold

LINK_SECONDS = 60


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FaceApp:
    """Enrols people from photos and recognises them in others.

    `mien.open_app()` makes one; it may be used from several threads at once, and as a context manager that closes
    it. These hold for all methods:

    - Photos are the bytes of an image file: JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF, turned upright by EXIF,
      of at most `policy.max_image_bytes` bytes. A method that takes one raises ImageError: EmptyImage,
      UnsupportedImage, DamagedImage, ImageTooLarge, ImageTooSmall.
    - A `user_id` is any printable text of 1 to 80 bytes in UTF-8, a `name` of 1 to 200 bytes; spaces around it are
      removed, and its Unicode is composed (NFC). InvalidInput for other text. An id that was merged into another
      person stands for that person. What is returned has the person's present id and name.
    - An `image_path` is a photo's key in the bucket, `uploaded/<folder of the user>/<upload>.<ext>`. InvalidInput
      for text that cannot be one.
    - Similarities run from 0 to 100. Boxes are fractions of the upright photo's width and height.
    - Timestamps are aware and in UTC.
    - Listings are returned in pages: `limit` is the number of items at most, 1 to 1000, `token` the `next_token` of
      the page before; InvalidInput for a token of another listing.
    - Any method raises StorageError when a store fails and Overloaded when a remote service is too busy;
      those that detect or recognise faces raise ModelError when the models cannot be used.
    """

    def __init__(
        self,
        bucket: Bucket,
        recognizer: Recognizer,
        catalog: Catalog,
        policy: Policy | None = None,
        *,
        find_remains: FindRemains = lambda _: (),
        inspect: Callable[[], Sequence[Issue]] | None = None,
        render: Callable[[bytes, int], bytes] | None = None,
        warnings: Callable[[], Sequence[HealthWarning]] = lambda: (),
        close: Callable[[], None] = lambda: None,
        pseudonym: Callable[[str], str] | None = None,
        grouping: Grouping | None = None,
        make_room: Callable[[], bool] = lambda: False,
        remove_copies: Callable[[], None] = lambda: None,
        empty_logs: EmptyLogs = lambda: (),
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Compose the application.

        Args:
            bucket: Stores the photos.
            recognizer: Detects, indexes and searches faces.
            catalog: Stores the metadata.
            policy: The operator's choices; the defaults of `Policy` when None.
            find_remains: Names places below the ports that still hold a user id, for `verify_erased`.
            warnings: Says what does not work as it should, though Mien works.
            inspect: Finds issues with the enrolled faces; None when the backend has no access to embeddings.
            render: Converts a photo to a JPEG of at most so many pixels a side; None when the backend cannot.
            close: Releases what the backend holds open.
            pseudonym: Makes the stand-in for a user id in the receipts of erasures.
            grouping: The ports with which faces are grouped; None when the backend cannot.
            make_room: Frees reserved space on a full disk, for erasures.
            remove_copies: Deletes copies of the data that the stores do not know, for erasures.
            empty_logs: Empties the logs in which deleted data could still be read, for erasures.
            now: Returns the time, aware and in UTC.
        """
        self.policy = policy or Policy()
        self._bucket, self._recognizer, self._catalog = bucket, recognizer, catalog
        self._people = people = PeopleService(bucket, catalog, now)
        self._uploads = UploadService(bucket, catalog, people, now)
        self._erasure = ErasureService(
            bucket,
            recognizer,
            catalog,
            people,
            find_remains,
            now,
            pseudonym=pseudonym,
            make_room=make_room,
            remove_copies=remove_copies,
            empty_logs=empty_logs,
        )
        check = self._erasure.check_not_erased_since
        self._indexing = IndexingService(bucket, recognizer, catalog, people, self.policy, now, check)
        groups_of = grouping.catalog.groups_of if grouping else None
        self._recognition = RecognitionService(recognizer, catalog, people, self.policy, now, groups_of)
        self._rejections = RejectionService(recognizer, catalog, people, now)
        self._retention = RetentionService(catalog, people, self._indexing, self._erasure, self.policy, now)
        self._mover = PhotoMover(
            bucket, catalog, people, self._uploads, self._indexing, self._retention, self._admit, self.enroll
        )
        self._inspect, self._render, self._warnings, self._close = inspect, render, warnings, close
        self._groups: GroupService | None = None
        if grouping:
            services = (self._indexing, self._recognition)
            self._groups = GroupService(
                grouping, *services, now, admit=self._admit, enroll=self.enroll, remove_copies=remove_copies
            )

    def __enter__(self) -> FaceApp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close files and connections; the application cannot be used afterwards."""
        self._close()

    def warnings(self) -> Sequence[HealthWarning]:
        """Say what does not work as it should though Mien works, such as an erasure that is stuck."""
        return [*self._warnings(), *self._erasure.warnings()]

    # Uploads

    def upload(
        self,
        image: bytes,
        user_id: str | None = None,
        name: str | None = None,
        *,
        consent_until: date | None = None,
        discreet: bool = False,
    ) -> Upload:
        """Store a photo; an event then has it indexed.

        Args:
            image: The photo.
            user_id: The person whom it shows; None for nobody in particular, when all its faces are indexed
                without a user, unless there is a name.
            name: Without an id, the name of the person, who gets an id when nobody has that name yet. With an id, the
                name of a new person; of one who is enrolled it is used only when they have no name but their id.
            consent_until: The last day (in UTC) on which the person's consent holds; None leaves it as it is.
                InvalidInput for a day in the past, and without a user.
            discreet: Whether the caller must not learn who is enrolled. Then there is no UserExists: a name that looks
                like a person's is taken for it, and under an id that does the photo is stored, to be rejected later.

        Returns the upload with its `image_path`. Its status is `pending`, or `indexed` when the same photo of the
        same person was indexed before. Raises UserExists when the id or name differs from another person's only in
        case, in Unicode form or in characters that do not show.
        """
        self._check_size(image)
        image_types.sniff(image)  # before the person is stored
        if consent_until is None:
            admitted = self._admit(user_id, name, discreet=discreet)
            return self._named(self._uploads.store(image, admitted, is_known=not discreet))
        if user_id is None and name is None:
            raise InvalidInput("Only a person's photo has a consent.")
        self._retention.check_last_day(consent_until)
        admitted = self._admit(user_id, name) or ""
        upload = self._uploads.store(image, admitted)
        self._retention.set_consent(admitted, consent_until)
        return self._named(upload)

    def presign_upload(
        self, content_type: str, user_id: str | None = None, name: str | None = None, *, discreet: bool = False
    ) -> UploadForm:
        """Sign a form for a direct upload to the bucket, valid for 15 minutes.

        Args:
            content_type: The photo's MIME type, such as image/jpeg. InvalidInput for one that is not an image's.
            user_id: The person whom the photo shows; None for nobody in particular.
            name, discreet: As for `upload`.
        """
        image_types.extension(content_type)  # before the person is stored
        admitted = self._admit(user_id, name, discreet=discreet)
        return self._uploads.presign(content_type, admitted, self.policy.max_image_bytes)

    def receive(self, image_path: str, image: bytes, signed_at: datetime) -> None:
        """Store a photo under the path of a form; an event then has it indexed.

        Args:
            image_path: The photo's path.
            image: The photo.
            signed_at: When the form was signed.

        Raises AccessDenied when the person was forgotten since.
        """
        self._check_size(image)
        path = object_keys.parse_image_path(image_path)
        user_id = object_keys.user_id_of(path)
        if user_id is not None:
            self._erasure.check_not_erased_since(user_id, signed_at)
        self._uploads.store_at(path, image)

    def upload_status(self, image_path: str) -> Upload:
        """Return what has become of an upload so far. Raises ImageNotFound when there was none at this path."""
        return self._named(self._uploads.status(object_keys.parse_image_path(image_path)))

    def uploads(
        self,
        user_id: str | None = None,
        status: UploadStatus | None = None,
        limit: int = 100,
        token: str | None = None,
    ) -> Page[Upload]:
        """List uploads, newest first: all, or a person's, or those of a status.

        With a status, a page may hold fewer than `limit` and not be the last. A photo that came by a form or by hand is
        listed once it was indexed, rejected or has failed.
        """
        page = self._catalog.find(Upload, user_id=self._ids(user_id), limit=limit, token=token)
        uploads = [upload for upload in page.items if status in {None, upload.status}]
        return Page(tuple(self._people.present_names.named(uploads)), page.next_token)

    def index_upload(self, image_path: str) -> Upload:
        """Index a photo of the bucket; the handler of the object-created event. Doing it again changes nothing.

        Returns the upload, `indexed` with its face ids and warnings or `rejected` with the reasons. Raises
        ImageNotFound when the photo no longer exists, after which the event need not be repeated.
        """
        upload = self._indexing.index(object_keys.parse_image_path(image_path))
        if self._groups and upload.user_id is None:
            self._groups.add(upload.face_ids)
        return upload

    def remove_upload(self, image_path: str) -> None:
        """Remove what was enrolled from a photo that was deleted; the handler of the object-removed event.

        A face that a copy of the photo shows stays. A photo that exists, because it was stored again, is left alone.
        Doing it again changes nothing.
        """
        self._indexing.remove_missing(object_keys.parse_image_path(image_path))

    def mark_failed(self, image_path: str, *, interrupted: bool = False) -> Upload:
        """Mark an upload as `failed`; for the event's handler, once all its attempts have failed.

        `interrupted` says that they did not fail, but ended with their process. An upload that another attempt has
        indexed or rejected stays as it is. Raises ImageNotFound when the photo no longer exists.
        """
        reason = INDEXING_INTERRUPTED if interrupted else INDEXING_FAILED
        return self._indexing.mark_failed(object_keys.parse_image_path(image_path), reason)

    def enroll(self, image: bytes, user_id: str | None = None, name: str | None = None) -> Upload:
        """Upload and index a photo in one call. Returns the upload, `indexed` or `rejected`."""
        return self._named(self.index_upload(self.upload(image, user_id, name).image_path))

    def move(self, image_path: str, user_id: str | None = None, name: str | None = None) -> Upload:
        """Give a photo to another person, who is named as for `upload`.

        The photo is enrolled for that person and, once indexed there, removed from its former place. Somebody who was
        not enrolled before gets the consent of the person from whom the photo comes. Returns the new upload; when it is
        `rejected`, the photo stays where it was, too. Raises ImageNotFound.
        """
        path = object_keys.parse_image_path(image_path)
        if user_id is None and name is None:
            raise InvalidInput("Say whose photo it is, by user id or by name.")
        return self._mover.move(path, user_id, name)

    def image(self, image_path: str) -> Image:
        """Return a photo of the bucket as it was uploaded. Raises ImageNotFound."""
        return self._bucket.get(object_keys.parse_image_path(image_path))

    def link_to_bucket(self) -> str | None:
        """Return a URL below which all of `image_link` are; None where there are none."""
        return self._bucket.link(object_keys.UPLOADED, image_types.of_path(""), 1)

    def image_link(self, image_path: str) -> str | None:
        """Return a URL of a photo for the next minute; None where only `image` returns it. Raises ImageNotFound."""
        path = object_keys.parse_image_path(image_path)
        link = self._bucket.link(path, image_types.of_path(path), LINK_SECONDS)
        if link is not None and self._bucket.stored_at(path) is None:
            raise ImageNotFound("There is no photo under this path.")
        return link

    def render(self, image: bytes, long_side: int) -> bytes:
        """Convert a photo to an upright JPEG with at most so many pixels a side. InvalidInput in memory."""
        self._check_size(image)
        if self._render is None:
            raise InvalidInput("Photos are not converted here.")
        return self._render(image, long_side)

    # Recognition

    def threshold(self, given: str | float | None = None) -> Threshold:
        """Convert a threshold to a similarity and, where they are known, error rates among those enrolled now.

        Args:
            given: A similarity (0, or 1 to 100), a false match rate such as `fmr=1e-4`, or a false alarm rate per
                search such as `fpir=0.01`; None for the policy's.

        Raises InvalidInput for anything else, and for error rates on AWS, where they are not published.
        """
        return self._recognition.threshold(given)

    def recognize(self, image: bytes, threshold: str | float | None = None, *, store: bool = True) -> Recognition:
        """Recognise every face of a photo, which is not kept.

        Args:
            image: The photo.
            threshold: As for `threshold`.
            store: Whether to keep the recognition in the catalog, where `recognitions` lists it.

        Returns one RecognizedFace per face, largest first; none when the photo shows no face.
        """
        self._check_size(image)
        return self._recognition.recognize(image, threshold, store=store)

    def recognize_stored(
        self, image_path: str, threshold: str | float | None = None, *, store: bool = True
    ) -> Recognition:
        """Recognise every face of a photo in the bucket; otherwise like `recognize`. Raises ImageNotFound."""
        photo = StoredPhoto(object_keys.parse_image_path(image_path), lambda: self._sized(self.image(image_path).body))
        recognition = self._recognition.recognize(photo, threshold, store=store)
        if image_path not in self._bucket.keys(image_path):  # its person may have been forgotten meanwhile
            self._catalog.delete(Recognition, [recognition.recognition_id])
            raise ImageNotFound("The photo was deleted while its faces were recognised.")
        return recognition

    def recognition(self, recognition_id: str) -> Recognition:
        """Return a stored recognition. Raises RecognitionNotFound."""
        stored = self._catalog.get(Recognition, [recognition_id])
        if not stored:
            raise RecognitionNotFound("There is no recognition of this id.")
        return self._people.present_names.recognitions(stored)[0]

    def recognitions(
        self,
        user_id: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
        token: str | None = None,
    ) -> Page[Recognition]:
        """List the stored recognitions, newest first; a page of crowds may hold fewer than `limit` and not be the last.

        Args:
            user_id: Only recognitions that name this person as match or as candidate, or are of a photo of theirs.
            since: Only recognitions from this time on, in UTC if it names no zone.
            limit: How many at most.
            token: Where to continue.
        """
        since = None if since is None else in_utc(since)
        page = self._catalog.find(Recognition, user_id=self._ids(user_id), since=since, limit=limit, token=token)
        return Page(tuple(self._people.present_names.recognitions(page.items)), page.next_token)

    def delete_recognition(self, recognition_id: str) -> None:
        """Delete a stored recognition. Raises RecognitionNotFound."""
        if not self._catalog.delete(Recognition, [recognition_id]):
            raise RecognitionNotFound("There is no recognition of this id.")

    def delete_unnamed_recognitions(self, token: str | None = None) -> tuple[int, str | None]:
        """Delete recognitions that name nobody, neither as match nor as candidate; forgetting people keeps them.

        A call looks at 1000 recognitions. It returns how many it deleted, and the `token` for those that follow, which
        is None after the last.
        """
        return self._retention.delete_unnamed(token)

    def detect(self, image: bytes) -> list[Detection]:
        """Detect the faces of a photo, largest first, without recognising them."""
        self._check_size(image)
        return self._recognizer.detect(image)

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        """Compare the largest face of one photo with every face of another, most similar first.

        Raises NoFace when the source shows no face.
        """
        self._check_size(source)
        self._check_size(target)
        return self._recognizer.compare(source, target)

    @property
    def groups(self) -> GroupService:
        """People whom nobody has named. Raises InvalidInput on AWS, where each face would take charged searches."""
        if self._groups is None:
            raise InvalidInput(NO_GROUPS)
        return self._groups

    # Faces and people

    def face(self, face_id: str) -> FaceRecord:
        """Return the record of an enrolled face. Raises FaceNotFound."""
        stored = self._catalog.get(FaceRecord, [face_id])
        if not stored:
            raise FaceNotFound("There is no face of this id.")
        return self._people.present_names.named(stored)[0]

    def faces(
        self,
        user_id: str | None = None,
        image_path: str | None = None,
        limit: int = 100,
        token: str | None = None,
    ) -> Page[FaceRecord]:
        """List enrolled faces, newest first; a page may hold fewer than `limit` and not be the last.

        Args:
            user_id: Only this person's.
            image_path: Only those of this photo. InvalidInput when `user_id` is given, too.
            limit: How many at most.
            token: Where to continue.
        """
        if user_id is not None and image_path is not None:
            raise InvalidInput("Faces can be listed by user id or by image path, not by both.")
        page = self._catalog.find(
            FaceRecord, user_id=self._ids(user_id), image_path=image_path, limit=limit, token=token
        )
        faces = self._people.present_names.named([face for face in page.items if not face.negative])
        return Page(tuple(faces), page.next_token)

    def reject(self, image: bytes, user_id: str) -> FaceRecord:
        """Record that the photo's face that is most similar to a person is not them.

        Later recognitions do not match the person with faces that are at least as similar to the rejected one.
        Raises UserNotFound, and NoFace when no face of the photo is similar to the person at all.
        """
        self._check_size(image)
        return self._people.present_names.named([self._rejections.add(image, self.person(user_id).user_id)])[0]

    def rejections(self, user_id: str, limit: int = 100, token: str | None = None) -> Page[FaceRecord]:
        """List the faces that were rejected for a person, newest first; a page may hold fewer than `limit`."""
        page = self._rejections.list(object_keys.parse_user_id(user_id), limit, token)
        return Page(tuple(self._people.present_names.named(page.items)), page.next_token)

    def undo_rejection(self, face_id: str) -> None:
        """Take a rejection back. Raises FaceNotFound when the face is not a rejected one."""
        self._rejections.remove(face_id)

    def inspect(self) -> Sequence[Issue]:
        """Find what looks wrong with the enrolled faces, such as one face under two names. Changes nothing.

        Raises InvalidInput on AWS, where Rekognition does not reveal embeddings.
        """
        if self._inspect is None:
            raise InvalidInput("The recogniser in use does not reveal embeddings, so its faces cannot be inspected.")
        return self._inspect()

    def face_image(self, face_id: str, side: int) -> bytes:
        """Return an enrolled face, cut out of its photo, as a JPEG of at most `side` pixels on each side.

        Raises FaceNotFound, and ImageNotFound for a rejected face, whose photo is not kept.
        """
        face = self.face(face_id)
        return self._recognizer.face_image(self._bucket.get(face.image_path).body, face.box, side)

    def delete_face(self, face_id: str) -> None:
        """Remove an enrolled face, and every photo of it that shows no other enrolled one. Raises FaceNotFound."""
        self._indexing.remove_face(self.face(face_id))

    def people(self, limit: int = 100, token: str | None = None, consent_before: date | None = None) -> Page[Person]:
        """List everybody who is enrolled, newest first; a page may hold fewer than `limit` and not be the last.

        With `consent_before`: the people whose last day of consent comes before this day, the latest of these days
        first.
        """
        if consent_before is not None:
            return self._retention.people_before(consent_before, limit, token)
        page = self._catalog.find(Person, limit=limit, token=token)
        return Page(tuple(p for p in page.items if not p.pending and not p.merged_into), page.next_token)

    def person(self, user_id: str) -> Person:
        """Return an enrolled person. Raises UserNotFound."""
        return self._people.get(object_keys.parse_user_id(user_id))

    def people_by_id(self, user_ids: Collection[str]) -> dict[str, Person]:
        """Return whom each user id leads to, through merges; ids of nobody are left out."""
        return self._people.aliases.by_id(user_ids)

    def ids_of(self, text: str) -> tuple[str, ...]:
        """Return every id that a text may stand for: itself, and all ids of the person of that id or exact name."""
        return self._people.ids_of(unicodedata.normalize("NFC", text).strip())

    def face_summaries(self, people: Collection[Person]) -> dict[str, FaceSummary]:
        """Return how many faces each of the people has, and the newest, by user id; people without one are left out."""
        return self._people.present_names.face_summaries(people)

    def find_person(self, text: str) -> Person:
        """Return the person of an id or, failing that, of exactly this name. Raises UserNotFound."""
        return self._people.find(unicodedata.normalize("NFC", text).strip())

    def rename(self, user_id: str, name: str) -> Person:
        """Give a person another name, which all recognitions show, stored ones too. Moves no photo.

        Raises UserNotFound, and UserExists when another person has the name or one that looks the same.
        """
        return self._people.rename(object_keys.parse_user_id(user_id), object_keys.parse_name(name))

    def merge(self, user_id: str, into: str) -> Person:
        """Merge a person into another: from now on, both ids stand for that person. Returns that person.

        Nothing is moved, so that `unmerge` gives each id its own photos and faces back. Raises UserNotFound, and
        InvalidInput when they are the same person or `user_id` is merged already.
        """
        return self._people.merge(object_keys.parse_user_id(user_id), object_keys.parse_user_id(into))

    def unmerge(self, user_id: str) -> Person:
        """Undo the merge of an id, and return its person. Raises UserNotFound, and InvalidInput without a merge."""
        return self._people.unmerge(object_keys.parse_user_id(user_id), self._indexing.remove_belongings)

    def set_consent(self, user_id: str, last_day: date | None) -> None:
        """Store the last day (in UTC) on which a person's consent holds; `expire` erases them after it.

        None stands for a consent without end. Raises UserNotFound, and InvalidInput for a day in the past.
        """
        self._retention.set_consent(self.person(user_id).user_id, last_day)

    def check_consent(self, last_day: date) -> None:
        """Raise InvalidInput for a day that cannot be the last one of a consent."""
        self._retention.check_last_day(last_day)

    def consents(self, user_ids: Collection[str]) -> dict[str, date]:
        """Return the last days of people's consents, by user id; people whose consent has no end are left out."""
        return self._retention.last_days([object_keys.parse_user_id(user_id) for user_id in user_ids])

    def expire(self, stop: Callable[[], bool] = lambda: False) -> Expiry:
        """Delete what has expired: recognitions, photos of nobody, and the people whose consent has ended.

        Answers are over `policy.result_days` after they were given, photos that were uploaded for nobody
        `policy.visitor_days` after their upload. To be called at every start and from time to time; interrupted
        anywhere, the next call does the rest. `stop` is asked before each small step whether to end early.
        """
        expiry = self._retention.expire(stop)
        if self._groups:
            self._groups.prune()
        return expiry

    def forget(self, user_id: str) -> ErasureReport:
        """Erase a person from every store: embeddings, metadata, photos, and the recognitions that name them.

        What was enrolled under an id that is merged into the person is erased as well. Returns what was removed.
        `remaining_stores` of the report is empty on success; otherwise the erasure is resumed by `resume_erasures`.
        Raises UserNotFound when no store knows the person.
        """
        return self._erasure.forget(self._root(user_id))

    def request_erasure(self, user_id: str) -> Erasure:
        """Store the request to forget a person, for `finish_erasure`. Raises UserNotFound."""
        return self._erasure.request(self._root(user_id))

    def finish_erasure(self, erasure: Erasure) -> ErasureReport:
        """Do what `forget` does, for a request that is stored."""
        return self._erasure.finish(erasure)

    def erasure(self, erasure_id: str) -> Erasure | ErasureReceipt:
        """Return an erasure that is not finished, or the receipt of a finished one. Raises ErasureNotFound."""
        return self._erasure.status(erasure_id)

    def pending_erasures(self) -> list[Erasure]:
        """List the erasures that are not finished, oldest first."""
        return self._erasure.pending()

    def reconcile(
        self,
        *,
        repair: bool,
        force: bool = False,
        grace: float = GRACE_SECONDS,
        retry_failed: bool = False,
        index: Callable[[str], object] | None = None,
    ) -> Reconciliation:
        """Find what photos, faces, metadata and statuses have that does not match, and repair it if wanted.

        What would be removed is counted first. When that is more than 10 things, or more than 1 % of the faces and
        than a single thing, nothing is changed unless forced. Faces that others keep in the collection are counted,
        never removed.

        Args:
            repair: Whether to repair what is found; without it nothing is changed.
            force: Whether to repair even if suspiciously much would be removed.
            grace: Seconds to wait before what looks inconsistent is looked at again: another process may be
                storing it.
            retry_failed: Whether photos that could not be indexed are tried again.
            index: Indexes the photo of a path, now or later; `index_upload` when None.
        """
        stores, is_erased = (self._bucket, self._recognizer, self._catalog), self._erasure.is_erased
        reconciler = Reconciler(
            *stores,
            index or self.index_upload,
            self.remove_upload,
            grace,
            retry_failed=retry_failed,
            is_erased=is_erased,
            finish_overdue=repair,
        )
        return reconciler.run(repair=repair, force=force)

    def resume_erasures(self) -> list[ErasureReport]:
        """Complete erasures that were interrupted; to be called at every start, and now and then.

        What was enrolled anew after a request stays. An erasure that fails is left for later, at growing intervals.
        """
        return self._erasure.resume()

    def erased_ids(self, text: str) -> tuple[str, ...]:
        """Return the ids of the people who were erased under an id or a name, for `verify_erased`."""
        return self._erasure.erased_ids(text)

    def verify_erased(self, user_id: str) -> tuple[str, ...]:
        """Name the stores in which data of a person remains; an empty tuple when there are none."""
        family = self._people.aliases.family(object_keys.parse_user_id(user_id))
        return tuple(dict.fromkeys(store for each in family for store in self._erasure.remaining_stores(each)))

    def _admit(self, user_id: str | None, name: str | None, *, discreet: bool = False) -> str | None:
        user_id = None if user_id is None else object_keys.parse_new_user_id(user_id)
        name = None if name is None else object_keys.parse_name(name)
        for each in self._people.possible_ids(user_id, name):
            self._erasure.finish_pending(each)
        try:
            return self._people.admit(user_id, name)
        except UserExists:
            if not discreet:
                raise
            return user_id or self._people.holder_of(name or "")

    def _root(self, user_id: str) -> str:
        return self._people.aliases.family(object_keys.parse_user_id(user_id))[0]

    def _ids(self, user_id: str | None) -> str | tuple[str, ...] | None:
        """The ids of a person for a listing: a single one as it is, which a catalog looks up faster."""
        if user_id is None:
            return None
        family = self._people.aliases.family(object_keys.parse_user_id(user_id))
        return family if len(family) > 1 else family[0]

    def _named(self, upload: Upload) -> Upload:
        return self._people.present_names.named([upload])[0]

    def _sized(self, image: bytes) -> bytes:
        self._check_size(image)
        return image

    def _check_size(self, image: bytes) -> None:
        if len(image) > self.policy.max_image_bytes:
            raise ImageTooLarge(f"The photo has more than {self.policy.max_image_bytes:,} bytes.")
