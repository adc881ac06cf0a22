"""Keep the metadata in DynamoDB, in the tables that `mien.backends.aws.tables` describes.

`get` reads consistently. `find` asks an index for keys and then reads the items consistently: it never returns
deleted records, but a new one may appear a moment later, usually well under a second. In this point alone this
backend is weaker than the embedded one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from mien.backends import serialization
from mien.backends.aws.clients import batches, code, domain_errors
from mien.backends.aws.face_counts import FaceCounts
from mien.backends.aws.index_queries import Span, choose_index, list_keys, token_after
from mien.backends.aws.tables import (
    OWNER,
    Item,
    Table,
    Tables,
    entries,
    is_of,
    items,
    owner_of_nobody,
    to_dynamo,
)
from mien.backends.aws.transactions import (
    READ_BATCH,
    Write,
    is_free,
    is_stored,
    read,
    repeat,
    transact,
    with_condition,
)
from mien.domain.faces import Page
from mien.domain.records import FaceRecord, R, Recognition, Record, Upload, take_page
from mien.domain.results import FaceSummary

MAX_KEY_BYTES = 2048
FACES_AT_ONCE = 50  # that go in one transaction, each perhaps with another user's count


class DynamoCatalog:
    """The catalog port on DynamoDB."""

    def __init__(self, client: Any, tables: Tables, result_days: int | None = None) -> None:
        """Use tables that exist.

        Args:
            client: A boto3 client of DynamoDB.
            tables: The table of each kind of record.
            result_days: Days after which a recognition expires; None keeps recognitions.
        """
        self._dynamodb, self._tables, self._result_days = client, tables, result_days
        self._counts = FaceCounts(client, tables)

    def put(
        self,
        *records: Record,
        fresh: Sequence[Record] = (),
        gone: Sequence[Record] = (),
        unchanged: Sequence[Record] = (),
    ) -> bool:
        writes = self._writes(records, fresh, gone, unchanged)
        faces = [record for record in (*records, *fresh) if isinstance(record, FaceRecord)]
        gone_faces = [record.face_id for record in gone if isinstance(record, FaceRecord)]
        with domain_errors():
            if len(writes) == 1 and not faces and not writes[0].condition.expression and writes[0].item is not None:
                self._dynamodb.put_item(**writes[0].request()["Put"])
                return True
            return repeat(lambda: transact(self._dynamodb, self._counted(writes, faces, gone_faces)))

    def get(self, kind: type[R], keys: Sequence[str]) -> list[R]:
        table = self._tables[kind]
        found: dict[str, R] = {}
        valid = [key for key in dict.fromkeys(keys) if 0 < len(key.encode()) <= MAX_KEY_BYTES // 2]
        with domain_errors():
            for portion in batches(valid, READ_BATCH):
                for item in read(self._dynamodb, table, [table.item_key(key) for key in portion]):
                    if is_of(kind, item):
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
        chosen = choose_index(table, kind, user_id, image_path, digest, of_nobody)
        if chosen.attribute is None:
            records = self.get(kind, chosen.values)
            return Page(tuple(r for r in records if _is_within(r, since, until)), None)
        with domain_errors():
            keys = list_keys(self._dynamodb, table, chosen, Span.of(since, until), limit, token)
        stored = (record for portion in batches(keys.items, READ_BATCH) for record in self.get(kind, portion))
        page, is_cut = take_page(stored, limit)
        return Page(page, token_after(page[-1]) if is_cut else keys.next_token)

    def summarize_faces(self, user_ids: Collection[str]) -> dict[str, FaceSummary]:
        with domain_errors():
            return self._counts.summarize(user_ids)

    def recount_faces(self, user_ids: Collection[str], *, write: bool) -> list[str]:
        with domain_errors():
            found = list(self._counts.miscounted(user_ids))
            for user_id in found if write else ():
                self._counts.recount(user_id)
        return found

    def list_uploads_of_nobody(self, image_paths: Sequence[str], *, write: bool) -> int:
        table = self._tables[Upload]
        with domain_errors():
            keys = [table.item_key(path) for path in image_paths]
            stored = [item for keys in batches(keys, READ_BATCH) for item in read(self._dynamodb, table, keys)]
            unlisted = [item for item in stored if OWNER not in item]
            if write:
                for item in unlisted:
                    self._list_upload_of_nobody(table, item)
        return len(unlisted)

    def delete(self, kind: type[R], keys: Sequence[str]) -> int:
        table = self._tables[kind]
        with domain_errors():
            if kind is Recognition:
                return sum(self._delete_recognition(table, r) for r in self.get(Recognition, keys))
            if kind is FaceRecord:
                portions = batches(list(dict.fromkeys(keys)), FACES_AT_ONCE)
                return sum(repeat(partial(self._delete_faces, table, portion)) for portion in portions)
            return sum(self._delete(table, table.item_key(key)) for key in dict.fromkeys(keys))

    def _writes(
        self,
        records: Sequence[Record],
        fresh: Sequence[Record],
        gone: Sequence[Record],
        unchanged: Sequence[Record],
    ) -> list[Write]:
        """Return the writes that `put` asks for, those that others depend on last."""
        puts = [write for record in records for write in self._puts(record)]
        places = {(write.table.name, write.key) for write in puts}
        removals = [write for record in gone for write in self._removals(record)]
        writes = [*(write for write in removals if (write.table.name, write.key) not in places), *puts]
        for record in unchanged:
            table = self._tables[type(record)]
            writes = with_condition(writes, table.item_key(serialization.key(record)), is_stored(table, record))
        return writes + [
            replace(self._puts(record)[-1], condition=is_free(self._tables[type(record)])) for record in fresh
        ]

    def _puts(self, record: Record) -> list[Write]:
        table, more = self._tables[type(record)], self._expiry(record)
        return [Write(table, item[table.key], item | more) for item in items(table, record)]

    def _removals(self, record: Record) -> list[Write]:
        table = self._tables[type(record)]
        return [Write(table, item[table.key]) for item in items(table, record)]

    def _counted(self, writes: Sequence[Write], faces: Sequence[FaceRecord], gone: Sequence[str]) -> list[Write]:
        """Let writes of face records change the counts of their users, too."""
        if not faces and not gone:
            return list(writes)
        conditions, of_counts = self._counts.writes(faces, gone)
        table = self._tables[FaceRecord]
        on_faces = [
            replace(write, condition=conditions[write.key], is_repeated=True)
            if write.table is table and not write.condition.expression
            else write
            for write in writes
        ]
        return [*on_faces, *of_counts]

    def _delete_faces(self, table: Table, face_ids: Sequence[str]) -> int:
        found = [face.face_id for face in self.get(FaceRecord, face_ids)]
        if found:
            transact(self._dynamodb, self._counted([Write(table, face_id) for face_id in found], (), found))
        return len(found)

    def _list_upload_of_nobody(self, table: Table, item: Item) -> None:
        path = table.record_key(item[table.key])
        try:
            self._dynamodb.put_item(
                TableName=table.name,
                Item=to_dynamo({**item, OWNER: owner_of_nobody(path)}),
                ConditionExpression="attribute_exists(#k) AND attribute_not_exists(#o) AND #t = :t",
                ExpressionAttributeNames={"#k": table.key, "#o": OWNER, "#t": "Timestamp"},
                ExpressionAttributeValues=to_dynamo({":t": item["Timestamp"]}),
            )
        except ClientError as error:
            if code(error) != "ConditionalCheckFailedException":  # deleted or written anew meanwhile: all is well
                raise

    def _delete(self, table: Table, key: str) -> bool:
        response = self._dynamodb.delete_item(**table.where(key), ReturnValues="ALL_OLD")
        return "Attributes" in response

    def _delete_recognition(self, table: Table, record: Recognition) -> int:
        keys = [*(entry[table.key] for entry in entries(record)), record.recognition_id]
        repeat(lambda: transact(self._dynamodb, [Write(table, key) for key in keys]))
        return 1

    def _expiry(self, record: Record) -> Item:
        if self._result_days is None or not isinstance(record, Recognition):
            return {}
        return {"ExpiresAt": int((record.timestamp + timedelta(days=self._result_days)).timestamp())}


def _is_within(record: Record, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or record.timestamp >= since) and (until is None or record.timestamp <= until)
