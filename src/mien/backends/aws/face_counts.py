"""Keep how many faces each user has, and the newest, so that a list of people needs no query for each of them.

A count is the item `FaceCount/<user id>` of MienRecords. It is written in one transaction with the face records that
change it, and goes with the last of them. It has a version: of two who change it at once, one has to read and try
again. A user whose faces were all stored by an earlier version has no count yet. Until the next change of a face, or
the next reconciliation, they are counted by a query for each listing.

Only two things can make a count wrong: face records that are written past this code, such as by hand or from a
backup, and changes at the very moment at which a user is counted for the first time. Reconciliations count anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mien.backends import serialization
from mien.backends.aws.clients import batches
from mien.backends.aws.index_queries import Place, Span, choose_index, list_keys
from mien.backends.aws.tables import Item, Table, Tables, main_item
from mien.backends.aws.transactions import (
    READ_BATCH,
    Collision,
    Condition,
    Write,
    is_free,
    is_stored,
    read,
    transact,
)
from mien.domain.records import FaceRecord, Upload
from mien.domain.results import FaceSummary

PREFIX = "FaceCount/"
PAGE = 1000

_SAME_VERSION = "#v = :v"


@dataclass(frozen=True, slots=True)
class FaceCount:
    """How many faces a user has, which the newest is, and how often that changed."""

    faces: int
    newest: Place
    version: int = 0

    @classmethod
    def of(cls, faces: Collection[FaceRecord]) -> FaceCount | None:
        """Count faces; None when there are none."""
        return cls(len(faces), max(map(_place, faces))) if faces else None

    @classmethod
    def from_item(cls, item: Item) -> FaceCount:
        return cls(int(item["Faces"]), (item["NewestAt"], item["NewestFace"]), int(item["Version"]))


class FaceCounts:
    """Reads and changes the counts."""

    def __init__(self, dynamodb: Any, tables: Tables) -> None:
        self._dynamodb, self._faces = dynamodb, tables[FaceRecord]
        self._counts = Table(tables[Upload].name, tables[Upload].key, PREFIX)

    def summarize(self, user_ids: Collection[str]) -> dict[str, FaceSummary]:
        """Return how many faces each user has, and the newest; users without a face are left out."""
        kept = self._kept(user_ids)
        newest = {face.face_id: face for face in self._stored([count.newest[1] for count in kept.values()])}
        found: dict[str, FaceSummary] = {}
        for user_id in dict.fromkeys(user_ids):
            count = kept.get(user_id)
            face = newest.get(count.newest[1]) if count else None
            if count is None or face is None or _owner(face) != user_id:
                faces = self._enrolled(user_id)
                count, face = FaceCount.of(faces), max(faces, key=_place, default=None)
            if count is not None and face is not None:
                found[user_id] = FaceSummary(count.faces, face)
        return found

    def writes(
        self, written: Sequence[FaceRecord], removed: Collection[str]
    ) -> tuple[dict[str, Condition], list[Write]]:
        """Return what changes of face records need in their transaction.

        Args:
            written: The face records that are put.
            removed: The ids of those that are removed.

        Returns by face id the condition that the stored record still is the one that was counted with, and the
        writes of the counts.
        """
        after = {face.face_id: face for face in written}
        face_ids = [*after, *(each for each in dict.fromkeys(removed) if each not in after)]
        stored = {face.face_id: face for face in self._stored(face_ids)}
        conditions = {face_id: _unchanged(self._faces, stored.get(face_id)) for face_id in face_ids}
        added: dict[str, list[FaceRecord]] = defaultdict(list)
        lost: dict[str, set[str]] = defaultdict(set)
        for face_id in face_ids:
            before, now = _owner(stored.get(face_id)), _owner(after.get(face_id))
            if before != now:
                if now is not None:
                    added[now].append(after[face_id])
                if before is not None:
                    lost[before].add(face_id)
        changed = sorted(added.keys() | lost.keys())
        kept = self._kept(changed)
        return conditions, [self._write(each, kept.get(each), added[each], lost[each]) for each in changed]

    def miscounted(self, user_ids: Collection[str]) -> Iterator[str]:
        """Yield the users whose kept count is missing or wrong."""
        kept = self._kept(user_ids)
        for user_id in user_ids:
            if not _is_same(kept.get(user_id), FaceCount.of(self._enrolled(user_id))):
                yield user_id

    def recount(self, user_id: str) -> None:
        """Keep a user's right count, unless a face of theirs changes meanwhile."""
        kept = self._kept([user_id]).get(user_id)
        faces = self._enrolled(user_id)
        writes = [self._put(user_id, kept, FaceCount.of(faces))]
        if faces:  # together with a face, so that nothing is stored of a person who is forgotten meanwhile
            newest = max(faces, key=_place)
            item = main_item(self._faces, newest)
            writes.append(Write(self._faces, newest.face_id, item, is_stored(self._faces, newest), is_repeated=True))
        try:
            transact(self._dynamodb, writes)
        except Collision:
            return  # whoever changed a face changed the count, too

    def _write(self, user_id: str, kept: FaceCount | None, added: Sequence[FaceRecord], lost: Collection[str]) -> Write:
        if kept is None:
            faces = {face.face_id: face for face in (*self._enrolled(user_id), *added) if face.face_id not in lost}
            return self._put(user_id, kept, FaceCount.of(faces.values()))
        newest: list[Place] = [_place(face) for face in added]
        if kept.newest[1] not in lost:
            newest.append(kept.newest)
        elif former := self._newest(user_id, but=lost):
            newest.append(_place(former))
        count = kept.faces + len(added) - len(lost)
        return self._put(user_id, kept, FaceCount(count, max(newest)) if newest and count > 0 else None)

    def _put(self, user_id: str, kept: FaceCount | None, count: FaceCount | None) -> Write:
        """Put a count in place of the kept one; without a face, nothing of the user stays."""
        key = self._counts.item_key(user_id)
        condition = is_free(self._counts)
        if kept is not None:
            condition = Condition(_SAME_VERSION, {"#v": "Version"}, {":v": kept.version})
        if count is None:
            return Write(self._counts, key, None, condition, is_repeated=True)
        at, face_id = count.newest
        version = 1 if kept is None else kept.version + 1
        item = {"NewestFace": face_id, "NewestAt": at, "Faces": count.faces, "Version": version}
        return Write(self._counts, key, {self._counts.key: key, **item}, condition, is_repeated=True)

    def _kept(self, user_ids: Collection[str]) -> dict[str, FaceCount]:
        keys = [self._counts.item_key(user_id) for user_id in dict.fromkeys(user_ids)]
        return {
            self._counts.record_key(item[self._counts.key]): FaceCount.from_item(item)
            for portion in batches(keys, READ_BATCH)
            for item in read(self._dynamodb, self._counts, portion)
        }

    def _stored(self, face_ids: Iterable[str]) -> list[FaceRecord]:
        return [
            serialization.from_item(FaceRecord, item)
            for portion in batches(list(dict.fromkeys(face_ids)), READ_BATCH)
            for item in read(self._dynamodb, self._faces, portion)
        ]

    def _enrolled(self, user_id: str) -> list[FaceRecord]:
        return [face for page in self._pages(user_id, PAGE) for face in page]

    def _newest(self, user_id: str, but: Collection[str]) -> FaceRecord | None:
        pages = self._pages(user_id, len(but) + 1)
        return next((face for page in pages for face in page if face.face_id not in but), None)

    def _pages(self, user_id: str, limit: int) -> Iterator[list[FaceRecord]]:
        """Yield the faces of a user, the newest first, without rejected ones."""
        chosen = choose_index(self._faces, FaceRecord, user_id, None, None, of_nobody=False)
        token: str | None = None
        while True:
            keys = list_keys(self._dynamodb, self._faces, chosen, Span(), limit, token)
            faces = {face.face_id: face for face in self._stored(keys.items)}
            yield [faces[key] for key in keys.items if key in faces and _owner(faces[key]) == user_id]
            token = keys.next_token
            if token is None:
                return


def _place(face: FaceRecord) -> Place:
    return serialization.timestamp(face.timestamp), face.face_id


def _owner(face: FaceRecord | None) -> str | None:
    """Return whose count a face is in."""
    return None if face is None or face.negative else face.user_id


def _is_same(kept: FaceCount | None, counted: FaceCount | None) -> bool:
    if kept is None or counted is None:
        return kept is counted
    return (kept.faces, kept.newest) == (counted.faces, counted.newest)


def _unchanged(table: Table, face: FaceRecord | None) -> Condition:
    """Return the condition that a face is in the same count as when it was read."""
    if face is None:
        return is_free(table)
    names: Mapping[str, str] = {"#k": table.key, "#u": "UserId", "#n": "Negative"}
    owner = _owner(face)
    if owner is None:
        expression = "attribute_exists(#k) AND (attribute_not_exists(#u) OR attribute_exists(#n))"
        return Condition(expression, names)
    return Condition("attribute_exists(#k) AND #u = :u AND attribute_not_exists(#n)", names, {":u": owner})
