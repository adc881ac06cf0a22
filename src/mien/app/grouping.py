"""Join the faces of nobody to groups by likeness, one face at a time.

A face joins the group of the most similar face if that is so similar that strangers hardly ever are, and if at least
half of the group's faces are like it, too. The first condition is single linkage at a threshold that follows the number
of faces; the second keeps two groups from being chained by one face that looks like both. Compared with other methods
in docs/groups.md.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from math import inf

from mien.app.group_ports import GroupCatalog, PortraitRecognizer
from mien.domain import thresholds
from mien.domain.groups import FaceGroup, new_group_id
from mien.domain.records import FaceRecord, Record, Upload
from mien.domain.results import FaceHit

MAX_LINK_FMR = 1e-5
"""The false match rate from which two faces link, while there are few."""

LINK_FPIR = 0.01
"""How often a stranger may find one face that links, among all that there are: with many faces it takes more."""

ALIKE = thresholds.similarity_of_fmr(1e-3)
"""The similarity that half of a group's faces have to reach."""

ALIKE_SHARE = 0.5

MAX_HITS = 500
"""The most similar faces that count. Of a group that has more, half as many have to be among them."""


class Grouper:
    """Finds or makes the group of a face. Faces that are grouped at once wait for each other."""

    def __init__(self, recognizer: PortraitRecognizer, catalog: GroupCatalog, now: Callable[[], datetime]) -> None:
        self._recognizer, self._catalog, self._now = recognizer, catalog, now
        self.lock = threading.RLock()

    def join(self, face: FaceRecord) -> bool:
        """Put a stored face without a person into its group; False when the face was changed or removed meanwhile."""
        with self.lock:
            near = self._near([face.face_id])
            joined = near.join(face)
            if not self._catalog.put(joined, *near.made, unchanged=[face]):
                return False
            self._merge_same(near)
            return True

    def store(self, new: Sequence[tuple[FaceRecord, Upload]]) -> list[str]:
        """Store new faces, whose embeddings are in the recognizer, with their uploads, and return their groups' ids.

        One after the other joins its group, as if each were stored alone; they are written together.
        """
        stored: list[FaceRecord] = []
        with self.lock:
            while waiting := new[len(stored) :]:
                near, records = self._near([face.face_id for face, _ in waiting]), list[Record]()
                for face, upload in waiting:
                    stored.append(near.join(face))
                    records += [stored[-1], upload]
                    if near.same:  # which other faces may be in then
                        break
                self._catalog.put(*records, *near.made)
                self._merge_same(near)
            groups = self._catalog.groups_of([face.face_id for face in stored])
        return [groups.get(face.face_id, face.group_id or "") for face in stored]

    def decisions(self, group_id: str) -> FaceGroup:
        """Return what was decided about a group; of one without a record, that is nothing."""
        return next(iter(self._catalog.get(FaceGroup, [group_id])), FaceGroup(group_id, self._now()))

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

    def _near(self, face_ids: Sequence[str]) -> _NearGroups:
        hits = self._recognizer.similar_to_each(face_ids, ALIKE, MAX_HITS)
        return _NearGroups(self._catalog, dict(zip(face_ids, hits, strict=True)), self._link(), self._now)

    def _merge_same(self, near: _NearGroups) -> None:
        for group, other in near.same:
            if not _are_apart(group, other):
                self.merge(other.group_id, group.group_id)

    def _link(self) -> float:
        rate = thresholds.fmr_for_fpir(LINK_FPIR, self._recognizer.count_faces())
        return thresholds.similarity_of_fmr(max(min(rate, MAX_LINK_FMR), thresholds.MIN_RATE))


class _NearGroups:
    """The groups near some faces, as they are stored, and as they become while one face after the other joins.

    Attributes:
        made: Groups that are new.
        same: Groups that the last face showed to be the same: the one that it joined, and another.
    """

    def __init__(
        self,
        catalog: GroupCatalog,
        hits: Mapping[str, Sequence[FaceHit]],
        link: float,
        now: Callable[[], datetime],
    ) -> None:
        self._hits, self._link, self._now = hits, link, now
        self._group_of = catalog.groups_of(list({hit.face_id for each in hits.values() for hit in each}))
        group_ids = list(set(self._group_of.values()))
        self._faces = {each: count.faces for each, count in catalog.count_groups(group_ids).items()}
        self._groups = {group.group_id: group for group in catalog.get(FaceGroup, group_ids)}
        self.made: list[FaceGroup] = []
        self.same: list[tuple[FaceGroup, FaceGroup]] = []

    def join(self, face: FaceRecord) -> FaceRecord:
        """Return a face in its group."""
        groups = self._alike(face.face_id)
        if groups:
            self.same = [(groups[0], other) for other in groups[1:]]
        else:
            groups = [FaceGroup(new_group_id(), self._now())]
            self.made += groups
        group_id = groups[0].group_id
        self._groups[group_id], self._group_of[face.face_id] = groups[0], group_id
        self._faces[group_id] = self._faces.get(group_id, 0) + 1
        return replace(face, group_id=group_id)

    def _alike(self, face_id: str) -> list[FaceGroup]:
        """The groups that a face may join, the most similar first."""
        similarities: dict[str, list[float]] = defaultdict(list)
        for hit in self._hits[face_id]:
            if group_id := self._group_of.get(hit.face_id):
                similarities[group_id].append(hit.similarity)
        near = {group_id: scores for group_id, scores in similarities.items() if max(scores) >= self._link}
        likely = [each for each in near if len(near[each]) >= ALIKE_SHARE * self._countable(each)]
        likely.sort(key=lambda each: -max(near[each]))
        groups = [self._groups[each] for each in likely if each in self._groups]
        return [group for group in groups if group.user_id is None]

    def _countable(self, group_id: str) -> float:
        """How many faces of a group may be among the hits; that of a group that is gone is never enough."""
        return min(self._faces[group_id], MAX_HITS) if group_id in self._faces else inf


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
