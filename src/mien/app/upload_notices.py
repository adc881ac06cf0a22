"""Say in sentences why a photo was rejected or has failed, and what to look at of one that was enrolled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from mien.domain.errors import ImageError
from mien.domain.faces import Reason
from mien.domain.records import FaceRecord, UploadNotice
from mien.domain.results import IndexedFace, IndexResult

LOOKS_LIKE_ANOTHER_NAME = "looks_like_another_name"
INDEXING_FAILED = UploadNotice(
    "indexing_failed",
    "Indexing failed repeatedly because of a server error. The photo is kept; upload it again to retry.",
)
INDEXING_INTERRUPTED = UploadNotice(
    "indexing_interrupted",
    "The server ended, or did not come back, each time it indexed the photo, perhaps for lack of memory. The photo is "
    "kept; upload it again to retry.",
)

_SENTENCES = {
    Reason.EXTREME_POSE: "The face is turned too far away.",
    Reason.LOW_BRIGHTNESS: "The face is too dark.",
    Reason.LOW_SHARPNESS: "The face is blurred.",
    Reason.LOW_CONFIDENCE: "It is not certain that this is a face.",
    Reason.SMALL_BOUNDING_BOX: "The face is too small in the photo.",
    Reason.LOW_FACE_QUALITY: "The face is not clear enough.",
    Reason.EXCEEDS_MAX_FACES: "The photo shows more faces than can be enrolled at once.",
}


ABOUT_PHOTO = frozenset(
    {"no_face", "several_faces", INDEXING_FAILED.code, INDEXING_INTERRUPTED.code}
    | {reason.value.lower() for reason in Reason}
    | {ImageError.code, *(error.code for error in ImageError.__subclasses__())}
)
"""The codes of the notices that tell something of the photo alone, and nothing of who is enrolled."""


def why_no_face(rejected: Sequence[tuple[Reason, ...]]) -> Iterator[UploadNotice]:
    """Say why no face of a photo was enrolled, by the reasons for each that was detected."""
    if not rejected:
        yield UploadNotice("no_face", "The photo shows no face.")
    for reason in dict.fromkeys(reason for reasons in rejected for reason in reasons):
        yield UploadNotice(reason.value.lower(), _SENTENCES[reason])


def count_bystanders(result: IndexResult) -> int:
    """Count the faces beside the one that was enrolled for a person."""
    return sum(Reason.EXCEEDS_MAX_FACES in reasons for reasons in result.rejected)


def warnings_of(
    path: str, result: IndexResult, family: Sequence[str], enrolled: dict[str, FaceRecord]
) -> Iterator[UploadNotice]:
    """Say what to look at of a photo that was enrolled.

    Args:
        path: The photo's path.
        result: What the recognizer indexed.
        family: The ids of the person, none for a photo of nobody.
        enrolled: The records of the photo's faces and of all similar ones, by face id.
    """
    if family and (bystanders := count_bystanders(result)):
        yield UploadNotice("several_faces", f"The photo shows {bystanders + 1} faces; only the largest was enrolled.")
    for indexed in result.faces:
        if (same := enrolled.get(indexed.face_id)) and same.image_path != path:
            yield UploadNotice("duplicate", "The same photo was enrolled before.", indexed.face_id, 100.0)
        if family:
            yield from _lookalikes(path, indexed, family, enrolled)


def _lookalikes(
    path: str, indexed: IndexedFace, family: Sequence[str], enrolled: dict[str, FaceRecord]
) -> Iterator[UploadNotice]:
    """Name the most similar face of somebody else; one in a copy of the photo, which may be moving here, comes last."""
    others = {hit: enrolled[hit.face_id] for hit in indexed.face_hits if hit.face_id in enrolled}
    hits = [hit for hit, record in others.items() if record.user_id not in {None, *family}]
    if hits:
        hit = min(hits, key=lambda each: PurePosixPath(others[each].image_path).name == PurePosixPath(path).name)
        sentence = "The face looks like one that is enrolled under another name."
        yield UploadNotice("looks_like_another", sentence, hit.face_id, hit.similarity)
