"""Tell what of an answer of the application belongs into the audit log: counts, and whom it concerns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import singledispatch

from mien.domain.errors import MienError
from mien.domain.faces import Detection, Issue, Page
from mien.domain.groups import Group, GroupCount, Naming
from mien.domain.records import FaceRecord, Person, Recognition, Upload, UploadStatus
from mien.domain.results import Comparison, ErasureReport, Image, UploadForm


@dataclass(slots=True)
class Facts:
    """What an answer holds.

    Attributes:
        counts: How many photos, faces, matches and so on.
        user_ids: The people concerned.
        threshold: The similarity from which faces matched, 0 to 100; None where nothing was matched.
    """

    counts: Counter[str] = field(default_factory=Counter)
    user_ids: frozenset[str] = frozenset()
    threshold: float | None = None


@singledispatch
def facts_of(_answer: object) -> Facts:
    """Return the facts of an answer; those of types that are not registered here have none."""
    return Facts()


@facts_of.register(list)
@facts_of.register(tuple)
def _several(answers: list[object] | tuple[object, ...]) -> Facts:
    together = Facts()
    for facts in map(facts_of, answers):
        together.counts.update(facts.counts)
        together.user_ids |= facts.user_ids
        together.threshold = together.threshold if facts.threshold is None else facts.threshold
    return together


@facts_of.register
def _recognition(recognition: Recognition) -> Facts:
    counts = Counter(face.status.value for face in recognition.faces)
    counts.update(photos=1, faces=len(recognition.faces))
    return Facts(counts, frozenset(recognition.user_ids), recognition.threshold)


@facts_of.register
def _upload(upload: Upload) -> Facts:
    is_refused = upload.status in {UploadStatus.REJECTED, UploadStatus.FAILED}
    return Facts(Counter(photos=1, faces=len(upload.face_ids), refused=int(is_refused)), _concerning(upload.user_id))


@facts_of.register
def _form(_form: UploadForm) -> Facts:
    return Facts(Counter(forms=1))


@facts_of.register
def _face(face: FaceRecord) -> Facts:
    return Facts(Counter(faces=1), _concerning(face.user_id))


@facts_of.register(Detection)
@facts_of.register(Comparison)
def _anonymous_face(_face: object) -> Facts:
    return Facts(Counter(faces=1))


@facts_of.register
def _photo(_photo: Image) -> Facts:
    return Facts(Counter(photos=1))


@facts_of.register(Group)
@facts_of.register(GroupCount)
def _group(group: Group | GroupCount) -> Facts:
    return Facts(Counter(groups=1, faces=group.faces))


@facts_of.register
def _naming(naming: Naming) -> Facts:
    return Facts(Counter(groups=1, faces=naming.enrolled, refused=naming.left), _concerning(naming.user_id))


@facts_of.register
def _person(person: Person) -> Facts:
    return Facts(user_ids=_concerning(person.user_id))


@facts_of.register
def _page(page: Page) -> Facts:  # type: ignore[type-arg]
    return Facts(Counter(listed=len(page.items)))


@facts_of.register
def _issue(_issue: Issue) -> Facts:
    return Facts(Counter(issues=1))


@facts_of.register
def _erasure(report: ErasureReport) -> Facts:
    counts = Counter(faces=report.faces, photos=report.images, recognitions=report.recognitions)
    counts["stores_with_remains"] = len(report.remaining_stores)
    return Facts(counts, _concerning(report.user_id))


@facts_of.register
def _refusal(_error: MienError) -> Facts:
    return Facts(Counter(refused=1))


def _concerning(user_id: str | None) -> frozenset[str]:
    return frozenset(() if user_id is None else (user_id,))
