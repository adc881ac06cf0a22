"""Check arguments: names, tags, thresholds, limits and embeddings. Each check raises InvalidInput."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.domain.errors import InvalidInput, LimitExceeded
from mien.domain.faces import EMBEDDING_DIMENSION

MAX_TAGS = 200
MAX_TAG_VALUE = 256
UNIT_TOLERANCE = 1e-3
"""How far the length of an embedding may be from 1."""

_NAMES = {
    "collection id": re.compile(r"[a-zA-Z0-9_.\-]{1,255}"),
    "external image id": re.compile(r"[a-zA-Z0-9_.\-:]{1,255}"),
    "user id": re.compile(r"[a-zA-Z0-9_.\-:]{1,128}"),
}
_CHARACTERS = {"collection id": "letters, digits, '_', '.' and '-'"}
_TAG_KEY = re.compile(r"(?!aws:)[\w\s.:/=+\-@]{1,128}")


def name(kind: str, text: str) -> str:
    """Return `text` if it is a valid "collection id", "external image id" or "user id" (Rekognition's patterns)."""
    if not _NAMES[kind].fullmatch(text):
        longest = 128 if kind == "user id" else 255
        characters = _CHARACTERS.get(kind, "letters, digits, '_', '.', '-' and ':'")
        raise InvalidInput(f"The {kind} must have 1 to {longest} characters: {characters}.")
    return text


def tags(given: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of the tags. Raises LimitExceeded beyond 200."""
    if len(given) > MAX_TAGS:
        raise LimitExceeded(f"A collection has at most {MAX_TAGS} tags.")
    for key, value in given.items():
        if not _TAG_KEY.fullmatch(key) or len(value) > MAX_TAG_VALUE:
            raise InvalidInput(f"A tag's key has 1 to 128 characters and its value at most {MAX_TAG_VALUE}.")
    return dict(given)


def percent(threshold: float) -> float:
    """Return a similarity between 0 and 100."""
    if not 0 <= threshold <= 100:
        raise InvalidInput("The threshold must lie between 0 and 100.")
    return threshold


def positive_limit(limit: int | None) -> int | None:
    """Return a limit of at least 1, or None for no limit."""
    if limit is not None and limit < 1:
        raise InvalidInput("The limit must be at least 1.")
    return limit


def embeddings(given: ArrayLike) -> NDArray[np.float32]:
    """Return unit vectors (n, 128) as a contiguous float32 array."""
    try:
        with np.errstate(over="ignore"):  # what float32 has no number for is infinite, and refused
            vectors = np.ascontiguousarray(given, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput("The embeddings must be numbers, and rows of one length.") from error
    if vectors.ndim != 2 or vectors.shape[1] != EMBEDDING_DIMENSION:
        raise InvalidInput(f"The embeddings must be an array of n rows and {EMBEDDING_DIMENSION} columns.")
    if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE):
        raise InvalidInput("The embeddings must be finite and have unit length.")
    return vectors
