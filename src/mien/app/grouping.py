"""Join the faces of nobody to groups by likeness, one face at a time.

A face joins the group of the most similar face if that is so similar that strangers hardly ever are, and if at least
half of the group's faces are like it, too. The first condition is single linkage at a threshold that follows the number
of faces; the second keeps two groups from being chained by one face that looks like both. Compared with other methods
in docs/groups.md.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from mien.app.ports import GroupCatalog, PortraitRecognizer
from mien.domain import thresholds
from mien.domain.groups import FaceGroup, new_group_id
from mien.domain.records import FaceRecord, Upload

MAX_LINK_FMR = 1e-5
"""The false match rate from which two faces link, while there are few."""

LINK_FPIR = 0.01
"""How often a stranger may find one face that links, among all that there are: with many faces it takes more."""

ALIKE = thresholds.similarity_of_fmr(1e-3)
"""The similarity that half of a group's faces have to reach."""

ALIKE_SHARE = 0.5


class Grouper:
    """Finds or makes the group of a face. Faces that are grouped at once wait for each other."""

    def __init__(self, recognizer: PortraitRecognizer, catalog: GroupCatalog, now: Callable[[], datetime]) -> None:
        self._recognizer, self._catalog, self._now = recognizer, catalog, now
        self.lock = threading.RLock()

    def join(self, face: FaceRecord) -> bool:
        """Put a stored face without a person into its group; False when the face was changed or removed meanwhile."""
        with self.lock:
            group, others, new = self._choose(face.face_id)
            if not self._catalog.put(replace(face, group_id=group.group_id), *new, unchanged=[face]):
                return False
            self._merge_into(group, others)
            return True

    def store(self, face: FaceRecord, upload: Upload) -> str:
        """Store a new face, whose embedding is in the recognizer, with its upload, and return its group's id."""
        with self.lock:
            group, others, new = self._choose(face.face_id)
            self._catalog.put(replace(face, group_id=group.group_id), *new, upload)
            self._merge_into(group, others)
            return group.group_id

    def move(self, face_id: str, group_id: str) -> None:
        """Put a face into a certain group; one that was removed meanwhile stays removed."""
        while stored := self._catalog.get(FaceRecord, [face_id]):
            if self._catalog.put(replace(stored[0], group_id=group_id), unchanged=stored):
                return

    def merge(self, group_id: str, into: str) -> None:
        """Give all faces of a group, also those with a person, to another group."""
        with self.lock:
            while True:
                faces = [
                    face for named in (False, True) for face in self._catalog.faces_of_group(group_id, named=named)
                ]
                gone = self._catalog.get(FaceGroup, [group_id])
                moved = (replace(face, group_id=into) for face in faces)
                if self._catalog.put(*moved, gone=gone, unchanged=faces):
                    return

    def _choose(self, face_id: str) -> tuple[FaceGroup, Sequence[FaceGroup], Sequence[FaceGroup]]:
        """Choose the group for a face. Returns it, others that the face shows to be the same, and it again if new."""
        groups = self._alike(face_id)
        if groups:
            return groups[0], groups[1:], ()
        group = FaceGroup(new_group_id(), self._now())
        return group, (), (group,)

    def _alike(self, face_id: str) -> list[FaceGroup]:
        """The groups that a face may join, the most similar first."""
        hits = {hit.face_id: hit.similarity for hit in self._recognizer.similar(face_id, ALIKE)}
        similarities: dict[str, list[float]] = defaultdict(list)
        for each, group_id in self._catalog.groups_of(list(hits)).items():
            similarities[group_id].append(hits[each])
        link = self._link()
        near = {group_id: scores for group_id, scores in similarities.items() if max(scores) >= link}
        counts = self._catalog.count_groups(list(near))
        likely = [each for each in counts if len(near[each]) >= ALIKE_SHARE * counts[each].faces]
        likely.sort(key=lambda each: -max(near[each]))
        return [group for group in self._catalog.get(FaceGroup, likely) if group.user_id is None]

    def _merge_into(self, group: FaceGroup, others: Sequence[FaceGroup]) -> None:
        for other in others:
            if not _are_apart(group, other):
                self.merge(other.group_id, group.group_id)

    def _link(self) -> float:
        rate = thresholds.fmr_for_fpir(LINK_FPIR, self._recognizer.count_faces())
        return thresholds.similarity_of_fmr(max(min(rate, MAX_LINK_FMR), thresholds.MIN_RATE))


def _are_apart(one: FaceGroup, other: FaceGroup) -> bool:
    return one.group_id in other.apart or other.group_id in one.apart


def halves(face_ids: Collection[str], similarities: Callable[[str], dict[str, float]]) -> set[str]:
    """Divide faces of two people: return those that are more like the one that is least like the first.

    Args:
        face_ids: At least two faces, the first of which is one of the first person's.
        similarities: Returns how similar the other faces are to a face; faces that it leaves out are least similar.
    """
    first, *others = face_ids
    to_first = similarities(first)
    second = min(others, key=lambda face_id: to_first.get(face_id, 0.0))
    to_second = similarities(second)
    return {second} | {each for each in others if to_second.get(each, 0.0) > to_first.get(each, 0.0)}
