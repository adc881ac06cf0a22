"""Ask the indexes ByTime, ByUser, ByImage and ByDigest for the keys of records, newest first and page by page.

A listing may read several values of an index's key: the ids of a person, or the shards of a kind. Their entries are
merged by timestamp and key, and a page token is the place in that order where the page ended.
"""

from __future__ import annotations

import base64
import heapq
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from mien.backends import serialization
from mien.backends.aws.tables import NOBODY, SHARDED, Table, from_dynamo, shards, to_dynamo
from mien.domain.errors import InvalidInput
from mien.domain.faces import Page
from mien.domain.records import Record

Place = tuple[str, str]
"""The timestamp and the key of a record, as text."""

EARLIEST, LATEST = "0", "9999"  # before and after every timestamp
MAX_READ = 1000


@dataclass(frozen=True, slots=True)
class IndexKeys:
    """The values of an index's key whose entries are listed.

    Attributes:
        index: The index.
        attribute: The attribute that is its key; None when the values are the records' own keys.
        values: The values.
    """

    index: str
    attribute: str | None
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The first and the last moment of a listing, as text."""

    since: str = EARLIEST
    until: str = LATEST

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None) -> Span:
        """Make the span of two moments, each of which may be missing."""
        return cls(
            serialization.timestamp(since) if since else EARLIEST, serialization.timestamp(until) if until else LATEST
        )


def choose_index(
    table: Table,
    kind: type,
    user_id: str | Collection[str] | None,
    image_path: str | None,
    digest: str | None,
    of_nobody: bool,
) -> IndexKeys:
    """Return what answers a listing; the arguments are those of `Catalog.find`."""
    if of_nobody:
        return IndexKeys("ByUser", table.user, tuple(shards(NOBODY)))
    if user_id is not None:
        user_ids = [user_id] if isinstance(user_id, str) else user_id
        return IndexKeys("ByUser", table.user, tuple(dict.fromkeys(user_ids)))
    if image_path is not None:
        return IndexKeys("ByImage", table.image, (image_path,))
    if digest is not None:
        return IndexKeys("ByDigest", "Digest", (digest,))
    name = kind.__name__
    return IndexKeys("ByTime", "Kind", tuple(shards(name)) if kind in SHARDED else (name,))


def list_keys(
    dynamodb: Any, table: Table, chosen: IndexKeys, span: Span, limit: int, token: str | None = None
) -> Page[str]:
    """Return the keys of the newest records, and where the next page begins.

    Args:
        dynamodb: A boto3 client of DynamoDB.
        table: The table of the records.
        chosen: Which entries of which index.
        span: From when to when.
        limit: How many keys at most.
        token: The `next_token` of the page before. Raises InvalidInput for a token of another listing.
    """
    last = _place(token) if token is not None else None
    if last is not None:
        span = Span(span.since, min(span.until, last[0]))
    portion = limit + 2 if len(chosen.values) == 1 else 2 * limit // max(1, len(chosen.values)) + 2
    places = [_places(dynamodb, table, query, portion) for query in _queries(table, chosen, span)]
    merged = (place for place, _ in groupby(heapq.merge(*places, reverse=True)))  # a recognition may name several ids
    found = list(islice((place for place in merged if last is None or place < last), limit + 1))
    return Page(tuple(key for _, key in found[:limit]), _token(found[limit - 1]) if len(found) > limit else None)


def _places(dynamodb: Any, table: Table, query: dict[str, Any], portion: int) -> Iterator[Place]:
    """Yield the places of the entries that a query finds, the latest first; of one moment the one with the last key."""
    places = ((entry["Timestamp"], table.record_key(entry[table.key])) for entry in _entries(dynamodb, query, portion))
    for _, of_one_moment in groupby(places, key=itemgetter(0)):
        yield from sorted(of_one_moment, reverse=True)


def _entries(dynamodb: Any, query: dict[str, Any], portion: int) -> Iterator[dict[str, Any]]:
    """Yield all entries that a query finds; DynamoDB ends a page at 1 MB, or earlier, whatever is asked for."""
    query = query | {"Limit": min(portion, MAX_READ)}
    while True:
        page = dynamodb.query(**query)
        yield from map(from_dynamo, page["Items"])
        if "LastEvaluatedKey" not in page:
            return
        query = query | {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _queries(table: Table, chosen: IndexKeys, span: Span) -> Iterator[dict[str, Any]]:
    for value in chosen.values:
        yield {
            "TableName": table.name,
            "IndexName": chosen.index,
            "KeyConditionExpression": "#a = :v AND #t BETWEEN :s AND :u",
            "ExpressionAttributeNames": {"#a": chosen.attribute, "#t": "Timestamp"},
            "ExpressionAttributeValues": to_dynamo({":v": value, ":s": span.since, ":u": span.until}),
            "ScanIndexForward": False,
        }


def token_after(record: Record) -> str:
    """Return the token of the page that begins after a record."""
    return _token((serialization.timestamp(record.timestamp), serialization.key(record)))


def _token(place: Place) -> str:
    timestamp, key = place
    return base64.urlsafe_b64encode(json.dumps([key, timestamp]).encode()).decode()


def _place(token: str) -> Place:
    try:
        key, timestamp = json.loads(base64.urlsafe_b64decode(token.encode()))
        return serialization.timestamp(datetime.fromisoformat(timestamp)), str(key)
    except (ValueError, TypeError) as error:
        raise InvalidInput("The page token belongs to another listing.") from error
