"""What a search found -> who is on the photo: candidates, assignment, and how sure that is.

A photo -> who is on it: the search, the people behind what it found, and the stored answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from mien.app.assignment import assign
from mien.app.ports import Catalog, Recognizer
from mien.domain import thresholds
from mien.domain.policy import Policy
from mien.domain.records import Candidate, FaceRecord, Probe, Recognition, RecognitionStatus, RecognizedFace


def identify(
    probes: Sequence[Probe], records: Mapping[str, FaceRecord], threshold: float, policy: Policy
) -> tuple[RecognizedFace, ...]:
    """One answer per face of the photo; `records` are the enrolled faces that the probes hit."""
    candidates = [people_like(probe, records) for probe in probes]
    names = assign([_scores(face, threshold) for face in candidates])
    return tuple(
        _answer(probe, face, name, threshold, policy)
        for probe, face, name in zip(probes, candidates, names, strict=True)
    )


def people_like(probe: Probe, records: Mapping[str, FaceRecord]) -> list[Candidate]:
    """Whom the face may be, most similar first: a person scores as their faces taken together, or as their
    most similar face when that is more; a face without a name stands for itself. Nobody is the person whom it is
    less like than it is like a face that is known not to be theirs."""
    faces: dict[str, Candidate] = {}
    denied: dict[str | None, float] = {}
    for hit in sorted(probe.face_hits, key=lambda hit: -hit.similarity):
        record = records.get(hit.face_id)
        if record and record.negative:
            denied.setdefault(record.user_id, hit.similarity)
        elif record:
            who = Candidate(record.user_id, hit.similarity, hit.face_id, record.image_path)
            faces.setdefault(record.user_id or hit.face_id, who)
    for user in probe.user_hits:
        best = faces.get(user.user_id, Candidate(user.user_id, 0.0, None, None))
        score = max(best.similarity, user.similarity)
        faces[user.user_id] = Candidate(user.user_id, score, best.face_id, best.image_path)
    people = [who for who in faces.values() if who.similarity > denied.get(who.user_id, -1.0)]
    return sorted(people, key=lambda candidate: -candidate.similarity)


def _scores(candidates: Sequence[Candidate], threshold: float) -> dict[str, float]:
    return {c.user_id: c.similarity for c in candidates if c.user_id is not None and c.similarity >= threshold}


def _answer(
    probe: Probe, candidates: Sequence[Candidate], name: str | None, threshold: float, policy: Policy
) -> RecognizedFace:
    score = next((c.similarity for c in candidates if name is not None and c.user_id == name), None)
    rivals = [c.similarity for c in candidates if c.user_id not in {None, name}]
    reach = threshold if score is None else _too_near(score, threshold, policy)
    floor = min(threshold, reach)
    shown = tuple(c for c in candidates if c.similarity >= floor)[: policy.candidates]
    if score is None:
        status = RecognitionStatus.UNKNOWN
    elif rivals and max(rivals) >= reach:
        status = RecognitionStatus.AMBIGUOUS
    else:
        status = RecognitionStatus.MATCHED
    return RecognizedFace(
        box=probe.face.box,
        confidence=probe.face.confidence,
        status=status,
        user_id=name if status is RecognitionStatus.MATCHED else None,
        similarity=score,
        candidates=shown,
    )


def _too_near(score: float, threshold: float, policy: Policy) -> float:
    """From where on a runner-up casts doubt: near the best, or so similar himself that he can be no stranger."""
    return min(thresholds.odds_floor(score, policy.margin), max(thresholds.CERTAIN_SIMILARITY, threshold))


HITS_PER_FACE = 20  # enough that several photos of one person do not hide the runner-up


class RecognitionService:
    def __init__(self, recognizer: Recognizer, catalog: Catalog, policy: Policy, now: Callable[[], datetime]) -> None:
        self._recognizer, self._catalog, self._policy, self._now = recognizer, catalog, policy, now

    def answer(
        self, image: bytes, image_path: str | None, threshold: str | float | None, *, store: bool
    ) -> Recognition:
        """`image_path` says where the photo lies in the bucket, if it does."""
        wanted = self._recognizer.threshold(self._policy.threshold if threshold is None else threshold)
        least = wanted.similarity
        probes = self._recognizer.search(image, thresholds.odds_floor(least, self._policy.margin), HITS_PER_FACE)
        ids = dict.fromkeys(hit.face_id for probe in probes for hit in probe.face_hits)
        records = {record.face_id: record for record in self._catalog.get(FaceRecord, list(ids))}
        if image_path is not None:  # a photo that was indexed without a name is no news to itself
            records = {i: r for i, r in records.items() if r.user_id or r.image_path != image_path}
        faces = identify(probes, records, least, self._policy)
        answer = Recognition(str(uuid.uuid4()), image_path, self._now(), least, faces, wanted.fmr, wanted.fpir)
        if store:
            self._catalog.put(answer)
        return answer
