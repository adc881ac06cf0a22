"""Plain items <-> DynamoDB's typed ones; its numbers are decimal."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def wire(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _serialize(_decimal(value)) for name, value in item.items()}


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in item.items()}


def _decimal(value: Any) -> Any:
    """`repr` is the shortest text that gives the same float back."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: _decimal(part) for name, part in value.items()}
    return [_decimal(part) for part in value] if isinstance(value, list) else value
