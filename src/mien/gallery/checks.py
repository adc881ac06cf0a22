"""What may come in: names, tags, thresholds, limits and embeddings. Anything else is InvalidInput."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import InvalidInput, LimitExceeded

DIMENSION = 128
MOST_TAGS = 200
UNIT_TOLERANCE = 1e-3

_NAMES = {
    "collection id": re.compile(r"[a-zA-Z0-9_.\-]{1,255}"),
    "external image id": re.compile(r"[a-zA-Z0-9_.\-:]{1,255}"),
    "user id": re.compile(r"[a-zA-Z0-9_.\-:]{1,128}"),
}
_LETTERS = {"collection id": "letters, digits, '_', '.' and '-'"}
_TAG = re.compile(r"(?!aws:)[\w\s.:/=+\-@]{1,128}")

Floats = NDArray[np.float32]


def name(kind: str, text: str) -> str:
    """The text, when it may be a collection id, external image id or user id (Rekognition's patterns)."""
    if not _NAMES[kind].fullmatch(text):
        most = 128 if kind == "user id" else 255
        letters = _LETTERS.get(kind, "letters, digits, '_', '.', '-' and ':'")
        raise InvalidInput(f"The {kind} must have 1 to {most} characters: {letters}.")
    return text


def tags(given: Mapping[str, str]) -> dict[str, str]:
    if len(given) > MOST_TAGS:
        raise LimitExceeded(f"A collection has at most {MOST_TAGS} tags.")
    for key, value in given.items():
        if not _TAG.fullmatch(key) or len(value) > 256:
            raise InvalidInput("A tag's key has 1 to 128 characters and its value at most 256.")
    return dict(given)


def percent(threshold: float) -> float:
    if not 0 <= threshold <= 100:
        raise InvalidInput("The threshold must lie between 0 and 100.")
    return threshold


def limit(given: int | None) -> int | None:
    if given is not None and given < 1:
        raise InvalidInput("The limit must be at least 1.")
    return given


def embeddings(given: ArrayLike) -> Floats:
    """Unit rows (n, 128) of float32."""
    rows = np.ascontiguousarray(given, np.float32)
    if rows.ndim != 2 or rows.shape[1] != DIMENSION:
        raise InvalidInput(f"The embeddings must be an array of n rows and {DIMENSION} columns.")
    lengths = np.linalg.norm(rows, axis=1)
    if not np.all(np.abs(lengths - 1) <= UNIT_TOLERANCE):
        raise InvalidInput("The embeddings must be finite and have unit length.")
    return rows
