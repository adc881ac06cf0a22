"""The catalog in SQLite: a table per kind of record, under the names that the tables have on AWS.

A row is the item as JSON, with the attributes that are looked for in columns of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mien.app.ports import R
from mien.backends import serialization
from mien.backends.embedded.database import scrub
from mien.domain.errors import InvalidInput
from mien.domain.faces import Page
from mien.domain.records import Erasure, FaceRecord, Person, Recognition, Record, Upload
from mien.gallery.store.database import Database, Transaction

TABLES: dict[type[Any], str] = {
    FaceRecord: "FaceMetadata",
    Recognition: "RecognitionResults",
    Upload: "Uploads",
    Person: "People",
    Erasure: "Erasures",
}


def _schema(kind: type[Any]) -> str:
    table, key = TABLES[kind], serialization.key_name(kind)
    others = [column for column in ("UserId", "ImagePath") if column != key]
    columns = "".join(f"{column} TEXT, " for column in others)
    indexes = "".join(
        f"CREATE INDEX IF NOT EXISTS {table}_{column} ON {table} ({column}, Timestamp, {key});" for column in others
    )
    return (
        f"CREATE TABLE IF NOT EXISTS {table} ({key} TEXT PRIMARY KEY, {columns}"
        f"Timestamp TEXT NOT NULL, Item TEXT NOT NULL) WITHOUT ROWID;"
        f"CREATE INDEX IF NOT EXISTS {table}_Timestamp ON {table} (Timestamp, {key});{indexes}"
    )


SCHEMA = (
    "".join(map(_schema, TABLES))
    + """
CREATE TABLE IF NOT EXISTS RecognitionUsers (
  UserId TEXT, RecognitionId TEXT, PRIMARY KEY (UserId, RecognitionId)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS RecognitionUsers_RecognitionId ON RecognitionUsers (RecognitionId);
"""
)


class SqliteCatalog:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, record: Record) -> None:
        kind, item = type(record), serialization.item(record)
        row: dict[str, Any] = {name: item[name] for name in ("UserId", "ImagePath", "Timestamp") if name in item}
        row |= {serialization.key_name(kind): serialization.key(record), "Item": json.dumps(item, ensure_ascii=False)}
        marks = ", ".join("?" * len(row))
        statement = f"INSERT OR REPLACE INTO {TABLES[kind]} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608
        with self._database.write() as transaction:
            transaction.execute(statement, list(row.values()))
            if isinstance(record, Recognition):
                _link_users(transaction, record)

    def get(self, kind: type[R], keys: Sequence[str]) -> list[R]:
        if not keys:
            return []
        key = serialization.key_name(kind)
        statement = f"SELECT Item FROM json_each(?) JOIN {TABLES[kind]} ON {key} = value ORDER BY json_each.key"  # noqa: S608
        return _records(kind, self._database.read(statement, (json.dumps(list(keys)),)))

    def find(
        self,
        kind: type[R],
        *,
        user_id: str | None = None,
        image_path: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[R]:
        wanted = _conditions(kind, user_id, image_path, since, cursor)
        statement = (
            f"SELECT Item FROM {TABLES[kind]} WHERE {' AND '.join(wanted) or 'TRUE'} "  # noqa: S608
            f"ORDER BY Timestamp DESC, {serialization.key_name(kind)} DESC LIMIT ?"
        )
        values = [value for part in wanted.values() for value in part]
        found = _records(kind, self._database.read(statement, [*values, limit + 1]))
        page = tuple(found[:limit])
        return Page(page, _cursor(page[-1]) if len(found) > limit else None)

    def delete(self, kind: type[R], keys: Sequence[str]) -> int:
        if not keys:
            return 0
        rows = [(key,) for key in keys]
        with self._database.write() as transaction:
            gone = transaction.executemany(
                f"DELETE FROM {TABLES[kind]} WHERE {serialization.key_name(kind)} = ?",  # noqa: S608
                rows,
            ).rowcount
            if kind is Recognition:
                transaction.executemany("DELETE FROM RecognitionUsers WHERE RecognitionId = ?", rows)
        scrub(self._database)
        return gone


def _conditions(
    kind: type[Any], user_id: str | None, image_path: str | None, since: datetime | None, cursor: str | None
) -> dict[str, Sequence[str]]:
    """What the rows wanted have to fulfil, each with the values of its question marks."""
    key = serialization.key_name(kind)
    of_user = "UserId = ?"
    if kind is Recognition:
        of_user = f"{key} IN (SELECT RecognitionId FROM RecognitionUsers WHERE UserId = ?)"  # noqa: S608
    wanted: dict[str, Sequence[str]] = {}
    if user_id is not None:
        wanted[of_user] = [user_id]
    if image_path is not None:
        wanted["ImagePath = ?"] = [image_path]
    if since is not None:
        wanted["Timestamp >= ?"] = [serialization.stamp(since)]
    if cursor is not None:
        wanted[f"(Timestamp, {key}) < (?, ?)"] = _parse(cursor)
    return wanted


def _link_users(transaction: Transaction, recognition: Recognition) -> None:
    transaction.executemany(
        "INSERT OR IGNORE INTO RecognitionUsers VALUES (?, ?)",
        [(user_id, recognition.recognition_id) for user_id in sorted(recognition.user_ids)],
    )


def _records(kind: type[R], rows: list[tuple[Any, ...]]) -> list[R]:
    return [serialization.record(kind, json.loads(item)) for (item,) in rows]


def _cursor(record: Record) -> str:
    return f"{serialization.stamp(record.timestamp)}|{serialization.key(record)}"


def _parse(cursor: str) -> tuple[str, str]:
    stamp, bar, key = cursor.partition("|")
    if not bar:
        raise InvalidInput("The cursor is not one of this listing.")
    return stamp, key
