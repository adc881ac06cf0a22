"""Which kind of record lies in which DynamoDB table, under which key, and by what it is found.

Three tables: FaceMetadata (key FaceId), RecognitionResults (key RecognitionId), and one for the
application's own books: uploads, people and erasures (key RecordId, `Upload/uploaded/…`). Every item
has `Kind` and `Timestamp`; the indexes ByTime, ByUser and ByImage end in the timestamp and hold keys only.

Plain items <-> DynamoDB's typed ones; its numbers are decimal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from mien.backends import serialization
from mien.domain.records import Erasure, FaceRecord, Person, Recognition, Record, Upload

OWNER = "Owner"  # of an upload: not called UserId, or people and erasures would stand in the same index


@dataclass(frozen=True, slots=True)
class Table:
    """`prefix` precedes the record's key in the item's; `user` is the attribute of the index ByUser."""

    name: str
    key: str
    prefix: str = ""
    user: str | None = None
    image: str | None = None

    def item_key(self, key: str) -> str:
        return self.prefix + key

    def record_key(self, item_key: str) -> str:
        """Of an entry of an index; what follows the slash of a recognition's entry is the user named."""
        return item_key.removeprefix(self.prefix) if self.prefix else item_key.partition("/")[0]


Tables = Mapping[type, Table]


def tables(faces: str, recognitions: str, records: str) -> Tables:
    """By the kinds of records; the arguments are the tables' names."""
    return {
        FaceRecord: Table(faces, "FaceId", user="UserId", image="ImagePath"),
        Recognition: Table(recognitions, "RecognitionId", user="UserId", image="ImagePath"),
        Upload: Table(records, "RecordId", "Upload/", user=OWNER),
        Person: Table(records, "RecordId", "Person/"),
        Erasure: Table(records, "RecordId", "Erasure/"),
    }


def main_item(table: Table, record: Record) -> dict[str, Any]:
    item = serialization.item(record)
    extra = {OWNER: record.user_id} if isinstance(record, Upload) and record.user_id is not None else {}
    return {**item, **extra, table.key: table.item_key(serialization.key(record)), "Kind": type(record).__name__}


def entries(record: Record) -> list[dict[str, Any]]:
    """A recognition may name many people but an item has one UserId: one small item more for each of them."""
    if not isinstance(record, Recognition):
        return []
    at = serialization.stamp(record.timestamp)
    return [
        {"RecognitionId": f"{record.recognition_id}/{user}", "UserId": user, "Timestamp": at}
        for user in sorted(record.user_ids)
    ]


_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def to_dynamo(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _serialize(_decimal(value)) for name, value in item.items()}


def from_dynamo(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def _decimal(value: Any) -> Any:
    """`repr` is the shortest text that gives the same float back."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: _decimal(part) for name, part in value.items()}
    return [_decimal(part) for part in value] if isinstance(value, list) else value
