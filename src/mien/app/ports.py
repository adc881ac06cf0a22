"""The three seams between the application and what carries it: Bucket, Recognizer, Catalog.

On AWS they are S3, Rekognition and DynamoDB; embedded they are files, our engine and SQLite. The
suite in tests/contract runs against every implementation; passing it is what "interchangeable"
means. All three are called from several threads at once.

Names (object keys, user ids) come from `mien.domain.object_keys` and are legal; an adapter may rely on it.
Failures that are nobody's fault raise `StorageError` leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from mien.domain.faces import Box, Detection, Page
from mien.domain.records import Comparison, Image, Indexing, Probe, Record, UploadForm
from mien.domain.thresholds import Threshold

R = TypeVar("R", bound=Record)


class Bucket(Protocol):
    """Images by key (`uploaded/<user>/<upload>.<ext>`).

    Creating an object under `uploaded/` makes an event, at least once and in any order, that ends
    in `FaceApp.index_upload(key)`; the wiring of that event belongs to the backend.
    """

    def put(self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        """Store an object whole or not at all; one of the same key is replaced."""

    def get(self, key: str) -> Image:
        """Raises ImageNotFound."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that starts with the prefix, in no order."""

    def delete(self, keys: Sequence[str]) -> int:
        """Remove objects, all versions of them, and say how many were there."""

    def presign(self, key: str, content_type: str, max_bytes: int, expires_in: int) -> UploadForm:
        """A form by which anybody may create exactly this object within `expires_in` seconds."""


class Recognizer(Protocol):
    """Finds, compares, remembers and searches faces in one collection.

    Every method that takes an image raises ImageError leaves. Thresholds are similarities, inclusive.
    """

    def detect(self, image: bytes) -> list[Detection]:
        """All faces, largest first."""

    def compare(self, source: bytes, target: bytes) -> list[Comparison]:
        """The source's largest face against every face of the target, most similar first.

        NoFace when the source has none."""

    def index(self, image: bytes, user_id: str | None, max_faces: int, threshold: float) -> Indexing:
        """Remember the photo's largest `max_faces` faces that are good enough.

        Each comes with the enrolled faces that it is like from `threshold` on. The same image for the
        same user again gives the same face ids and stores nothing."""

    def index_face(self, image: bytes, box: Box) -> str:
        """Remember the face at `box` without a user, however poor it is, and answer its id.

        The same again gives the same id. NoFace when there is none."""

    def threshold(self, given: str | float) -> Threshold:
        """What a number, `fmr=1e-4` or `fpir=0.01` (among the faces enrolled now) means.

        InvalidInput for what cannot be, and for rates where nobody has measured them."""

    def search(self, image: bytes, threshold: float, limit: int) -> list[Probe]:
        """Every face of the photo, largest first, each with up to `limit` faces and `limit` users."""

    def associate(self, user_id: str, face_ids: Sequence[str]) -> frozenset[str]:
        """Make faces count as the user's (created when missing; repeatable) and answer the ids that do.

        Left out are those too unlike the user's other faces, over the quota, or already gone."""

    def delete(self, face_ids: Sequence[str]) -> int:
        """Remove faces, also from their users, and say how many were there."""

    def forget(self, user_id: str) -> None:
        """Remove the user and every face that was indexed for them; done twice it does nothing more."""

    def face_ids(self, user_id: str) -> frozenset[str]:
        """Every face that was indexed for the user or counts as theirs; empty once forgotten."""


class Catalog(Protocol):
    """Metadata and results: four verbs over five kinds of records.

    A record's key is its first field. FaceRecord items lie in `FaceMetadata`, Recognition items in
    `RecognitionResults`. What `put` has stored, `get` and `find` see at once.
    """

    def put(self, record: Record) -> None:
        """Store a record; one of the same kind and key is replaced."""

    def get(self, kind: type[R], keys: Sequence[str]) -> list[R]:
        """The records that are there, in the order of the keys; missing ones are left out."""

    def find(
        self,
        kind: type[R],
        *,
        user_id: str | None = None,
        image_path: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[R]:
        """Newest first, by at most one of user and image path; `limit` 1..1000.

        A Recognition belongs to everybody in its `user_ids`. `next_token` continues the listing; an
        unknown cursor raises InvalidInput. Records put or deleted meanwhile may be missed, none comes twice.
        """

    def delete(self, kind: type[R], keys: Sequence[str]) -> int:
        """Remove records for good and say how many were there."""
