"""Parsed values go in, what breaks the model's constraints comes out, in AWS's own wording.

botocore's client checks required members, types and minima only; maxima, patterns, enums and blob lengths
reach the server unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from mien.rekognition.errors import WireError

SPACES = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
JAVA_CLASSES = {r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": SPACES}
LONGEST_ECHO = 1024


def check(shape: Shape, params: dict[str, Any]) -> None:
    """Raise ValidationException with everything that is wrong with the parameters."""
    found = list(_violations(shape, params, ""))
    if found:
        errors = "error" if len(found) == 1 else "errors"
        raise WireError(
            "ValidationException",
            f"{len(found)} validation {errors} detected: " + "; ".join(text for text, _ in found),
            cause="; ".join(place for _, place in found),
        )


def _violations(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Pairs: the text for the client, and the place and the rule (without the value) for the log."""
    if isinstance(shape, StructureShape):
        yield from _members(shape, value, path)
        return
    for rule in _broken(shape, value):
        yield _violation(value, path, rule)
    if isinstance(shape, ListShape):
        yield from _items(shape, value, path)
    elif isinstance(shape, MapShape):
        yield from _parts(shape.key, list(value), value, path, "Map keys must satisfy constraint")
        yield from _parts(shape.value, list(value.values()), value, path, "Map value must satisfy constraint")


def _members(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, member in shape.members.items():
        place = f"{path}.{_lower_first(name)}" if path else _lower_first(name)
        if name in value:
            yield from _violations(member, value[name], place)
        elif name in shape.required_members:
            yield _violation(None, place, "Member must not be null")


def _items(shape: ListShape, value: list[Any], path: str) -> Iterator[tuple[str, str]]:
    if isinstance(shape.member, StructureShape):
        for number, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    else:
        yield from _parts(shape.member, value, value, path, "Member must satisfy constraint")


def _parts(shape: Shape, items: list[Any], whole: Any, path: str, lead: str) -> Iterator[tuple[str, str]]:
    """One violation for a list or map of plain values, however many of them break the rules."""
    if any(True for item in items for _ in _broken(shape, item)):
        yield _violation(whole, path, f"{lead}: [{', '.join(text for text, _ in _rules(shape))}]")


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    return (text for text, holds in _rules(shape) if not holds(value))


@cache
def _rules(shape: Shape) -> tuple[tuple[str, Any], ...]:
    bounds, rules = shape.metadata, []
    measure, what = (float, "value") if shape.type_name in ("integer", "long", "float") else (len, "length")
    if "max" in bounds:
        rules.append(
            (f"Member must have {what} less than or equal to {bounds['max']}",
             lambda value: measure(value) <= bounds["max"])
        )  # fmt: skip
    if "min" in bounds:
        rules.append(
            (f"Member must have {what} greater than or equal to {bounds['min']}",
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
    for java, python in JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)


def _violation(value: Any, path: str, rule: str) -> tuple[str, str]:
    text = f"Value {_java(value)} at '{path}' failed to satisfy constraint: {rule}"
    return text, f"{path}: {rule}"


def _java(value: Any) -> str:
    """A value as Java prints it, quoted; what is very long is cut."""
    match value:
        case None:
            return "null"
        case bytes():
            size = len(value)
            shown = f"java.nio.HeapByteBuffer[pos=0 lim={size} cap={size}]"
        case list():
            shown = f"[{', '.join(map(str, value))}]"
        case dict():
            shown = "{" + ", ".join(f"{key}={item}" for key, item in value.items()) + "}"
        case _:
            shown = str(value)
    return f"'{shown[:LONGEST_ECHO]}'"


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]
