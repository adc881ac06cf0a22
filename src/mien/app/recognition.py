"""Recognise the faces of a photo: search them, have it decided who each is, and store the answers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mien.app.decision import identify
from mien.app.people import PeopleService
from mien.app.ports import Catalog, Recognizer
from mien.app.present_names import canonical, user_ids, with_present_ids
from mien.domain import thresholds
from mien.domain.errors import ImageError
from mien.domain.policy import Policy
from mien.domain.records import FaceRecord, Recognition, RecognizedFace
from mien.domain.results import Portrait, Probe, SearchResult, StoredPhoto
from mien.domain.thresholds import Threshold

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
