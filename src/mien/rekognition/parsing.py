"""A JSON request goes in, checked Python values come out, by the shapes of botocore's service model.

Types are checked here (SerializationException, base64 decoded to bytes); lengths, ranges, patterns and enums in
`constraints`. As on AWS, unknown members are ignored and a null is the same as an absent member.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from mien.rekognition.errors import WireError


@cache
def service_model() -> ServiceModel:
    """Rekognition's service model, as botocore carries it."""
    return ServiceModel(Loader().load_service_model("rekognition", "service-2"), "rekognition")


@cache
def operation_model(name: str) -> OperationModel:
    return service_model().operation_model(name)


def parse(shape: Shape, value: Any) -> Any:
    """Read a JSON value as a shape: dicts, lists, str, int, float, bool and bytes.

    Raises WireError (SerializationException) where the JSON type is another one.
    """
    return _PARSERS[shape.type_name](shape, value)


def _structure(shape: StructureShape, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unexpected(value, "structure")
    members = shape.members
    return {name: parse(members[name], given) for name, given in value.items() if given is not None and name in members}


def _list(shape: ListShape, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _unexpected(value, "list")
    if None in value:
        raise WireError("SerializationException", "A list must not contain null.")
    return [parse(shape.member, item) for item in value]


def _map(shape: MapShape, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unexpected(value, "map")
    return {key: parse(shape.value, item) for key, item in value.items() if item is not None}


def _string(_shape: Shape, value: Any) -> str:
    if not isinstance(value, str):
        raise _unexpected(value, "String")
    return value


def _blob(_shape: Shape, value: Any) -> bytes:
    text = _string(_shape, value)
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except ValueError as error:
        raise WireError("SerializationException", "A blob must be a base64 string.", cause=str(error)) from None


def _integer(_shape: Shape, value: Any) -> int:
    number = _float(_shape, value)
    if not number.is_integer():
        raise WireError("SerializationException", "NUMBER_VALUE cannot be converted to Integer")
    return int(value)


def _float(_shape: Shape, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unexpected(value, "Float")
    try:
        return float(value)
    except OverflowError:
        raise WireError("SerializationException", "NUMBER_VALUE cannot be converted to Float") from None


def _boolean(_shape: Shape, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _unexpected(value, "Boolean")
    return value


_PARSERS: dict[str, Callable[[Any, Any], Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "blob": _blob,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "boolean": _boolean,
}


def _unexpected(value: Any, wanted: str) -> WireError:
    if isinstance(value, dict | list):
        return WireError("SerializationException", "Start of structure or map found where not expected.")
    kind = {bool: "TRUE_VALUE" if value else "FALSE_VALUE", str: "STRING_VALUE"}.get(type(value), "NUMBER_VALUE")
    return WireError("SerializationException", f"{kind} cannot be converted to {wanted}")
