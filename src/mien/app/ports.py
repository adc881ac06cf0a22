"""Define the three ports between the application and its backends: Bucket, Recognizer, Catalog.

On AWS they are S3, Rekognition and DynamoDB; embedded they are files, Mien's engine and gallery, and SQLite. The
suite in tests/contract runs against every implementation and is the definition of "interchangeable". All methods
may be called from several threads at once.

Image paths and user ids come from `mien.domain.object_keys` and are valid; an adapter may rely on it. Similarities
run from 0 to 100. Every method may raise StorageError when its store fails, and Overloaded when a remote
service asks for fewer calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from mien.domain.faces import Box, Detection, Page
from mien.domain.policy import MAX_FACES_PER_PHOTO
from mien.domain.records import R, Record
from mien.domain.results import (
    Comparison,
    FaceHit,
    FaceSummary,
    Image,
    IndexResult,
    ListedFace,
    SearchResult,
    StoredPhoto,
    UploadForm,
)
from mien.domain.thresholds import Threshold

SIGNED_AT = "signed-at"
"""The metadata of a photo that came by a form: when the form was signed, ISO 8601 with its zone."""


class Bucket(Protocol):
    """Stores image files by key, which is the image path: `uploaded/<folder of the user>/<upload>.<ext>`.

    Creating an object under `uploaded/` makes an event, at least once and in any order, that ends in
    `FaceApp.index_upload(key)`; the backend delivers that event.
    """

    def put(self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        """Store an object completely or not at all, in place of one with the same key.

        Args:
            key: The image path.
            body: The bytes of the image file.
            content_type: A MIME type, such as image/jpeg.
            metadata: Names and values in ASCII; `get` returns them.
        """

    def get(self, key: str) -> Image:
        """Return an object. Raises ImageNotFound, and ImageTooLarge for one that is too large to be read."""

    def keys(self, prefix: str) -> Iterator[str]:
        """List every key that starts with the prefix, in any order; a whole key is a prefix, too."""

    def delete(self, keys: Sequence[str]) -> int:
        """Remove objects with all their versions, and return how many existed; missing ones are no error."""

    def delete_remains(self, key: str) -> None:
        """Remove what is kept about an object that no longer exists: metadata and earlier versions.

        An object that was stored under the key meanwhile stays.
        """

    def delete_folder(self, prefix: str) -> int:
        """Remove whatever lies below a prefix, and return how many objects that were.

        That is objects with all their versions, what is kept about objects that no longer exist, half-stored ones,
        and in a folder also what is no object, such as a link.

        Args:
            prefix: A folder of `object_keys.folder`, with its slash.
        """

    def stored_at(self, key: str) -> datetime | None:
        """Return when an object got its present content, aware and in UTC; None when there is none."""

    def holds(self, prefix: str) -> bool:
        """Tell whether there is anything below a prefix that `delete_folder` would remove."""

    def presign(self, key: str, content_type: str, max_bytes: int, expires_in: int) -> UploadForm:
        """Sign a form with which anybody may create exactly this object.

        Where the object comes past the application, it gets the metadata SIGNED_AT, which no client can change.

        Args:
            key: The image path.
            content_type: The only MIME type that the form accepts.
            max_bytes: The largest body that the form accepts.
            expires_in: Seconds until the form is no longer accepted.
        """

    def link(self, key: str, content_type: str, expires_in: int) -> str | None:
        """Return a URL under which anybody may read an object for some seconds; None where the bucket has no URLs.

        The object may be missing. `content_type` is the MIME type that the answer has.
        """


class Recognizer(Protocol):
    """Detects, compares, indexes and searches faces in one collection.

    Images are the bytes of an image file, or where one is in the bucket; a method that takes one raises ImageError
    when it cannot be used, and ImageNotFound when it has left the bucket.
    Boxes are fractions of the upright photo. A similarity at the threshold counts as reaching it.
    """

    def detect(self, image: bytes) -> list[Detection]:
        """Detect all faces of a photo, largest first; an empty list when there is none."""

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        """Compare the source's largest face with every face of the target, most similar first.

        Raises NoFace when the source shows none; a target without faces gives an empty list.
        """

    def index(
        self, image: bytes | StoredPhoto, user_id: str | None, max_faces: int, threshold: float | None
    ) -> IndexResult:
        """Add the photo's largest faces of sufficient quality to the collection.

        The same image for the same user gives the same face ids again and stores nothing.

        Args:
            image: The photo.
            user_id: The person whom the photo was uploaded for; None for nobody.
            max_faces: How many faces to add at most, 1 to 100.
            threshold: Similarity, 0 to 100, from which on other enrolled faces are listed with each added one; None for
                none of them.
        """

    def index_face(self, image: bytes, box: Box) -> str:
        """Add the face at `box` without a user, whatever its quality, and return its face id.

        The same face of the same image gives the same id again. Raises NoFace when there is none at the box.
        """

    def face_image(self, image: bytes, box: Box, side: int) -> bytes:
        """Return the square around a face as a JPEG of at most `side` pixels on each side."""

    def threshold(self, given: str | float) -> Threshold:
        """Convert a threshold to a similarity and, where they are known, error rates.

        Args:
            given: A similarity (0 to 100), `fmr=1e-4`, or `fpir=0.01`, a rate among the people's faces of now.

        Raises InvalidInput for other text, and for error rates where the recognizer's were not measured.
        """

    def search(
        self, image: bytes | StoredPhoto, threshold: float, limit: int, max_faces: int = MAX_FACES_PER_PHOTO
    ) -> SearchResult:
        """Search the collection for every face of a photo, largest face first.

        Args:
            image: The photo.
            threshold: The lowest similarity to return, 0 to 100.
            limit: The maximum number of faces that belong to people, and of users, to return for each face of the
                photo; faces of nobody may come on top.
            max_faces: How many of the photo's faces to search for at most. Where time runs out, they are fewer.
        """

    def associate(self, user_id: str, face_ids: Sequence[str]) -> frozenset[str]:
        """Associate faces with a user, created when missing, and return those of `face_ids` that now are.

        A repeated call changes nothing. Faces that are too unlike the user's others, beyond the quota of faces per
        user, or deleted are left out.
        """

    def count_associated(self, user_id: str) -> int:
        """Count the faces that are associated with a user; 0 for a missing user."""

    def similar(self, face_id: str, threshold: float) -> tuple[FaceHit, ...]:
        """Return the other enrolled faces that are similar to an enrolled one now, most similar first.

        Args:
            face_id: The face; one that is not enrolled is similar to none.
            threshold: The lowest similarity to return, 0 to 100.
        """

    def delete(self, face_ids: Sequence[str]) -> int:
        """Remove faces, from their users too, and return how many existed; missing ones are no error."""

    def list_faces(self, token: str | None = None) -> Page[ListedFace]:
        """List the collection's faces, those of others included, in pages of up to 1000.

        Args:
            token: The `next_token` of the page before; None for the first one.
        """

    def existing(self, face_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the faces that are in the collection."""

    def forget(self, user_id: str) -> None:
        """Remove a user and the faces that `face_ids` returns; a missing user is no error."""

    def face_ids(self, user_id: str) -> frozenset[str]:
        """Return the faces that are associated with the user.

        Also those that were indexed for the user, where the recognizer finds them without reading the collection.
        """


class Catalog(Protocol):
    """Stores the metadata: ten kinds of records, by the kind's key, which is its first field.

    FaceRecord items lie in `FaceMetadata`, Recognition items in `RecognitionResults`. Reads see earlier writes.
    """

    def put(
        self,
        *records: Record,
        fresh: Sequence[Record] = (),
        gone: Sequence[Record] = (),
        unchanged: Sequence[Record] = (),
    ) -> bool:
        """Store and remove records, all of them or none, and tell whether that is done.

        Args:
            records: Each takes the place of one of the same kind and key.
            fresh: Records whose keys must be free; when one is not, nothing is changed.
            gone: Records that are removed for good, unless others with their keys are stored by this call; missing
                ones are no error.
            unchanged: What some of `records` replace or what is `gone`, as it was read; when one is not stored so any
                more, because somebody else has written meanwhile, nothing is changed.
        """

    def get(self, kind: type[R], keys: Sequence[str]) -> list[R]:
        """Return the records with these keys, in the order of the keys; missing ones are left out."""

    def find(
        self,
        kind: type[R],
        *,
        user_id: str | Collection[str] | None = None,
        image_path: str | None = None,
        digest: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        of_nobody: bool = False,
        limit: int = 100,
        token: str | None = None,
    ) -> Page[R]:
        """List records of one kind, newest first. Records stored or deleted meanwhile may be missed; none comes twice.

        Args:
            kind: The class of the records.
            user_id: Only this person's, or only those of these ids; a Recognition belongs to everybody in its
                `user_ids`.
            image_path: Only those of this photo; not together with `user_id`.
            digest: Only the uploads whose photo has this SHA-256, in hexadecimal; for the kind Upload only, and not
                together with `user_id`. A copy stored a moment ago may be missed.
            since: Only those with this timestamp or a later one.
            until: Only those with this timestamp or an earlier one.
            of_nobody: Only the uploads without a user; for the kind Upload only, and not together with `user_id`,
                `image_path` or `digest`.
            limit: How many to return at most, 1 to 1000; a page of recognitions with many faces has fewer.
            token: The `next_token` of the page before; None starts at the newest.

        Raises InvalidInput for a token of another listing.
        """

    def list_uploads_of_nobody(self, image_paths: Sequence[str], *, write: bool) -> int:
        """Count the uploads that `find` with `of_nobody` misses, because an earlier version stored them.

        Args:
            image_paths: The paths of uploads without a user.
            write: Whether to have `find` list them from now on.
        """

    def summarize_faces(self, user_ids: Collection[str]) -> dict[str, FaceSummary]:
        """Return how many faces each user has, and the newest; users without a face are left out."""

    def recount_faces(self, user_ids: Collection[str], *, write: bool) -> list[str]:
        """Return the users whose number of faces is kept wrongly, or not yet.

        Args:
            user_ids: The users.
            write: Whether to keep the right number from now on.
        """

    def delete(self, kind: type[R], keys: Sequence[str]) -> int:
        """Remove records for good and return how many existed; missing ones are no error."""
