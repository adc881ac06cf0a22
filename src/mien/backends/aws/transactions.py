"""Write items of the tables, several at once or not at all, and on conditions."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from mien.backends import serialization
from mien.backends.aws.clients import BACKOFF, batches
from mien.backends.aws.tables import Item, Table, from_dynamo, main_item, to_dynamo
from mien.domain.errors import Overloaded
from mien.domain.records import Person, Record

READ_BATCH = 100
WRITE_BATCH = 100
COLLISION_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds; half of each is left to chance
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of the stored item for a write to be done; of a write that nothing depends on, nothing.

    Attributes:
        expression: DynamoDB's condition expression.
        names, values: What its placeholders stand for.
    """

    expression: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def request(self) -> dict[str, Any]:
        """Return the part of a request that says so."""
        if not self.expression:
            return {}
        request = {"ConditionExpression": self.expression, "ExpressionAttributeNames": dict(self.names)}
        return request | ({"ExpressionAttributeValues": to_dynamo(self.values)} if self.values else {})


@dataclass(frozen=True, slots=True)
class Write:
    """The item that is put in place of another, or that is removed.

    Attributes:
        table: The item's table.
        key: The item's key there.
        item: What is put; None removes.
        condition: What must hold before.
        is_repeated: Whether all is read and tried again when the condition does not hold, instead of given up.
    """

    table: Table
    key: str
    item: Item | None = None
    condition: Condition = field(default_factory=Condition)
    is_repeated: bool = False

    def request(self) -> dict[str, Any]:
        """Return the write as an action of a transaction."""
        if self.item is None:
            return {"Delete": self.table.where(self.key) | self.condition.request()}
        return {"Put": {"TableName": self.table.name, "Item": to_dynamo(self.item)} | self.condition.request()}


class Collision(Exception):
    """Others wrote meanwhile what is to be written: read it, and try again."""


def transact(dynamodb: Any, writes: Sequence[Write]) -> bool:
    """Write up to 100 items at once or not at all, and tell whether their conditions held.

    Of more, the last batch has the record itself. Raises Collision.
    """
    for portion in batches(writes, WRITE_BATCH):
        try:
            dynamodb.transact_write_items(TransactItems=[write.request() for write in portion])
        except ClientError as error:
            reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", ())]
            failed = [w for w, reason in zip(portion, reasons, strict=False) if reason == "ConditionalCheckFailed"]
            if any(not write.is_repeated for write in failed):
                return False
            if failed or "TransactionConflict" in reasons:
                raise Collision from error
            raise
    return True


def repeat(attempt: Callable[[], T]) -> T:
    """Write what others may be writing, too: read and try again when they did. Raises Overloaded at the end."""
    for pause in COLLISION_PAUSES:
        try:
            return attempt()
        except Collision:
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
    raise Overloaded("Others are changing the same records at the same time; try again.")


def read(dynamodb: Any, table: Table, item_keys: Sequence[str]) -> Iterator[Item]:
    """Yield the items of up to 100 keys, as the last write left them. Raises Overloaded."""
    remaining = [to_dynamo({table.key: key}) for key in item_keys]
    for pause in BACKOFF:
        request = {table.name: {"Keys": remaining, "ConsistentRead": True}}
        response = dynamodb.batch_get_item(RequestItems=request)
        yield from map(from_dynamo, response["Responses"].get(table.name, ()))
        remaining = response.get("UnprocessedKeys", {}).get(table.name, {}).get("Keys", [])
        if not remaining:
            return
        time.sleep(pause)
    raise Overloaded("The table accepts no more requests at the moment; try again.")


def is_free(table: Table) -> Condition:
    """Return the condition that there is no item of the key."""
    return Condition("attribute_not_exists(#k)", {"#k": table.key})


def is_stored(table: Table, record: Record) -> Condition:
    """Return the condition that a record is stored exactly as it is given.

    What only indexes need is not compared, because earlier versions wrote other values.
    """
    item = main_item(table, record)
    names, values, parts = {"#k": table.key}, {}, ["attribute_exists(#k)"]
    for number, name in enumerate(serialization.attributes(type(record))):
        names[f"#a{number}"] = name
        is_missing, is_equal = f"attribute_not_exists(#a{number})", f"#a{number} = :a{number}"
        if name not in item:
            parts.append(is_missing)
            continue
        values[f":a{number}"] = item[name]
        may_lack = isinstance(record, Person) and name == "Name" and record.name == record.user_id  # as once stored
        parts.append(f"({is_equal} OR {is_missing})" if may_lack else is_equal)
    return Condition(" AND ".join(parts), names, values)


def with_condition(writes: Sequence[Write], key: str, condition: Condition) -> list[Write]:
    """Make the write of a key depend on a condition."""
    return [replace(write, condition=condition) if write.key == key else write for write in writes]
