"""A photo -> who is on it: the search, the people behind what it found, and the stored answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime

from mien import matching, rates
from mien.policy import Policy
from mien.ports import Catalog, Recognizer
from mien.records import FaceRecord, Recognition

HITS_PER_FACE = 20  # enough that several photos of one person do not hide the runner-up


class Identification:
    def __init__(self, recognizer: Recognizer, catalog: Catalog, policy: Policy, now: Callable[[], datetime]) -> None:
        self._recognizer, self._catalog, self._policy, self._now = recognizer, catalog, policy, now

    def answer(
        self, image: bytes, image_path: str | None, threshold: str | float | None, *, store: bool
    ) -> Recognition:
        """`image_path` says where the photo lies in the bucket, if it does."""
        wanted = self._recognizer.threshold(self._policy.threshold if threshold is None else threshold)
        least = wanted.similarity
        probes = self._recognizer.search(image, rates.within_reach(least, self._policy.margin), HITS_PER_FACE)
        ids = dict.fromkeys(hit.face_id for probe in probes for hit in probe.face_hits)
        records = {record.face_id: record for record in self._catalog.get(FaceRecord, list(ids))}
        if image_path is not None:  # a photo that was indexed without a name is no news to itself
            records = {i: r for i, r in records.items() if r.user_id or r.image_path != image_path}
        faces = matching.identify(probes, records, least, self._policy)
        answer = Recognition(str(uuid.uuid4()), image_path, self._now(), least, faces, wanted.fmr, wanted.fpir)
        if store:
            self._catalog.put(answer)
        return answer
