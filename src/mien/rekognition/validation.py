"""Validate parsed parameters against the constraints of the service model, with error texts in AWS's wording.

botocore's client checks required members, JSON types and minima only; maxima, patterns, enums and the lengths of
blobs reach the server unchecked.

Source: published ValidationException answers of Rekognition; a value prints as Java's `toString` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from mien.rekognition.errors import WireError

_SPACES = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_PYTHON_CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": _SPACES}
MAX_PRINTED_LENGTH = 1024


def validate(shape: Shape, params: dict[str, Any]) -> None:
    """Validate the parameters of an operation.

    Args:
        shape: The operation's input shape.
        params: The parameters, as `parsing.parse` returns them.

    Raises WireError: ValidationException, whose text lists every violation.
    """
    violations = list(_violations(shape, params, ""))
    if violations:
        errors = "error" if len(violations) == 1 else "errors"
        raise WireError(
            "ValidationException",
            f"{len(violations)} validation {errors} detected: " + "; ".join(text for text, _ in violations),
            cause="; ".join(rule for _, rule in violations),
        )


def _violations(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield pairs: the text for the client, and path and rule, without the value, for the log."""
    if isinstance(shape, StructureShape):
        yield from _member_violations(shape, value, path)
        return
    for rule in _violated_rules(shape, value):
        yield _violation(value, path, rule)
    if isinstance(shape, ListShape):
        yield from _item_violations(shape, value, path)
    elif isinstance(shape, MapShape):
        yield from _plain_violations(shape.key, list(value), value, path, "Map keys must satisfy constraint")
        yield from _plain_violations(
            shape.value, list(value.values()), value, path, "Map value must satisfy constraint"
        )


def _member_violations(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, member in shape.members.items():
        member_path = f"{path}.{_lower_camel(name)}" if path else _lower_camel(name)
        if name in value:
            yield from _violations(member, value[name], member_path)
        elif name in shape.required_members:
            yield _violation(None, member_path, "Member must not be null")


def _item_violations(shape: ListShape, value: list[Any], path: str) -> Iterator[tuple[str, str]]:
    if isinstance(shape.member, StructureShape):
        for number, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    else:
        yield from _plain_violations(shape.member, value, value, path, "Member must satisfy constraint")


def _plain_violations(
    shape: Shape, items: list[Any], container: Any, path: str, prefix: str
) -> Iterator[tuple[str, str]]:
    """Yield one violation for a list or map of plain values, however many of its items violate the rules."""
    if any(True for item in items for _ in _violated_rules(shape, item)):
        yield _violation(container, path, f"{prefix}: [{', '.join(text for text, _ in _rules(shape))}]")


def _violated_rules(shape: Shape, value: Any) -> Iterator[str]:
    return (text for text, holds in _rules(shape) if not holds(value))


@cache
def _rules(shape: Shape) -> tuple[tuple[str, Any], ...]:
    """Return the shape's constraints: the text of each, and a function of a value that tells whether it holds."""
    bounds, rules = shape.metadata, []
    measure, measured = (float, "value") if shape.type_name in ("integer", "long", "float") else (len, "length")
    if "max" in bounds:
        rules.append(
            (f"Member must have {measured} less than or equal to {bounds['max']}",
             lambda value: measure(value) <= bounds["max"])
        )  # fmt: skip
    if "min" in bounds:
        rules.append(
            (f"Member must have {measured} greater than or equal to {bounds['min']}",
             lambda value: measure(value) >= bounds["min"])
        )  # fmt: skip
    if "pattern" in bounds:
        pattern = _java_pattern(bounds["pattern"])
        rules.append((f"Member must satisfy regular expression pattern: {bounds['pattern']}", pattern.fullmatch))
    if "enum" in bounds:
        allowed = frozenset(bounds["enum"])
        rules.append((f"Member must satisfy enum value set: [{', '.join(bounds['enum'])}]", allowed.__contains__))
    return tuple(rules)


def _java_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of the model; Python's `re` has no Unicode categories."""
    for java, python in _PYTHON_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


def _violation(value: Any, path: str, rule: str) -> tuple[str, str]:
    text = f"Value {_as_java_prints(value)} at '{path}' failed to satisfy constraint: {rule}"
    return text, f"{path}: {rule}"


def _as_java_prints(value: Any) -> str:
    """Return the value as Java prints it, in quotes and cut to 1,024 characters."""
    match value:
        case None:
            return "null"
        case bytes():
            size = len(value)
            printed = f"java.nio.HeapByteBuffer[pos=0 lim={size} cap={size}]"
        case list():
            printed = f"[{', '.join(map(str, value))}]"
        case dict():
            printed = "{" + ", ".join(f"{key}={item}" for key, item in value.items()) + "}"
        case _:
            printed = str(value)
    return f"'{printed[:MAX_PRINTED_LENGTH]}'"


def _lower_camel(name: str) -> str:
    return name[:1].lower() + name[1:]
