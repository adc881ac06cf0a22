"""What the application remembers and answers: uploads, faces, people, recognitions, erasures.

Frozen values like those in `model`, and as light; the ports speak in them. A Catalog stores the
five records that have a `timestamp`. Times are aware and in UTC; similarities run from 0 to 100.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mien.domain.faces import Box, Detection, Reason


class UploadStatus(StrEnum):
    """`rejected` is the photo's fault; `failed` is not, and the photo is worth another attempt."""

    PENDING = "pending"
    INDEXED = "indexed"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Nothing more will come of the photo as it is."""
        return self in {UploadStatus.INDEXED, UploadStatus.REJECTED}


@dataclass(frozen=True, slots=True)
class UploadNotice:
    """Something to know about an upload, as a code for programs and a sentence for people.

    It names no person, so that forgetting one leaves nothing behind in another's uploads;
    `face_id` is the enrolled face that the remark is about.
    """

    code: str
    message: str
    face_id: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """The state of one photo in the bucket: `face_ids` when indexed, `reasons` when not.

    `digest` is the SHA-256 of the bytes that the state is about, once they were looked at.
    """

    image_path: str
    user_id: str | None
    status: UploadStatus
    timestamp: datetime
    digest: str | None = None
    face_ids: tuple[str, ...] = ()
    reasons: tuple[UploadNotice, ...] = ()
    warnings: tuple[UploadNotice, ...] = ()


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One item of FaceMetadata: where an enrolled face came from and whose it is, or, if `negative`, whose not."""

    face_id: str
    user_id: str | None
    image_path: str
    timestamp: datetime
    box: Box
    confidence: float
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who is enrolled; `timestamp` is when the first photo was indexed."""

    user_id: str
    timestamp: datetime


class RecognitionStatus(StrEnum):
    """`ambiguous`: the runner-up is too near to tell. Only `matched` names a person."""

    MATCHED = "matched"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Someone a face may be: the similarity, and the person's enrolled face that is most like it.

    `user_id` is None for a face that was indexed without a name.
    """

    user_id: str | None
    similarity: float
    face_id: str | None
    image_path: str | None


@dataclass(frozen=True, slots=True)
class RecognizedFace:
    """One face of the photo; `user_id` only when matched, `candidates` by descending similarity."""

    box: Box
    confidence: float
    status: RecognitionStatus
    user_id: str | None = None
    similarity: float | None = None
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Recognition:
    """One answered question "who is on this photo?"; `image_path` is None for a photo that was not kept.

    `threshold` is a similarity; `threshold_fmr` and `threshold_fpir` are what it stood for among the faces that
    were enrolled then, None where the recognizer's error rates are not known.
    """

    recognition_id: str
    image_path: str | None
    timestamp: datetime
    threshold: float
    faces: tuple[RecognizedFace, ...]
    threshold_fmr: float | None = None
    threshold_fpir: float | None = None

    @property
    def user_ids(self) -> frozenset[str]:
        """Everybody named, as match or as candidate: who is forgotten takes this recognition along."""
        return frozenset(c.user_id for face in self.faces for c in face.candidates if c.user_id is not None)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The durable intent to forget a person; it is there from the request until nothing is left to remove."""

    user_id: str
    timestamp: datetime


Record = Upload | FaceRecord | Person | Recognition | Erasure


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What forgetting a person removed; `remaining_stores` names those that still hold something of them."""

    user_id: str
    timestamp: datetime
    faces: int
    images: int
    uploads: int
    recognitions: int
    remaining_stores: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An object of the bucket."""

    body: bytes
    content_type: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A signed form: POST `fields` and then the photo as `file` to `url` before `expires_at`."""

    url: str
    fields: dict[str, str]
    image_path: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class FaceHit:
    """An enrolled face that is like the probe."""

    face_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class UserHit:
    """A person whose faces, taken together, are like the probe."""

    user_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Probe:
    """A face of the searched photo and whom it is like, by descending similarity."""

    face: Detection
    face_hits: tuple[FaceHit, ...]
    user_hits: tuple[UserHit, ...]


@dataclass(frozen=True, slots=True)
class IndexedFace:
    """A face that now is in the collection, and which others (never itself) it is like."""

    face_id: str
    face: Detection
    face_hits: tuple[FaceHit, ...]


@dataclass(frozen=True, slots=True)
class IndexResult:
    """What indexing a photo came to: the faces kept, largest first, and why each other was left out."""

    faces: tuple[IndexedFace, ...]
    left_out: tuple[tuple[Reason, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A face of the target photo against the largest face of the source photo."""

    face: Detection
    similarity: float
