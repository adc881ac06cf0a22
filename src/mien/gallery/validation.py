"""What may come in: names, tags, thresholds, limits and embeddings. Anything else is InvalidInput.

Page tokens: opaque, bound to the listing that made them, and naming the place where it goes on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.domain.errors import InvalidInput, LimitExceeded
from mien.domain.faces import Page

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


def positive_limit(given: int | None) -> int | None:
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


T = TypeVar("T")
R = TypeVar("R")
_DIGEST, _PLACE = 12, 8
EVERYTHING = -1
"""SQLite's LIMIT for no limit."""


class Pager:
    """One listing: `about` says which (operation, collection, filters); its token fits no other."""

    def __init__(self, limit: int | None, token: str | None, *about: object) -> None:
        self._listing = hashlib.blake2b(json.dumps(about).encode(), digest_size=_DIGEST).digest()
        self._limit = positive_limit(limit)
        self.after = self._place(token) if token is not None else 0

    @property
    def fetch(self) -> int:
        """How many rows to read: one more than a page, which says whether another page follows."""
        return EVERYTHING if self._limit is None else self._limit + 1

    def page(self, rows: Sequence[R], item: Callable[[R], T], place: Callable[[R], int]) -> Page[T]:
        """The page of the rows read, and the token when they go on."""
        kept = rows if self._limit is None else rows[: self._limit]
        more = len(rows) > len(kept)
        return Page(tuple(map(item, kept)), self._token(place(kept[-1])) if more else None)

    def _token(self, place: int) -> str:
        return base64.urlsafe_b64encode(self._listing + place.to_bytes(_PLACE, "big", signed=True)).decode().rstrip("=")

    def _place(self, token: str) -> int:
        try:
            content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if len(content) != _DIGEST + _PLACE or content[:_DIGEST] != self._listing:
            raise InvalidInput("The page token does not belong to this listing.")
        return int.from_bytes(content[_DIGEST:], "big", signed=True)
