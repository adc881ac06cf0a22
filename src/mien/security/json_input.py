"""Parse JSON that a stranger sent, in time and memory in proportion to its bytes.

A parser makes objects of fifty bytes and more from two bytes, such as `[]`, and holds the interpreter's lock meanwhile.
What structures the text is therefore counted first, which is as fast as copying it.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from mien.domain.errors import InvalidInput

MAX_ESCAPED_SHARE = 1 / 16
"""Of the bytes, those that begin an escape sequence: in base64 with escaped slashes 1 of 64, in texts more, but those
are short."""

SHORT_BYTES = 64 * 1024

NOT_JSON = "The body is not JSON."


def parse_object(body: bytes, max_members: int) -> dict[str, Any]:
    """Return a JSON object.

    Args:
        body: The text, in UTF-8, UTF-16 or UTF-32.
        max_members: How many members and items the object and all in it may have, about: punctuation in texts counts.

    Raises InvalidInput for what is not a JSON object, and for one that has too much in it.
    """
    if sum(body.count(mark) for mark in (b",", b":", b"[", b"{")) > 2 * max_members + 2:
        raise InvalidInput("The JSON in the body has too many members.")
    if len(body) > SHORT_BYTES and body.count(b"\\") > len(body) * MAX_ESCAPED_SHARE:
        raise InvalidInput("The JSON in the body has too many escape sequences.")
    try:
        text = body.decode(json.detect_encoding(body))  # `loads` would let surrogates pass, and is slow at it
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidInput(not_json(error.pos)) from None
    except (ValueError, RecursionError):
        raise InvalidInput(NOT_JSON) from None
    if not isinstance(value, dict):
        raise InvalidInput("The body is not a JSON object.")
    return value


def not_json(position: int) -> str:
    """Say where a body stops being JSON, by the position that the parser tells, which counts from 0."""
    return f"The body is not JSON from character {position + 1:,} on."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
