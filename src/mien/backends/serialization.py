"""Convert records to items and back: maps of strings, numbers, lists and maps with the attribute names used on AWS.

A record's first field is its key; `FaceRecord.face_id` becomes `FaceId`. Timestamps are ISO 8601 in UTC and all of the
same length, so that their order as text is their order in time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from mien.domain.records import Person, Record

R = TypeVar("R", bound=Record)
Item = dict[str, Any]

_RENAMED = {"box": "BoundingBox"}


def to_item(record: Record) -> Item:
    """Return a record as an item; values that are None, False or empty are left out."""
    encoded: Item = _encode(record)
    return encoded


def from_item(kind: type[R], item: Mapping[str, Any]) -> R:
    """Return the record of an item that `to_item` made; other attributes are ignored."""
    if kind is Person and "Name" not in item:  # stored when people had no names
        item = {**item, "Name": item["UserId"]}
    decoded: R = _decoder(cast("Hashable", kind))(item)
    return decoded


def key_name(kind: type[Any]) -> str:
    """Return the attribute that is the key of a kind of record."""
    return attribute(fields(kind)[0].name)


def key(record: Record) -> str:
    """Return a record's key."""
    value: str = getattr(record, fields(record)[0].name)
    return value


def attributes(kind: type[Any]) -> list[str]:
    """Return the attributes that an item of a kind of record may have."""
    return [attribute(part.name) for part in fields(kind) if part.metadata.get("stored", True)]


@cache
def attribute(field_name: str) -> str:
    """Return the attribute of a field: `image_path` is `ImagePath`."""
    return _RENAMED.get(field_name) or "".join(word.capitalize() for word in field_name.split("_"))


def timestamp(moment: datetime) -> str:
    """Return an aware time as text, in microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _encode(value: Any) -> Any:
    if is_dataclass(value):
        stored = (part.name for part in fields(value) if part.metadata.get("stored", True))
        encoded = {attribute(name): _encode(getattr(value, name)) for name in stored}
        return {name: part for name, part in encoded.items() if part is not None and part is not False and part != []}
    if isinstance(value, tuple):
        return [_encode(part) for part in value]
    if isinstance(value, datetime):
        return timestamp(value)
    return str(value) if isinstance(value, StrEnum) else value


@cache
def _decoder(kind: Hashable) -> Callable[[Any], Any]:
    """Return the function that reads values of a type; made once, for hints are slow to ask."""
    if isinstance(kind, UnionType):
        decode = _decoder(get_args(kind)[0])
        return lambda value: None if value is None else decode(value)
    if get_origin(kind) is tuple:
        decode = _decoder(get_args(kind)[0])
        return lambda value: tuple(map(decode, value or ()))
    if isinstance(kind, type) and is_dataclass(kind):
        make: Callable[..., Any] = kind
        parts = [(name, attribute(name), _decoder(hint)) for name, hint in get_type_hints(kind).items()]
        # Of a number that a former version did not store, the default holds.
        numbers = {part.name for part in fields(kind) if type(part.default) in {int, float}}
        return lambda value: make(
            **{name: decode(value.get(key)) for name, key, decode in parts if key in value or name not in numbers}
        )
    read: Any = datetime.fromisoformat if kind is datetime else kind
    return cast("Callable[[Any], Any]", read)
