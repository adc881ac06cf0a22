"""Keep the metadata in dictionaries, one for each kind of record."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from threading import Lock
from typing import Any

from mien.backends import serialization
from mien.domain.errors import InvalidInput
from mien.domain.faces import Page
from mien.domain.groups import FaceGroup, GroupCount
from mien.domain.records import FaceRecord, R, Recognition, Record, take_page
from mien.domain.results import FaceSummary


class MemoryCatalog:
    """Implements `mien.app.group_ports.GroupCatalog` in memory."""

    def __init__(self) -> None:
        self._tables: dict[type, dict[str, Any]] = defaultdict(dict)
        self._lock = Lock()

    def put(
        self,
        *records: Record,
        fresh: Sequence[Record] = (),
        gone: Sequence[Record] = (),
        unchanged: Sequence[Record] = (),
    ) -> bool:
        with self._lock:
            if any(serialization.key(record) in self._tables[type(record)] for record in fresh):
                return False
            if any(self._tables[type(record)].get(serialization.key(record)) != record for record in unchanged):
                return False
            for record in gone:
                self._tables[type(record)].pop(serialization.key(record), None)
            for record in (*records, *fresh):
                self._tables[type(record)][serialization.key(record)] = record
            return True

    def get(self, kind: type[R], keys: Sequence[str]) -> list[R]:
        table = self._table(kind)
        return [table[key] for key in keys if key in table]

    def find(
        self,
        kind: type[R],
        *,
        user_id: str | Collection[str] | None = None,
        image_path: str | None = None,
        digest: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        of_nobody: bool = False,
        limit: int = 100,
        token: str | None = None,
    ) -> Page[R]:
        user_ids = {user_id} if isinstance(user_id, str) else set(user_id or ())
        records = [
            record
            for record in self._table(kind).values()
            if (user_id is None or _belongs_to(record, user_ids))
            and (image_path is None or getattr(record, "image_path", None) == image_path)
            and (digest is None or getattr(record, "digest", None) == digest)
            and (since is None or record.timestamp >= since)
            and (until is None or record.timestamp <= until)
            and (not of_nobody or getattr(record, "user_id", None) is None)
        ]
        records.sort(key=_position, reverse=True)
        last = _parse_token(token) if token is not None else None
        rest = [record for record in records if last is None or _position(record) < last]
        items, has_more = take_page(rest, limit)
        return Page(items, "|".join(_position(items[-1])) if has_more else None)

    def summarize_faces(self, user_ids: Collection[str]) -> dict[str, FaceSummary]:
        found: dict[str, FaceSummary] = {}
        for face in sorted(self._table(FaceRecord).values(), key=_position):
            if face.user_id is not None and face.user_id in user_ids and not face.negative:
                counted = found[face.user_id].count if face.user_id in found else 0
                found[face.user_id] = FaceSummary(counted + 1, face)
        return found

    def recount_faces(self, user_ids: Collection[str], *, write: bool) -> list[str]:
        return []  # numbers of faces are not kept

    def list_uploads_of_nobody(self, image_paths: Sequence[str], *, write: bool) -> int:
        return 0  # `find` looks at the uploads themselves

    def list_groups(self, min_faces: int, *, skipped: bool, limit: int, token: str | None = None) -> Page[GroupCount]:
        groups = self._table(FaceGroup)
        hidden = {group.group_id for group in groups.values() if group.skipped and not skipped}
        counts = [
            count for count in self._counts().values() if count.faces >= min_faces and count.group_id not in hidden
        ]
        counts.sort(key=lambda count: (-count.faces, count.group_id))
        number, key = _parse_numbered(token) if token is not None else (math.inf, "")
        rest = [each for each in counts if (-each.faces, each.group_id) > (-number, key)]
        items = tuple(rest[:limit])
        return Page(items, f"{items[-1].faces}|{items[-1].group_id}" if len(rest) > limit else None)

    def count_groups(self, group_ids: Sequence[str]) -> dict[str, GroupCount]:
        return {group_id: count for group_id, count in self._counts().items() if group_id in group_ids}

    def groups_of(self, face_ids: Sequence[str]) -> dict[str, str]:
        faces = self.get(FaceRecord, face_ids)
        return {face.face_id: face.group_id for face in faces if face.group_id and face.user_id is None}

    def faces_of_group(self, group_id: str, *, named: bool = False, limit: int | None = None) -> list[FaceRecord]:
        faces = self._table(FaceRecord).values()
        own = [face for face in faces if face.group_id == group_id and (face.user_id is not None) == named]
        return sorted(own, key=lambda face: (-face.confidence, face.face_id))[:limit]

    def list_faces_of_group(self, group_id: str, limit: int, token: str | None = None) -> Page[FaceRecord]:
        number, key = _parse_numbered(token) if token is not None else (math.inf, "")
        faces = [face for face in self.faces_of_group(group_id) if (-face.confidence, face.face_id) > (-number, key)]
        items = tuple(faces[:limit])
        return Page(items, f"{items[-1].confidence}|{items[-1].face_id}" if len(faces) > limit else None)

    def ungrouped(self, limit: int, token: str | None = None) -> Page[FaceRecord]:
        faces = [face for face in self._table(FaceRecord).values() if face.user_id is None and face.group_id is None]
        last = _parse_token(token) if token is not None else None
        rest = [face for face in sorted(faces, key=_position, reverse=True) if last is None or _position(face) < last]
        items = tuple(rest[:limit])
        return Page(items, "|".join(_position(items[-1])) if len(rest) > limit else None)

    def empty_groups(self) -> list[str]:
        filled = {face.group_id for face in self._table(FaceRecord).values()}
        return [group_id for group_id in self._table(FaceGroup) if group_id not in filled]

    def _counts(self) -> dict[str, GroupCount]:
        moments: dict[str, list[datetime]] = defaultdict(list)
        for face in self._table(FaceRecord).values():
            if face.group_id is not None and face.user_id is None:
                moments[face.group_id].append(face.timestamp)
        return {each: GroupCount(each, len(own), min(own), max(own)) for each, own in moments.items()}

    def delete(self, kind: type[R], keys: Sequence[str]) -> int:
        with self._lock:
            return sum(self._tables[kind].pop(key, None) is not None for key in keys)

    def _table(self, kind: type[R]) -> dict[str, R]:
        with self._lock:
            return dict(self._tables[kind])


def _belongs_to(record: Record, user_ids: set[str]) -> bool:
    named = record.user_ids if isinstance(record, Recognition) else {getattr(record, "user_id", None)}
    return not user_ids.isdisjoint(named)


def _position(record: Record) -> tuple[str, str]:
    return serialization.timestamp(record.timestamp), serialization.key(record)


def _parse_token(token: str) -> tuple[str, str]:
    timestamp, bar, key = token.partition("|")
    if not bar:
        raise InvalidInput("The page token belongs to another listing.")
    return timestamp, key


def _parse_numbered(token: str) -> tuple[float, str]:
    number, key = _parse_token(token)
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInput("The page token belongs to another listing.")
    return value, key
