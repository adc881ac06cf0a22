"""Define what the application stores: uploads, faces, people, recognitions, erasures.

Frozen values like those of `mien.domain.faces`; a Catalog stores the kinds of `Record`. A `name` beside a `user_id` is
looked up for each call and never stored there, so that a person's name stands in their Person record only. Timestamps
are aware and in UTC; similarities and confidences run from 0 to 100; boxes are fractions of the upright photo.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Self, TypeVar

from mien.domain import object_keys
from mien.domain.errors import InvalidInput
from mien.domain.faces import Box
from mien.domain.groups import DismissedFace, FaceGroup
from mien.domain.policy import MAX_FACES_PER_PAGE
from mien.domain.thresholds import Likelihood, Threshold, likelihood_of_match


def _looked_up() -> Any:
    """A name, or what follows from other fields, that stores leave out and comparisons ignore."""
    return field(default=None, compare=False, metadata={"stored": False})


class UploadStatus(StrEnum):
    """`rejected`: the photo cannot be enrolled. `failed`: the server could not index it; another attempt may do."""

    PENDING = "pending"
    INDEXED = "indexed"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether the photo, as it is, has its outcome: it is indexed or rejected."""
        return self in {UploadStatus.INDEXED, UploadStatus.REJECTED}


@dataclass(frozen=True, slots=True)
class UploadNotice:
    """A reason or a warning about an upload: a code for programs and a sentence for people.

    It names no person, so that forgetting one leaves nothing in another's uploads. `face_id` is the enrolled face
    that the notice is about, `similarity` its similarity to the uploaded one.
    """

    code: str
    message: str
    face_id: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """The status of one photo in the bucket: with `face_ids` when indexed, with `reasons` when rejected or failed.

    `digest` is the SHA-256, in hexadecimal, of the bytes that the status is about; None before they were read.
    """

    image_path: str
    user_id: str | None
    status: UploadStatus
    timestamp: datetime
    digest: str | None = None
    face_ids: tuple[str, ...] = ()
    reasons: tuple[UploadNotice, ...] = ()
    warnings: tuple[UploadNotice, ...] = ()
    name: str | None = _looked_up()


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One item of FaceMetadata: the photo and the person of an enrolled face.

    `user_id` is None for a face without a person. `negative` marks a rejected face: it is known not to be the person.
    `group_id` is the group of faces that it belongs to or, once it has a person, did before.
    """

    face_id: str
    user_id: str | None
    image_path: str
    timestamp: datetime
    box: Box
    confidence: float
    negative: bool = False
    group_id: str | None = None
    name: str | None = _looked_up()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is enrolled; `timestamp` is when their first photo was uploaded.

    A person whom nobody named has the id as name. `pending` are those of whom no photo is enrolled yet. Merging sets
    `merged_into` to the id of the other person, whose `merged` then lists this one.
    """

    user_id: str
    name: str
    timestamp: datetime
    merged_into: str | None = None
    merged: tuple[str, ...] = ()
    pending: bool = False


@dataclass(frozen=True, slots=True)
class NameClaim:
    """Reserves an id or a name for a person, so that no other id or name looks the same.

    `key` is `mien.domain.object_keys.claim_key` of the id or the name, which are not stored here.
    """

    key: str
    user_id: str
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Consent:
    """Until when a person's consent holds: `timestamp` is the first moment after it, a midnight in UTC."""

    user_id: str
    timestamp: datetime

    @classmethod
    def until(cls, user_id: str, last_day: date) -> Self:
        """Make a consent that holds to the end of a day. Raises OverflowError for the last day of all."""
        return cls(user_id, datetime.combine(last_day + timedelta(days=1), time(), UTC))

    @property
    def last_day(self) -> date:
        """The last day on which the consent holds, in UTC."""
        return (self.timestamp - timedelta(days=1)).date()


class RecognitionStatus(StrEnum):
    """`ambiguous`: the runner-up is too similar to decide. Only `matched` names a person."""

    MATCHED = "matched"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody whom a face may be: the similarity, and the person's most similar enrolled face with its photo.

    `user_id` is None for a face that was indexed without a user; `face_id` and `image_path` are None when only the
    person's aggregated faces are similar.
    """

    user_id: str | None
    similarity: float
    face_id: str | None
    image_path: str | None
    name: str | None = _looked_up()


@dataclass(frozen=True, slots=True)
class RecognizedFace:
    """One face of a recognised photo.

    `user_id` is set only when matched; `similarity` is that of the best match, also when ambiguous. `candidates` are
    ordered by descending similarity. `group_id` is the group that a remembered stranger belongs to; it is not stored.
    """

    box: Box
    confidence: float
    status: RecognitionStatus
    user_id: str | None = None
    similarity: float | None = None
    candidates: tuple[Candidate, ...] = ()
    name: str | None = _looked_up()
    likelihood: Likelihood | None = field(default=None, compare=False, metadata={"stored": False})
    group_id: str | None = _looked_up()


@dataclass(frozen=True, slots=True)
class Recognition:
    """Who is in a photo; `image_path` is None for a photo that was not kept.

    `faces_left_out` counts the faces that were seen but not searched for, because the photo shows more than the
    policy allows, or than there was time for; of a photo, the 100 largest are seen. `threshold` is a similarity;
    `threshold_fmr` and `threshold_fpir` are its error rates among the faces that were enrolled then, None where they
    are not known.
    """

    recognition_id: str
    image_path: str | None
    timestamp: datetime
    threshold: float
    faces: tuple[RecognizedFace, ...]
    threshold_fmr: float | None = None
    threshold_fpir: float | None = None
    faces_left_out: int = 0

    def likelihood(self, face: RecognizedFace) -> Likelihood:
        """Say how likely it is that a face is whom it was taken for, among the faces that were enrolled then."""
        if face.status is not RecognitionStatus.MATCHED or face.similarity is None:
            return Likelihood(face.status.value)
        threshold = Threshold(self.threshold, self.threshold_fmr, self.threshold_fpir)
        return likelihood_of_match(face.similarity, threshold)

    @property
    def user_ids(self) -> frozenset[str]:
        """Everybody named, as match, as candidate or by the photo's folder: forgetting one deletes this recognition."""
        named = {c.user_id for face in self.faces for c in face.candidates}
        if self.image_path is not None:
            with suppress(InvalidInput):
                named.add(object_keys.user_id_of(self.image_path))
        return frozenset(user_id for user_id in named if user_id is not None)

    def may_be_due_to(self, image_path: str, user_id: str) -> bool:
        """Whether it is of a photo, or names a person by it, or by no photo at all."""
        named = (c for face in self.faces for c in face.candidates if c.user_id == user_id)
        return self.image_path == image_path or any(c.image_path in {image_path, None} for c in named)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The durable intent to forget a person, stored from the request until nothing is left to remove.

    `erasure_id` is None in records of earlier versions. `sealed_ids` are the receipt's.
    """

    user_id: str
    timestamp: datetime
    erasure_id: str | None = None
    sealed_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """What an erasure removed, without a name; `user_id` is a keyed hash of the person's id.

    `timestamp` is the time at which the person was gone. `sealed_ids` are the id, encrypted with each name of the
    person (`mien.app.erased_names`); receipts of earlier versions have none.
    """

    erasure_id: str
    user_id: str
    timestamp: datetime
    faces: int
    images: int
    uploads: int
    recognitions: int
    remaining_stores: tuple[str, ...] = ()
    sealed_ids: tuple[str, ...] = ()


Record = (
    Upload
    | FaceRecord
    | Person
    | NameClaim
    | Consent
    | Recognition
    | Erasure
    | ErasureReceipt
    | FaceGroup
    | DismissedFace
)

R = TypeVar("R", bound=Record)


def take_page(records: Iterable[R], limit: int) -> tuple[tuple[R, ...], bool]:
    """Take the records of one page of a listing, at most `limit`, and tell whether there are more.

    Recognitions of crowds are large: their page ends with the recognition beyond which it would have more than
    `MAX_FACES_PER_PAGE` faces, so that no answer takes long to make.
    """
    page: list[R] = []
    faces = 0
    for record in records:
        faces += len(record.faces) if isinstance(record, Recognition) else 0
        if len(page) == limit or (page and faces > MAX_FACES_PER_PAGE):
            return tuple(page), True
        page.append(record)
    return tuple(page), False
