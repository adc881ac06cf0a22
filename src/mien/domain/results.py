"""Define what ports and application pass on and no catalog stores: photos, faces that were found, and counts.

Frozen values like those of `mien.domain.records`, in the same units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mien.domain.faces import Box, Detection, Reason, SearchedFace
from mien.domain.records import ErasureReceipt, FaceRecord


@dataclass(frozen=True, slots=True)
class Image:
    """An object of the bucket: the bytes of an image file, its MIME type and its metadata."""

    body: bytes
    content_type: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A photo of the bucket, which a recognizer may read there by itself; `read` returns its bytes."""

    image_path: str
    read: Callable[[], bytes]


def image_bytes(image: bytes | StoredPhoto) -> bytes:
    """Return the bytes of a photo. Raises ImageNotFound for one of the bucket that is gone."""
    return image if isinstance(image, bytes) else image.read()


@dataclass(frozen=True, slots=True)
class HealthWarning:
    """Something that does not work as it should though Mien works: a sentence for people, a code for programs.

    A program that words it in another language finds in `parameters` what varies in the sentence, such as `count`.
    """

    code: str
    message: str
    parameters: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A signed form: POST `fields` and then the photo as `file` to `url` before `expires_at`."""

    url: str
    fields: dict[str, str]
    image_path: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class FaceHit:
    """An enrolled face that is similar to the probe."""

    face_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class ListedFace:
    """A face of the collection. `is_marked` tells that this installation indexed it; old faces have no mark.

    `user_id` is the person for whom a marked face was indexed, where `Recognizer.face_ids` may miss it.
    """

    face_id: str
    is_marked: bool
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class UserHit:
    """A person whose aggregated faces are similar to the probe."""

    user_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Probe:
    """A face of the searched photo with the enrolled faces and users similar to it, most similar first."""

    face: Detection | SearchedFace
    face_hits: tuple[FaceHit, ...]
    user_hits: tuple[UserHit, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A face that was cut out of a photo: `image` is a JPEG, and `box` the face's place in it.

    `probe` is about the photo. `is_clear` tells whether the face is good enough to be enrolled; the embedding is for
    the recognizer that made it.
    """

    probe: Probe
    image: bytes = field(repr=False)
    box: Box
    is_clear: bool
    embedding: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The faces of a photo that were searched for, largest first, and how many more were seen."""

    probes: tuple[Probe, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class IndexedFace:
    """A face that was added to the collection, with the other enrolled faces similar to it, most similar first."""

    face_id: str
    face: Detection
    face_hits: tuple[FaceHit, ...]


@dataclass(frozen=True, slots=True)
class IndexResult:
    """The outcome of indexing a photo: the faces added, largest first, and the reasons why each other was rejected."""

    faces: tuple[IndexedFace, ...]
    rejected: tuple[tuple[Reason, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A face of the target photo and its similarity to the largest face of the source photo."""

    face: Detection
    similarity: float


@dataclass(frozen=True, slots=True)
class FaceSummary:
    """How many faces of somebody are enrolled, and the newest of them; rejected ones do not count."""

    count: int
    newest: FaceRecord


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """Counts what forgetting a person removed; `remaining_stores` names the stores that still hold something."""

    user_id: str
    timestamp: datetime
    faces: int
    images: int
    uploads: int
    recognitions: int
    remaining_stores: tuple[str, ...] = ()
    erasure_id: str = ""

    def receipt(self, pseudonym: str, sealed_ids: tuple[str, ...]) -> ErasureReceipt:
        """Return the part that is kept, with another text in place of the user id, and the id encrypted."""
        return ErasureReceipt(
            self.erasure_id,
            pseudonym,
            self.timestamp,
            self.faces,
            self.images,
            self.uploads,
            self.recognitions,
            self.remaining_stores,
            sealed_ids,
        )


@dataclass(frozen=True, slots=True)
class Expiry:
    """What was over and is removed: counts of recognitions and photos, and the receipts of the people erased.

    `failed` counts photos and people that could not be removed now; the next expiry tries again.
    """

    recognitions: int = 0
    photos: int = 0
    receipts: tuple[ErasureReport, ...] = ()
    failed: int = 0
