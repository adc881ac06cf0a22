"""Page tokens: opaque, bound to the listing that made them, and naming the place where it goes on."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from mien.errors import InvalidInput
from mien.gallery import checks
from mien.model import Page

T = TypeVar("T")
R = TypeVar("R")
_DIGEST, _PLACE = 12, 8
EVERYTHING = -1
"""SQLite's LIMIT for no limit."""


class Pager:
    """One listing: `about` says which (operation, collection, filters); its token fits no other."""

    def __init__(self, limit: int | None, token: str | None, *about: object) -> None:
        self._listing = hashlib.blake2b(json.dumps(about).encode(), digest_size=_DIGEST).digest()
        self._limit = checks.limit(limit)
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
