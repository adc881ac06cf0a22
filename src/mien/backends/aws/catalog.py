"""Catalog on DynamoDB.

`get` reads consistently. `find` asks an index for keys and then reads the items consistently: it never
shows what was deleted, but DynamoDB may take a moment (usually well under a second) until it shows what
was just put. That is the one point where this backend is weaker than the embedded one.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from mien.app.ports import R
from mien.backends import serialization
from mien.backends.aws.calls import BACKOFF, batches, domain_errors
from mien.backends.aws.tables import Table, Tables, entries, from_dynamo, main_item, to_dynamo
from mien.domain.errors import InvalidInput, Overloaded
from mien.domain.faces import Page
from mien.domain.records import Recognition, Record

GET_AT_ONCE = 100
WRITE_AT_ONCE = 100
MAX_KEY_BYTES = 2048


class DynamoCatalog:
    """Five kinds of records in three tables; recognitions expire after `result_days`."""

    def __init__(self, client: Any, tables: Tables, result_days: int | None = None) -> None:
        self._dynamodb, self._tables, self._result_days = client, tables, result_days

    def put(self, record: Record) -> None:
        table = self._tables[type(record)]
        written = [*entries(record), main_item(table, record)]
        expiry = self._expiry(record)
        with domain_errors():
            if len(written) == 1:
                self._dynamodb.put_item(TableName=table.name, Item=to_dynamo(written[0] | expiry))
                return
            self._transact({"Put": {"TableName": table.name, "Item": to_dynamo(i | expiry)}} for i in written)

    def get(self, kind: type[R], keys: Sequence[str]) -> list[R]:
        table = self._tables[kind]
        found: dict[str, R] = {}
        possible = [key for key in dict.fromkeys(keys) if 0 < len(key.encode()) <= MAX_KEY_BYTES // 2]
        with domain_errors():
            for portion in batches(possible, GET_AT_ONCE):
                for item in self._read(table, [table.item_key(key) for key in portion]):
                    if item.get("Kind") == kind.__name__:
                        record = serialization.record(kind, item)
                        found[serialization.key(record)] = record
        return [found[key] for key in keys if key in found]

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
        table = self._tables[kind]
        index, attribute, value = _index(table, kind, user_id, image_path)
        if attribute is None:
            return Page(tuple(r for r in self.get(kind, [value]) if since is None or r.timestamp >= since), None)
        query = _query(table, index, attribute, value, since) | {"Limit": limit + 1}
        if cursor is not None:
            query["ExclusiveStartKey"] = to_dynamo(_start(cursor, table) | {attribute: value})
        with domain_errors():
            entries = [from_dynamo(entry) for entry in self._dynamodb.query(**query)["Items"]]
        shown = entries[:limit]
        token = _cursor(shown[-1], table) if len(entries) > limit else None
        return Page(tuple(self.get(kind, [table.record_key(entry[table.key]) for entry in shown])), token)

    def delete(self, kind: type[R], keys: Sequence[str]) -> int:
        table = self._tables[kind]
        if kind is Recognition:
            return sum(self._delete_recognition(table, r) for r in self.get(Recognition, keys))
        with domain_errors():
            return sum(self._delete(table, table.item_key(key)) for key in dict.fromkeys(keys))

    def _delete(self, table: Table, key: str) -> bool:
        answer = self._dynamodb.delete_item(
            TableName=table.name, Key=to_dynamo({table.key: key}), ReturnValues="ALL_OLD"
        )
        return "Attributes" in answer

    def _delete_recognition(self, table: Table, record: Recognition) -> int:
        names = [*(entry[table.key] for entry in entries(record)), record.recognition_id]
        with domain_errors():
            self._transact({"Delete": {"TableName": table.name, "Key": to_dynamo({table.key: name})}} for name in names)
        return 1

    def _transact(self, writes: Iterable[dict[str, Any]]) -> None:
        """All or nothing up to 100 writes; beyond, the recognition itself comes last."""
        for portion in batches(list(writes), WRITE_AT_ONCE):
            self._dynamodb.transact_write_items(TransactItems=list(portion))

    def _read(self, table: Table, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        wanted = [to_dynamo({table.key: key}) for key in keys]
        for pause in BACKOFF:
            answer = self._dynamodb.batch_get_item(RequestItems={table.name: {"Keys": wanted, "ConsistentRead": True}})
            yield from map(from_dynamo, answer["Responses"].get(table.name, ()))
            wanted = answer.get("UnprocessedKeys", {}).get(table.name, {}).get("Keys", [])
            if not wanted:
                return
            time.sleep(pause)
        raise Overloaded("The table takes no more requests at the moment; try again.")

    def _expiry(self, record: Record) -> dict[str, Any]:
        if self._result_days is None or not isinstance(record, Recognition):
            return {}
        return {"ExpiresAt": int((record.timestamp + timedelta(days=self._result_days)).timestamp())}


def _index(table: Table, kind: type, user_id: str | None, image_path: str | None) -> tuple[str, str | None, str]:
    """(index, its attribute, value); no attribute: the value is the record's own key."""
    if user_id is not None:
        return "ByUser", table.user, user_id
    if image_path is not None:
        return "ByImage", table.image, image_path
    return "ByTime", "Kind", kind.__name__


def _query(table: Table, index: str, attribute: str, value: str, since: datetime | None) -> dict[str, Any]:
    condition, values = "#a = :v", {":v": value}
    names = {"#a": attribute}
    if since is not None:
        condition += " AND #t >= :t"
        names["#t"], values[":t"] = "Timestamp", serialization.stamp(since)
    return {
        "TableName": table.name,
        "IndexName": index,
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": to_dynamo(values),
        "ScanIndexForward": False,
    }


def _cursor(entry: dict[str, Any], table: Table) -> str:
    return base64.urlsafe_b64encode(json.dumps([entry[table.key], entry["Timestamp"]]).encode()).decode()


def _start(cursor: str, table: Table) -> dict[str, str]:
    try:
        key, timestamp = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return {table.key: str(key), "Timestamp": serialization.stamp(datetime.fromisoformat(timestamp))}
    except (ValueError, TypeError) as error:
        raise InvalidInput("The page token is not one of this listing.") from error
