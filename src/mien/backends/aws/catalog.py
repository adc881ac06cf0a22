"""Keep the metadata in DynamoDB.

Three tables hold ten kinds of records: FaceMetadata (key FaceId), RecognitionResults (key RecognitionId), and
MienRecords for uploads, people, reserved names, consents, erasures and their receipts (key RecordId, such as
`Upload/uploaded/…`).
Every item has `Kind` and `Timestamp`. The indexes ByTime, ByUser, ByImage and, for uploads, ByDigest are sorted by
timestamp and hold keys only.

`get` reads consistently. `find` asks an index for keys and then reads the items consistently: it never returns
deleted records, but a new one may appear a moment later, usually well under a second. In this point alone this
backend is weaker than the embedded one.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from mien.app.ports import R
from mien.backends import serialization
from mien.backends.aws.clients import BACKOFF, batches, code, domain_errors
from mien.domain.errors import InvalidInput, Overloaded
from mien.domain.faces import Page
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
from mien.domain.results import FaceSummary

GET_BATCH = 100
WRITE_BATCH = 100
MAX_FACES = 1_000_000  # of one person
MAX_KEY_BYTES = 2048
OWNER = "Owner"  # of an upload or a receipt. Not UserId: their table's index ByUser would hold people and erasures too
EARLIEST, LATEST = "0", "9999"  # before and after every timestamp
NOBODY = " "  # the owner of an upload without a user: no user id is blank, and an index takes no empty text


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


class DynamoCatalog:
    """The catalog port on DynamoDB."""

    def __init__(self, client: Any, tables: Mapping[type, Table], result_days: int | None = None) -> None:
        """Use tables that exist.

        Args:
            client: A boto3 client of DynamoDB.
            tables: The table of each kind of record.
            result_days: Days after which a recognition expires; None keeps recognitions.
        """
        self._dynamodb, self._tables, self._result_days = client, tables, result_days

    def put(
        self,
        *records: Record,
        fresh: Sequence[Record] = (),
        gone: Sequence[Record] = (),
        unchanged: Sequence[Record] = (),
    ) -> bool:
        writes = [self._put(record, item) for record in records for item in _items(self._tables[type(record)], record)]
        removals = list(self._removals(gone, writes))
        for record in unchanged:
            _require([*removals, *writes], _main_item(self._tables[type(record)], record), record)
        writes += [self._put(record, _main_item(self._tables[type(record)], record), is_fresh=True) for record in fresh]
        with domain_errors():
            if len(writes) == 1 and not fresh and not gone and not unchanged:
                self._dynamodb.put_item(**writes[0])
                return True
            try:
                self._transact([*({"Delete": each} for each in removals), *({"Put": each} for each in writes)])
            except ClientError as error:
                if _is_taken(error):
                    return False
                raise
        return True

    def get(self, kind: type[R], keys: Sequence[str]) -> list[R]:
        table = self._tables[kind]
        found: dict[str, R] = {}
        valid = [key for key in dict.fromkeys(keys) if 0 < len(key.encode()) <= MAX_KEY_BYTES // 2]
        with domain_errors():
            for portion in batches(valid, GET_BATCH):
                for item in self._read(table, [table.item_key(key) for key in portion]):
                    if item.get("Kind") == kind.__name__:
                        record = serialization.from_item(kind, item)
                        found[serialization.key(record)] = record
        return [found[key] for key in keys if key in found]

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
        table = self._tables[kind]
        if of_nobody:
            user_id = NOBODY
        user_ids = [user_id] if user_id is None or isinstance(user_id, str) else list(user_id)
        indexes = [_index(table, kind, each, image_path, digest) for each in user_ids]
        if any(attribute is None for _, attribute, _ in indexes):
            records = self.get(kind, [value for *_, value in indexes])
            return Page(tuple(r for r in records if _is_within(r, since, until)), None)
        entries: dict[str, dict[str, Any]] = {}  # by the record's key: a recognition may be in several of the indexes
        with domain_errors():
            for index, attribute, value in indexes:
                query = _query(table, index, attribute or "", value, since, until)
                if token is not None:
                    start = _start(token, table)
                    if kind is Recognition and index == "ByUser":
                        start[table.key] = f"{table.record_key(start[table.key])}/{value}"
                    query["ExclusiveStartKey"] = _to_dynamo(start | {attribute or "": value})
                for entry in self._entries(query, limit + 1):
                    entries.setdefault(table.record_key(entry[table.key]), entry)
        if len(indexes) > 1:
            entries = dict(sorted(entries.items(), key=lambda item: (item[1]["Timestamp"], item[0]), reverse=True))
        keys = list(entries)
        token = _token(entries[keys[limit - 1]], table) if len(keys) > limit else None
        return Page(tuple(self.get(kind, keys[:limit])), token)

    def _entries(self, query: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
        """Yield the first entries of an index; DynamoDB ends a page at 1 MB, or earlier, whatever is asked for."""
        while True:
            page = self._dynamodb.query(**query, Limit=limit)
            yield from map(_from_dynamo, page["Items"])
            limit -= len(page["Items"])
            if limit <= 0 or "LastEvaluatedKey" not in page:
                return
            query = query | {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def summarize_faces(self, user_ids: Collection[str]) -> dict[str, FaceSummary]:
        face_ids = {user_id: self._face_ids(user_id) for user_id in user_ids}  # newest first
        faces = {face.face_id: face for face in self.get(FaceRecord, [*chain.from_iterable(face_ids.values())])}
        found: dict[str, FaceSummary] = {}
        for user_id, ids in face_ids.items():
            known = [faces[face_id] for face_id in ids if face_id in faces and not faces[face_id].negative]
            if known:
                found[user_id] = FaceSummary(len(known), known[0])
        return found

    def _face_ids(self, user_id: str) -> list[str]:
        table = self._tables[FaceRecord]
        query = _query(table, "ByUser", table.user or "", user_id, None, None)
        with domain_errors():
            return [entry[table.key] for entry in self._entries(query, MAX_FACES)]

    def list_uploads_of_nobody(self, image_paths: Sequence[str], *, write: bool) -> int:
        table = self._tables[Upload]
        with domain_errors():
            keys = [table.item_key(path) for path in image_paths]
            items = [item for portion in batches(keys, GET_BATCH) for item in self._read(table, portion)]
            unlisted = [item for item in items if OWNER not in item]
            if write:
                for item in unlisted:
                    self._list_upload_of_nobody(table, item)
        return len(unlisted)

    def delete(self, kind: type[R], keys: Sequence[str]) -> int:
        table = self._tables[kind]
        if kind is Recognition:
            return sum(self._delete_recognition(table, r) for r in self.get(Recognition, keys))
        with domain_errors():
            return sum(self._delete(table, table.item_key(key)) for key in dict.fromkeys(keys))

    def _put(self, record: Record, item: Mapping[str, Any], *, is_fresh: bool = False) -> dict[str, Any]:
        table = self._tables[type(record)]
        write = {"TableName": table.name, "Item": _to_dynamo({**item, **self._expiry(record)})}
        if is_fresh:
            write |= {"ConditionExpression": "attribute_not_exists(#k)", "ExpressionAttributeNames": {"#k": table.key}}
        return write

    def _list_upload_of_nobody(self, table: Table, item: Mapping[str, Any]) -> None:
        try:
            self._dynamodb.put_item(
                TableName=table.name,
                Item=_to_dynamo({**item, OWNER: NOBODY}),
                ConditionExpression="attribute_exists(#k) AND attribute_not_exists(#o) AND #t = :t",
                ExpressionAttributeNames={"#k": table.key, "#o": OWNER, "#t": "Timestamp"},
                ExpressionAttributeValues=_to_dynamo({":t": item["Timestamp"]}),
            )
        except ClientError as error:
            if code(error) != "ConditionalCheckFailedException":  # deleted or written anew meanwhile: all is well
                raise

    def _delete(self, table: Table, key: str) -> bool:
        response = self._dynamodb.delete_item(
            TableName=table.name, Key=_to_dynamo({table.key: key}), ReturnValues="ALL_OLD"
        )
        return "Attributes" in response

    def _delete_recognition(self, table: Table, record: Recognition) -> int:
        keys = [*(entry[table.key] for entry in _entries(record)), record.recognition_id]
        with domain_errors():
            self._transact({"Delete": {"TableName": table.name, "Key": _to_dynamo({table.key: key})}} for key in keys)
        return 1

    def _removals(self, gone: Sequence[Record], writes: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Delete what is gone, with its entries, but for what is written at once."""
        tables = [(self._tables[type(record)], record) for record in gone]
        items = ((table, item[table.key]) for table, record in tables for item in _items(table, record))
        for table, key in items:
            where = {"TableName": table.name, "Key": _to_dynamo({table.key: key})}
            if not any(_is_at(write, where) for write in writes):
                yield where

    def _transact(self, writes: Iterable[dict[str, Any]]) -> None:
        """Write up to 100 items at once or not at all. Of more, the last batch has the recognition itself."""
        for portion in batches(list(writes), WRITE_BATCH):
            self._dynamodb.transact_write_items(TransactItems=list(portion))

    def _read(self, table: Table, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        remaining = [_to_dynamo({table.key: key}) for key in keys]
        for pause in BACKOFF:
            request = {table.name: {"Keys": remaining, "ConsistentRead": True}}
            response = self._dynamodb.batch_get_item(RequestItems=request)
            yield from map(_from_dynamo, response["Responses"].get(table.name, ()))
            remaining = response.get("UnprocessedKeys", {}).get(table.name, {}).get("Keys", [])
            if not remaining:
                return
            time.sleep(pause)
        raise Overloaded("The table accepts no more requests at the moment; try again.")

    def _expiry(self, record: Record) -> dict[str, Any]:
        if self._result_days is None or not isinstance(record, Recognition):
            return {}
        return {"ExpiresAt": int((record.timestamp + timedelta(days=self._result_days)).timestamp())}


def _index(
    table: Table, kind: type, user_id: str | None, image_path: str | None, digest: str | None
) -> tuple[str, str | None, str]:
    """Return an index, its key attribute and the value to look for. No attribute: the value is the record's own key."""
    if user_id is not None:
        return "ByUser", table.user, user_id
    if image_path is not None:
        return "ByImage", table.image, image_path
    if digest is not None:
        return "ByDigest", "Digest", digest
    return "ByTime", "Kind", kind.__name__


def _is_within(record: Record, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or record.timestamp >= since) and (until is None or record.timestamp <= until)


def _query(
    table: Table, index: str, attribute: str, value: str, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    condition, values = "#a = :v", {":v": value}
    names = {"#a": attribute}
    if since is not None or until is not None:  # a key condition has one comparison of the sort key at most
        condition += " AND #t BETWEEN :s AND :u"
        names["#t"] = "Timestamp"
        values[":s"] = serialization.timestamp(since) if since else EARLIEST
        values[":u"] = serialization.timestamp(until) if until else LATEST
    return {
        "TableName": table.name,
        "IndexName": index,
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": _to_dynamo(values),
        "ScanIndexForward": False,
    }


def _token(entry: dict[str, Any], table: Table) -> str:
    return base64.urlsafe_b64encode(json.dumps([entry[table.key], entry["Timestamp"]]).encode()).decode()


def _start(token: str, table: Table) -> dict[str, str]:
    try:
        key, timestamp = json.loads(base64.urlsafe_b64decode(token.encode()))
        return {table.key: str(key), "Timestamp": serialization.timestamp(datetime.fromisoformat(timestamp))}
    except (ValueError, TypeError) as error:
        raise InvalidInput("The page token belongs to another listing.") from error


def _is_at(write: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """Whether a write replaces the item of a table's key."""
    is_of_table: bool = write["TableName"] == where["TableName"]
    return is_of_table and where["Key"].items() <= write["Item"].items()


def _place(write: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes that hold the key of what is put or deleted, among others."""
    place: Mapping[str, Any] = write.get("Key") or write["Item"]
    return place


def _is_taken(error: ClientError) -> bool:
    """Tell whether a transaction was cancelled because an item that had to be new exists."""
    reasons = error.response.get("CancellationReasons", ())
    return any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons)


def _require(writes: Sequence[dict[str, Any]], item: Mapping[str, Any], record: Record) -> None:
    """Make what replaces or removes an item depend on the item being stored as it is given."""
    key = next(name for name in ("RecordId", "FaceId", "RecognitionId") if name in item)
    (write,) = (each for each in writes if _place(each).get(key) == _to_dynamo({key: item[key]})[key])
    names, values, conditions = {}, {}, []
    for number, name in enumerate(dict.fromkeys((*item, *serialization.attributes(type(record))))):
        names[f"#a{number}"] = name
        is_missing, is_equal = f"attribute_not_exists(#a{number})", f"#a{number} = :a{number}"
        if name not in item:
            conditions.append(is_missing)
            continue
        values[f":a{number}"] = item[name]
        may_lack = isinstance(record, Person) and name == "Name" and record.name == record.user_id  # as once stored
        conditions.append(f"({is_equal} OR {is_missing})" if may_lack else is_equal)
    write["ConditionExpression"] = " AND ".join(conditions)
    write["ExpressionAttributeNames"], write["ExpressionAttributeValues"] = names, _to_dynamo(values)


def _items(table: Table, record: Record) -> list[dict[str, Any]]:
    return [*_entries(record), _main_item(table, record)]


def _main_item(table: Table, record: Record) -> dict[str, Any]:
    item = serialization.to_item(record)
    extra = {}
    if isinstance(record, Upload | ErasureReceipt):
        extra = {OWNER: record.user_id or NOBODY}
    elif isinstance(record, FaceGroup) and record.user_id is not None:
        extra = {OWNER: record.user_id}
    return {**item, **extra, table.key: table.item_key(serialization.key(record)), "Kind": type(record).__name__}


def _entries(record: Record) -> list[dict[str, Any]]:
    """Return one small item for each person that a recognition names: an item has one UserId only."""
    if not isinstance(record, Recognition):
        return []
    at = serialization.timestamp(record.timestamp)
    return [
        {"RecognitionId": f"{record.recognition_id}/{user}", "UserId": user, "Timestamp": at}
        for user in sorted(record.user_ids)
    ]


_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def _to_dynamo(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _serialize(_decimal(value)) for name, value in item.items()}


def _from_dynamo(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def _decimal(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))  # the shortest decimal that gives the same float back
    if isinstance(value, dict):
        return {name: _decimal(part) for name, part in value.items()}
    return [_decimal(part) for part in value] if isinstance(value, list) else value
