"""Parse the JSON of a request into Python values, by the shapes of botocore's service model of Rekognition.

JSON types are checked here and base64 is decoded (SerializationException); lengths, ranges, patterns and enums are
checked in `validation`. As on AWS, unknown members are ignored and a null counts as an absent member.

The texts follow those of other AWS services with the same protocol, AWS JSON 1.1; Rekognition's are not published.
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
    """Load Rekognition's service model, which botocore brings along."""
    return ServiceModel(Loader().load_service_model("rekognition", "service-2"), "rekognition")


@cache
def operation_model(name: str) -> OperationModel:
    """Return the model of an operation. Raises botocore's OperationNotFoundError for an unknown name."""
    return service_model().operation_model(name)


def parse(shape: Shape, value: Any) -> Any:
    """Parse a JSON value as the shape describes it.

    Args:
        shape: A shape of the service model.
        value: What `json.loads` returned for it.

    Returns dicts for structures and maps, lists, str, int, float, bool, and bytes for blobs.

    Raises WireError: SerializationException where the JSON type does not fit the shape.
    """
    return _PARSERS[shape.type_name](shape, value)


def _parse_structure(shape: StructureShape, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _type_error(value, "structure")
    members = shape.members
    return {name: parse(members[name], item) for name, item in value.items() if item is not None and name in members}


def _parse_list(shape: ListShape, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _type_error(value, "list")
    if None in value:
        raise WireError("SerializationException", "A list must not contain null.")
    return [parse(shape.member, item) for item in value]


def _parse_map(shape: MapShape, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _type_error(value, "map")
    return {key: parse(shape.value, item) for key, item in value.items() if item is not None}


def _parse_string(_shape: Shape, value: Any) -> str:
    if not isinstance(value, str):
        raise _type_error(value, "String")
    return value


def _parse_blob(_shape: Shape, value: Any) -> bytes:
    text = _parse_string(_shape, value)
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except ValueError as error:
        raise WireError("SerializationException", "A blob must be a base64 string.", cause=str(error)) from None


def _parse_integer(_shape: Shape, value: Any) -> int:
    number = _parse_float(_shape, value)
    if not number.is_integer():
        raise WireError("SerializationException", "NUMBER_VALUE cannot be converted to Integer")
    return int(value)


def _parse_float(_shape: Shape, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(value, "Float")
    try:
        return float(value)
    except OverflowError:
        raise WireError("SerializationException", "NUMBER_VALUE cannot be converted to Float") from None


def _parse_boolean(_shape: Shape, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _type_error(value, "Boolean")
    return value


_PARSERS: dict[str, Callable[[Any, Any], Any]] = {
    "structure": _parse_structure,
    "list": _parse_list,
    "map": _parse_map,
    "string": _parse_string,
    "blob": _parse_blob,
    "integer": _parse_integer,
    "long": _parse_integer,
    "float": _parse_float,
    "double": _parse_float,
    "boolean": _parse_boolean,
}


def _type_error(value: Any, expected: str) -> WireError:
    if isinstance(value, dict | list):
        return WireError("SerializationException", "Start of structure or map found where not expected.")
    kind = {bool: "TRUE_VALUE" if value else "FALSE_VALUE", str: "STRING_VALUE"}.get(type(value), "NUMBER_VALUE")
    return WireError("SerializationException", f"{kind} cannot be converted to {expected}")
