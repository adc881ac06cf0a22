"""Keep the metadata in SQLite: a table per kind of record, as `mien.backends.embedded.database` describes them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from mien.backends import serialization
from mien.backends.embedded.database import truncate_wal
from mien.backends.embedded.statements import (
    COUNT_GROUPS,
    EMPTY_GROUPS,
    FACE_SUMMARIES,
    FACES_OF_GROUP,
    GROUPS_OF,
    LIST_FACES_OF_GROUP,
    LIST_GROUPS,
    STATEMENTS,
    UNGROUPED,
)
from mien.domain.errors import InvalidInput
from mien.domain.faces import Page
from mien.domain.groups import GroupCount
from mien.domain.records import FaceRecord, R, Recognition, Record, take_page
from mien.domain.results import FaceSummary
from mien.gallery.store.database import UNREADABLE, Database, Transaction, damaged_record

_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?(e-?\d{1,3})?", re.ASCII)
_ABOVE_ALL = "1000"
"""More than any confidence, which are percentages."""


class SqliteCatalog:
    """Implements `mien.app.group_ports.GroupCatalog` in mien.db."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        *records: Record,
        fresh: Sequence[Record] = (),
        gone: Sequence[Record] = (),
        unchanged: Sequence[Record] = (),
    ) -> bool:
        with self._database.write() as transaction:
            for record in unchanged:
                rows = transaction.read(STATEMENTS[type(record)].get, (json.dumps([serialization.key(record)]),))
                if _records(type(record), rows) != [record]:
                    return False
            for record in fresh:
                if transaction.read(STATEMENTS[type(record)].get, (json.dumps([serialization.key(record)]),)):
                    return False
            for record in gone:
                _delete(transaction, type(record), [serialization.key(record)])
            for record in (*records, *fresh):
                _put(transaction, record)
        if gone:
            truncate_wal(self._database)
        return True

    def get(self, kind: type[R], keys: Sequence[str]) -> list[R]:
        if not keys:
            return []
        return _records(kind, self._database.read(STATEMENTS[kind].get, (json.dumps(list(keys)),)))

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
        sql = STATEMENTS[kind]
        conditions: dict[str, Sequence[str]] = {}
        if isinstance(user_id, str):
            conditions[sql.of_user] = [user_id]
        elif user_id is not None:
            conditions[sql.of_users] = [json.dumps(list(user_id))]
        if image_path is not None:
            conditions[sql.of_image] = [image_path]
        if digest is not None:
            conditions[sql.of_digest] = [digest]
        if since is not None:
            conditions[sql.since] = [serialization.timestamp(since)]
        if until is not None:
            conditions[sql.until] = [serialization.timestamp(until)]
        if of_nobody:
            conditions[sql.of_nobody] = []
        if token is not None:
            conditions[sql.before] = _parse_token(token)
        statement = " ".join([sql.find, " AND ".join(conditions) or "TRUE", sql.newest_first])
        values = [value for values in conditions.values() for value in values]
        with self._database.rows(statement, [*values, limit + 1]) as rows:
            items, has_more = take_page((_record(kind, row) for row in rows), limit)
        return Page(items, _token(items[-1]) if has_more else None)

    def list_uploads_of_nobody(self, image_paths: Sequence[str], *, write: bool) -> int:
        return 0  # `find` goes by the uploads themselves

    def summarize_faces(self, user_ids: Collection[str]) -> dict[str, FaceSummary]:
        rows = self._database.read(FACE_SUMMARIES, (json.dumps(list(user_ids)),))
        return {user_id: FaceSummary(count, _record(FaceRecord, (newest,))) for user_id, count, newest, _ in rows}

    def recount_faces(self, user_ids: Collection[str], *, write: bool) -> list[str]:
        return []  # numbers of faces are not kept

    def list_groups(self, min_faces: int, *, skipped: bool, limit: int, token: str | None = None) -> Page[GroupCount]:
        last = _parse_numbered(token) if token is not None else ("9" * 18, "")
        rows = self._database.read(LIST_GROUPS, (skipped, min_faces, float(last[0]), last[1], limit + 1))
        counts = tuple(map(_count, rows[:limit]))
        return Page(counts, f"{counts[-1].faces}|{counts[-1].group_id}" if len(rows) > limit else None)

    def count_groups(self, group_ids: Sequence[str]) -> dict[str, GroupCount]:
        counts = map(_count, self._database.read(COUNT_GROUPS, (json.dumps(list(group_ids)),)))
        return {count.group_id: count for count in counts}

    def groups_of(self, face_ids: Sequence[str]) -> dict[str, str]:
        return dict(self._database.read(GROUPS_OF, (json.dumps(list(face_ids)),)))

    def faces_of_group(self, group_id: str, *, named: bool = False, limit: int | None = None) -> list[FaceRecord]:
        limit = -1 if limit is None else limit
        return _records(FaceRecord, self._database.read(FACES_OF_GROUP, (group_id, named, limit)))

    def list_faces_of_group(self, group_id: str, limit: int, token: str | None = None) -> Page[FaceRecord]:
        last = _parse_numbered(token) if token is not None else (_ABOVE_ALL, "")
        rows = self._database.read(LIST_FACES_OF_GROUP, (group_id, *last, limit + 1))
        faces = _records(FaceRecord, rows[:limit])
        next_token = f"{json.dumps(faces[-1].confidence)}|{faces[-1].face_id}" if len(rows) > limit else None
        return Page(tuple(faces), next_token)

    def ungrouped(self, limit: int, token: str | None = None) -> Page[FaceRecord]:
        before = _parse_token(token) if token is not None else ("9", "")
        faces = _records(FaceRecord, self._database.read(UNGROUPED, (*before, limit + 1)))
        return Page(tuple(faces[:limit]), _token(faces[limit - 1]) if len(faces) > limit else None)

    def empty_groups(self) -> list[str]:
        return [group_id for (group_id,) in self._database.read(EMPTY_GROUPS)]

    def delete(self, kind: type[R], keys: Sequence[str]) -> int:
        if not keys:
            return 0
        with self._database.write() as transaction:
            count = _delete(transaction, kind, keys)
        truncate_wal(self._database)
        return count


def _count(row: tuple[str, int, str, str]) -> GroupCount:
    group_id, faces, first, last = row
    try:
        return GroupCount(group_id, faces, datetime.fromisoformat(first), datetime.fromisoformat(last))
    except UNREADABLE as error:
        raise damaged_record(STATEMENTS[FaceRecord].table) from error


def _put(transaction: Transaction, record: Record) -> None:
    kind, item = type(record), serialization.to_item(record)
    row: dict[str, Any] = {name: item.get(name) for name in ("UserId", "ImagePath", "Timestamp")}
    row |= {serialization.key_name(kind): serialization.key(record), "Item": json.dumps(item, ensure_ascii=False)}
    transaction.execute(STATEMENTS[kind].put, row)
    if isinstance(record, Recognition):
        transaction.executemany(
            "INSERT OR IGNORE INTO RecognitionUsers VALUES (?, ?)",
            [(user_id, record.recognition_id) for user_id in sorted(record.user_ids)],
        )


def _delete(transaction: Transaction, kind: type[R], keys: Sequence[str]) -> int:
    rows = [(key,) for key in keys]
    if kind is Recognition:
        transaction.executemany("DELETE FROM RecognitionUsers WHERE RecognitionId = ?", rows)
    return transaction.executemany(STATEMENTS[kind].delete, rows).rowcount


def _records(kind: type[R], rows: list[tuple[Any, ...]]) -> list[R]:
    return [_record(kind, row) for row in rows]


def _record(kind: type[R], row: tuple[Any, ...]) -> R:
    try:
        return serialization.from_item(kind, json.loads(row[0]))
    except UNREADABLE as error:
        raise damaged_record(STATEMENTS[kind].table) from error


def _token(record: Record) -> str:
    return f"{serialization.timestamp(record.timestamp)}|{serialization.key(record)}"


def _parse_token(token: str) -> tuple[str, str]:
    timestamp, bar, key = token.partition("|")
    if not bar:
        raise InvalidInput("The page token belongs to another listing.")
    return timestamp, key


def _parse_numbered(token: str) -> tuple[str, str]:
    number, key = _parse_token(token)
    if not _NUMBER.fullmatch(number):
        raise InvalidInput("The page token belongs to another listing.")
    return number, key
