"""Keep the metadata in SQLite: a table per kind of record, as `mien.backends.embedded.database` describes them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from mien.app.ports import R
from mien.backends import serialization
from mien.backends.embedded.database import FACE_SUMMARIES, STATEMENTS, truncate_wal
from mien.domain.errors import InvalidInput
from mien.domain.faces import Page
from mien.domain.records import FaceRecord, FaceSummary, Recognition, Record
from mien.gallery.store.database import Database, Transaction


class SqliteCatalog:
    """Implements `mien.app.ports.Catalog` in mien.db."""

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
        records = _records(kind, self._database.read(statement, [*values, limit + 1]))
        items = tuple(records[:limit])
        return Page(items, _token(items[-1]) if len(records) > limit else None)

    def list_uploads_of_nobody(self, image_paths: Sequence[str], *, write: bool) -> int:
        return 0  # `find` goes by the uploads themselves

    def summarize_faces(self, user_ids: Collection[str]) -> dict[str, FaceSummary]:
        rows = self._database.read(FACE_SUMMARIES, (json.dumps(list(user_ids)),))
        return {
            user_id: FaceSummary(count, serialization.from_item(FaceRecord, json.loads(newest)))
            for user_id, count, newest, _ in rows
        }

    def delete(self, kind: type[R], keys: Sequence[str]) -> int:
        if not keys:
            return 0
        with self._database.write() as transaction:
            count = _delete(transaction, kind, keys)
        truncate_wal(self._database)
        return count


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
    return [serialization.from_item(kind, json.loads(item)) for (item,) in rows]


def _token(record: Record) -> str:
    return f"{serialization.timestamp(record.timestamp)}|{serialization.key(record)}"


def _parse_token(token: str) -> tuple[str, str]:
    timestamp, bar, key = token.partition("|")
    if not bar:
        raise InvalidInput("The page token belongs to another listing.")
    return timestamp, key
