"""Decide who each face of a photo is: rank the people whose faces match, and match each person once at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.app.assignment import assign
from mien.domain import thresholds
from mien.domain.policy import Policy
from mien.domain.records import Candidate, FaceRecord, RecognitionStatus, RecognizedFace
from mien.domain.results import Probe


def identify(
    probes: Sequence[Probe], records: Mapping[str, FaceRecord], threshold: float, policy: Policy
) -> tuple[RecognizedFace, ...]:
    """Decide who each face of a photo is, each person at most once.

    Args:
        probes: The faces of the photo with their hits.
        records: The records of the faces that were hit, by face id; hits without a record are ignored.
        threshold: The lowest similarity of a match, 0 to 100.
        policy: Its margin decides what is ambiguous, its `candidates` how many are listed.
    """
    candidates = [rank_candidates(probe, records) for probe in probes]
    assigned = assign([_scores(ranking, threshold) for ranking in candidates])
    return tuple(
        _decide(probe, ranking, user_id, threshold, policy)
        for probe, ranking, user_id in zip(probes, candidates, assigned, strict=True)
    )


def rank_candidates(probe: Probe, records: Mapping[str, FaceRecord]) -> list[Candidate]:
    """Rank the people whom a face may be, most similar first.

    A person's similarity is that of their aggregated faces or of their most similar face, whichever is higher; a
    face without a user is a candidate of its own, or its group is. A person is ruled out when the face is at least as
    similar to one of their rejected faces as to the person.
    """
    faces: dict[str, Candidate] = {}
    rejected: dict[str | None, float] = {}
    for hit in sorted(probe.face_hits, key=lambda hit: -hit.similarity):
        record = records.get(hit.face_id)
        if record and record.negative:
            rejected.setdefault(record.user_id, hit.similarity)
        elif record:
            candidate = Candidate(record.user_id, hit.similarity, hit.face_id, record.image_path)
            faces.setdefault(record.user_id or record.group_id or hit.face_id, candidate)
    for user in probe.user_hits:
        best = faces.get(user.user_id, Candidate(user.user_id, 0.0, None, None))
        similarity = max(best.similarity, user.similarity)
        faces[user.user_id] = Candidate(user.user_id, similarity, best.face_id, best.image_path)
    possible = [candidate for candidate in faces.values() if candidate.similarity > rejected.get(candidate.user_id, -1)]
    return sorted(possible, key=lambda candidate: -candidate.similarity)


def _scores(candidates: Sequence[Candidate], threshold: float) -> dict[str, float]:
    return {c.user_id: c.similarity for c in candidates if c.user_id is not None and c.similarity >= threshold}


def _decide(
    probe: Probe, candidates: Sequence[Candidate], user_id: str | None, threshold: float, policy: Policy
) -> RecognizedFace:
    similarity = next((c.similarity for c in candidates if user_id is not None and c.user_id == user_id), None)
    rivals = [c.similarity for c in candidates if c.user_id not in {None, user_id}]
    ambiguous_from = threshold if similarity is None else _ambiguity_floor(similarity, threshold, policy)
    if similarity is None:
        status = RecognitionStatus.UNKNOWN
    elif rivals and max(rivals) >= ambiguous_from:
        status = RecognitionStatus.AMBIGUOUS
    else:
        status = RecognitionStatus.MATCHED
    lowest = min(threshold, ambiguous_from)
    return RecognizedFace(
        box=probe.face.box,
        confidence=probe.face.confidence,
        status=status,
        user_id=user_id if status is RecognitionStatus.MATCHED else None,
        similarity=similarity,
        candidates=_listed([c for c in candidates if c.similarity >= lowest], policy.candidates),
    )


def _listed(candidates: Sequence[Candidate], limit: int) -> tuple[Candidate, ...]:
    """The first candidates; people before strangers, who must not hide whom a recognition names."""
    people_first = sorted(candidates, key=lambda candidate: candidate.user_id is None)[:limit]
    return tuple(sorted(people_first, key=lambda candidate: -candidate.similarity))


def _ambiguity_floor(similarity: float, threshold: float, policy: Policy) -> float:
    """Return the similarity from which on a runner-up makes the best match ambiguous.

    A runner-up does so near the best, or when they are so similar themselves that chance is ruled out.
    """
    certain = max(thresholds.CERTAIN_SIMILARITY, threshold)
    return min(thresholds.odds_floor(similarity, policy.margin), certain)
