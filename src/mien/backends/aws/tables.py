"""Describe the three tables, and write records as their items.

FaceMetadata has the key FaceId, RecognitionResults RecognitionId, and MienRecords RecordId, such as
`Upload/uploaded/…`. Every item of a record has `Kind` and `Timestamp`, the key of the index ByTime.

An index takes about 1,000 writes a second for one value of its key. So kinds of which many may come at once are
spread over four values, such as `Recognition/0` to `Recognition/3`, and the uploads of nobody over four owners; days
or months instead would all write to today's. Whoever lists them reads the four and merges, and the plain value, too,
which earlier versions wrote.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from mien.backends import serialization
from mien.domain.groups import DismissedFace, FaceGroup
from mien.domain.records import (
    Consent,
    Erasure,
    ErasureReceipt,
    FaceRecord,
    NameClaim,
    Person,
    Recognition,
    Record,
    Upload,
)

Item = dict[str, Any]

OWNER = "Owner"  # of an upload or a receipt. Not UserId: their table's index ByUser would hold people and erasures too
NOBODY = " "  # begins the owner of an upload without a user: no user id begins with a space
SHARDS = 4
SHARDED = frozenset({FaceRecord, NameClaim, Person, Recognition, Upload})


@dataclass(frozen=True, slots=True)
class Table:
    """The DynamoDB table of one kind of record.

    Attributes:
        name: The table's name.
        key: The attribute that is the table's key.
        prefix: What precedes the record's key in the item's key.
        user: The key attribute of the index ByUser, if there is one.
        image: The key attribute of the index ByImage, if there is one.
    """

    name: str
    key: str
    prefix: str = ""
    user: str | None = None
    image: str | None = None

    def item_key(self, key: str) -> str:
        return self.prefix + key

    def record_key(self, item_key: str) -> str:
        """Return the record's key of an index entry's. A recognition's entry ends in a slash and a user id."""
        return item_key.removeprefix(self.prefix) if self.prefix else item_key.partition("/")[0]

    def where(self, item_key: str) -> dict[str, Any]:
        """Return what tells DynamoDB an item of the table."""
        return {"TableName": self.name, "Key": to_dynamo({self.key: item_key})}


Tables = Mapping[type, Table]


def tables(faces: str, recognitions: str, records: str) -> dict[type, Table]:
    """Return the tables by kind of record; the arguments are the tables' names."""
    return {
        FaceRecord: Table(faces, "FaceId", user="UserId", image="ImagePath"),
        Recognition: Table(recognitions, "RecognitionId", user="UserId", image="ImagePath"),
        Upload: Table(records, "RecordId", "Upload/", user=OWNER),
        Person: Table(records, "RecordId", "Person/"),
        NameClaim: Table(records, "RecordId", "NameClaim/"),
        Consent: Table(records, "RecordId", "Consent/"),
        Erasure: Table(records, "RecordId", "Erasure/"),
        ErasureReceipt: Table(records, "RecordId", "ErasureReceipt/", user=OWNER),
        FaceGroup: Table(records, "RecordId", "FaceGroup/", user=OWNER),
        DismissedFace: Table(records, "RecordId", "DismissedFace/"),
    }


def items(table: Table, record: Record) -> list[Item]:
    """Return the items of a record, the one that has all of it last."""
    return [*entries(record), main_item(table, record)]


def main_item(table: Table, record: Record) -> Item:
    """Return the item that has all of a record."""
    key, kind = serialization.key(record), type(record)
    item = {**serialization.to_item(record), table.key: table.item_key(key), "Kind": kind.__name__}
    if kind in SHARDED:
        item["Kind"] = sharded(kind.__name__, key)
    if isinstance(record, Upload):
        item[OWNER] = record.user_id or owner_of_nobody(key)
    elif isinstance(record, ErasureReceipt | FaceGroup) and record.user_id is not None:
        item[OWNER] = record.user_id
    return item


def entries(record: Record) -> list[Item]:
    """Return one small item for each person that a recognition names: an item has one UserId only."""
    if not isinstance(record, Recognition):
        return []
    at = serialization.timestamp(record.timestamp)
    return [
        {"RecognitionId": f"{record.recognition_id}/{user}", "UserId": user, "Timestamp": at}
        for user in sorted(record.user_ids)
    ]


def is_of(kind: type, item: Item) -> bool:
    """Tell whether an item has all of a record of a kind: entries have no kind."""
    return str(item.get("Kind", "")).partition("/")[0] == kind.__name__


def sharded(value: str, key: str) -> str:
    """Return the value of an index's key under which the record of a key is, of the four for one value."""
    return f"{value}/{zlib.crc32(key.encode()) % SHARDS}"


def owner_of_nobody(image_path: str) -> str:
    """Return the owner of an upload without a user."""
    return sharded(NOBODY, image_path)


def shards(value: str) -> list[str]:
    """Return all values of an index's key that stand for one value, with the one that earlier versions wrote."""
    return [value, *(f"{value}/{number}" for number in range(SHARDS))]


_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def to_dynamo(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _serialize(_decimal(value)) for name, value in item.items()}


def from_dynamo(item: Mapping[str, Any]) -> Item:
    return {name: _deserialize(value) for name, value in item.items()}


def _decimal(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))  # the shortest decimal that gives the same float back
    if isinstance(value, dict):
        return {name: _decimal(part) for name, part in value.items()}
    return [_decimal(part) for part in value] if isinstance(value, list) else value
