"""Recognise the faces of a photo: search them, rank the people whose faces match, decide who each face is."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mien.app.assignment import assign
from mien.app.people import PeopleService
from mien.app.ports import Catalog, Recognizer
from mien.app.present_names import canonical
from mien.domain import thresholds
from mien.domain.errors import ImageError
from mien.domain.faces import iterate_pages
from mien.domain.policy import MAX_FACES_PER_USER, Policy
from mien.domain.records import Candidate, FaceRecord, Person, Recognition, RecognitionStatus, RecognizedFace, Upload
from mien.domain.results import Portrait, Probe, SearchResult, StoredPhoto
from mien.domain.thresholds import Threshold

PAGE = 1000
MAX_UNGROUPED_HITS = 100
HITS_PER_FACE = 20  # enough that several photos of one person do not hide the runner-up


class RecognitionService:
    """Recognises the faces of photos, and stores the recognitions."""

    def __init__(
        self,
        recognizer: Recognizer,
        catalog: Catalog,
        people: PeopleService,
        policy: Policy,
        now: Callable[[], datetime],
        groups_of: Callable[[Sequence[str]], Mapping[str, str]] | None,
    ) -> None:
        """Compose the service; `groups_of` is that of `GroupCatalog`, and None where faces are not grouped."""
        self._recognizer, self._catalog, self._people = recognizer, catalog, people
        self._policy, self._now, self._groups_of = policy, now, groups_of

    def recognize(self, image: bytes | StoredPhoto, threshold: str | float | None, *, store: bool) -> Recognition:
        """Recognise every face of a photo.

        Args:
            image: The photo, or where it is in the bucket.
            threshold: A similarity or an error rate; None for the policy's.
            store: Whether to keep the recognition in the catalog.

        What is stored has no names, and the ids under which the faces were enrolled: a rename shows in old
        recognitions too, and undoing a merge gives each id its own recognitions back.

        Raises ImageError, and InvalidInput for the threshold.
        """
        limit = self.threshold(threshold)
        found = self._recognizer.search(image, self._floor(limit), HITS_PER_FACE, self._policy.max_faces)
        image_path = image.image_path if isinstance(image, StoredPhoto) else None
        return self._recognize(found, image_path, limit, store=store)

    def recognize_portraits(
        self,
        image: bytes,
        portraits: Callable[[bytes, float, int], list[Portrait]],
        threshold: str | float | None,
        *,
        store: bool,
    ) -> tuple[Recognition, list[Portrait]]:
        """Recognise every face of a photo that is not kept, and return the faces' portraits, too.

        `portraits` is that of `PortraitRecognizer`.
        """
        limit = self.threshold(threshold)
        return self._recognize_portraits(portraits(image, self._floor(limit), HITS_PER_FACE), limit, store=store)

    def recognize_portraits_many(
        self,
        images: Iterable[bytes],
        portraits: Callable[[Iterable[bytes], float, int], Iterator[list[Portrait] | ImageError]],
    ) -> Iterator[tuple[Recognition, list[Portrait]] | ImageError]:
        """Do the same for many photos, in order, at the policy's threshold and without storing the recognitions."""
        limit = self.threshold(None)
        for seen in portraits(images, self._floor(limit), HITS_PER_FACE):
            yield seen if isinstance(seen, ImageError) else self._recognize_portraits(seen, limit, store=False)

    def _recognize_portraits(
        self, seen: list[Portrait], limit: Threshold, *, store: bool
    ) -> tuple[Recognition, list[Portrait]]:
        cut = seen[: self._policy.max_faces]
        found = SearchResult(tuple(each.probe for each in cut), len(seen) - len(cut))
        return self._recognize(found, None, limit, store=store), cut

    def threshold(self, given: str | float | None) -> Threshold:
        """Return a threshold with its error rates; None stands for the policy's."""
        return self._recognizer.threshold(self._policy.threshold if given is None else given)

    def _floor(self, limit: Threshold) -> float:
        return thresholds.odds_floor(limit.similarity, self._policy.margin)

    def _recognize(self, found: SearchResult, image_path: str | None, limit: Threshold, *, store: bool) -> Recognition:
        probes: Sequence[Probe] = found.probes if image_path is not None else self._without_repeats(found.probes)
        face_ids = dict.fromkeys(hit.face_id for probe in probes for hit in probe.face_hits)
        records = {record.face_id: record for record in self._catalog.get(FaceRecord, list(face_ids))}
        if image_path is not None:  # a photo that was indexed without a user would find its own faces
            records = {i: r for i, r in records.items() if r.user_id or r.image_path != image_path}
        people = self._people.aliases.by_id(user_ids(probes, records))
        people |= {person.user_id: person for person in people.values()}
        probes, merged = with_present_ids(probes, people), canonical(records.values(), people)
        faces = identify(probes, merged, limit.similarity, self._policy)
        recognition = Recognition(
            str(uuid.uuid4()),
            image_path,
            self._now(),
            limit.similarity,
            faces,
            limit.fmr,
            limit.fpir,
            found.left_out,
        )
        if store:
            stored = replace(recognition, faces=tuple(_as_enrolled(face, records) for face in faces))
            self._catalog.put(stored)
            self._withdraw_if_forgotten(stored)
        return self._people.present_names.recognitions([recognition], people)[0]

    def _without_repeats(self, probes: Sequence[Probe]) -> Sequence[Probe]:
        """Leave out hits of strangers but for the most similar of each group, which may have thousands."""
        face_ids = list({hit.face_id for probe in probes for hit in probe.face_hits})
        if self._groups_of is None or len(face_ids) <= MAX_UNGROUPED_HITS:
            return probes
        groups = self._groups_of(face_ids)
        first = [{groups.get(hit.face_id, hit.face_id): hit for hit in reversed(each.face_hits)} for each in probes]
        return [
            replace(probe, face_hits=tuple(hits[key] for key in reversed(hits)))
            for probe, hits in zip(probes, first, strict=True)
        ]

    def relabel(self, former: Upload, moved: Upload, user_ids: Collection[str]) -> None:
        """Let stored recognitions that named somebody for one photo's face name its new person.

        Args:
            former: The photo as it was enrolled for the person to whom it did not belong.
            moved: The same photo as it is enrolled now.
            user_ids: All ids of the former person.
        """
        if not former.face_ids or not moved.face_ids:
            return
        enrolled = self._catalog.find(FaceRecord, user_id=user_ids, limit=MAX_FACES_PER_USER).items
        is_only_face = all(face.negative or face.face_id in former.face_ids for face in enrolled)

        def is_of_photo(candidate: Candidate) -> bool:
            return candidate.face_id in former.face_ids or (is_only_face and candidate.user_id in user_ids)

        pages = iterate_pages(lambda token: self._catalog.find(Recognition, user_id=user_ids, limit=PAGE, token=token))
        for recognition in pages:
            faces = tuple(_relabelled(face, is_of_photo, moved) for face in recognition.faces)
            if faces != recognition.faces:
                named_now = replace(recognition, faces=faces)
                # Gone with the ids by which it is found; unless somebody whom it named was forgotten meanwhile.
                is_stored = self._catalog.put(named_now, gone=[recognition], unchanged=[recognition])
                if is_stored and len(self._catalog.get(FaceRecord, moved.face_ids)) < len(moved.face_ids):
                    self._catalog.delete(Recognition, [recognition.recognition_id])

    def _withdraw_if_forgotten(self, recognition: Recognition) -> None:
        """Delete a recognition that names somebody who was forgotten while it was made.

        An erasure deletes the person's faces first and then their recognitions, so one of both finds the other.
        """
        named = {c.face_id for face in recognition.faces for c in face.candidates if c.face_id and c.user_id}
        known = {record.face_id for record in self._catalog.get(FaceRecord, sorted(named))}
        unseen = {c.user_id for face in recognition.faces for c in face.candidates if c.user_id and not c.face_id}
        families = [self._people.aliases.family(user_id) for user_id in sorted(unseen)]
        if named - known or not all(self._catalog.find(FaceRecord, user_id=ids, limit=1).items for ids in families):
            self._catalog.delete(Recognition, [recognition.recognition_id])


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


def user_ids(probes: Sequence[Probe], records: Mapping[str, FaceRecord]) -> list[str]:
    """List the ids of everybody whom the hits are about."""
    of_faces = [record.user_id for record in records.values() if record.user_id is not None]
    return list(dict.fromkeys(of_faces + [hit.user_id for probe in probes for hit in probe.user_hits]))


def with_present_ids(probes: Sequence[Probe], people: Mapping[str, Person]) -> list[Probe]:
    """Return the probes with user hits of the people whom the ids lead to after merges."""
    if all(person.user_id == user_id for user_id, person in people.items()):
        return list(probes)
    return [
        replace(
            probe,
            user_hits=tuple(
                replace(hit, user_id=people[hit.user_id].user_id if hit.user_id in people else hit.user_id)
                for hit in probe.user_hits
            ),
        )
        for probe in probes
    ]


def _as_enrolled(face: RecognizedFace, records: Mapping[str, FaceRecord]) -> RecognizedFace:
    """The face with the ids under which the candidates' faces are enrolled, which merging does not change."""
    enrolled_as: dict[str | None, str | None] = {
        candidate.user_id: records[candidate.face_id].user_id
        for candidate in face.candidates
        if candidate.face_id is not None and candidate.user_id is not None
    }
    if all(user_id == as_enrolled for user_id, as_enrolled in enrolled_as.items()):
        return face
    candidates = (replace(each, user_id=enrolled_as.get(each.user_id, each.user_id)) for each in face.candidates)
    return replace(face, user_id=enrolled_as.get(face.user_id, face.user_id), candidates=tuple(candidates))


def _relabelled(face: RecognizedFace, is_of_photo: Callable[[Candidate], bool], moved: Upload) -> RecognizedFace:
    """The face with the person of a moved photo in place of whom it was like because of that photo."""
    wrong = {candidate.user_id for candidate in face.candidates if is_of_photo(candidate)}
    if not wrong:
        return face
    candidates = tuple(
        replace(each, user_id=moved.user_id, face_id=moved.face_ids[0], image_path=moved.image_path)
        if is_of_photo(each)
        else each
        for each in face.candidates
    )
    return replace(face, user_id=moved.user_id if face.user_id in wrong else face.user_id, candidates=candidates)


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
