"""Cut listings into pages."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from mien.domain.errors import InvalidInput
from mien.domain.faces import Page
from mien.gallery import validation
from mien.gallery.store.database import NO_LIMIT

T = TypeVar("T")
R = TypeVar("R")

_DIGEST_BYTES, _ROW_BYTES = 12, 8


class Pager:
    """Cuts one listing into pages.

    A page token is opaque, names the row after which the next page begins, and belongs to the listing that made it.

    Args:
        limit: Items on a page; None for all.
        token: Where the page begins; None for the first one.
        listing: What identifies the listing: operation, collection, filters. JSON values.

    Raises:
        InvalidInput: The limit is below 1, or another listing made the token.
    """

    def __init__(self, limit: int | None, token: str | None, *listing: object) -> None:
        self._listing = hashlib.blake2b(json.dumps(listing).encode(), digest_size=_DIGEST_BYTES).digest()
        self._limit = validation.positive_limit(limit)
        self.after = self._row(token) if token is not None else 0

    @property
    def fetch(self) -> int:
        """How many rows to read: one more than a page, which tells whether another page follows."""
        return NO_LIMIT if self._limit is None else self._limit + 1

    def page(self, rows: Sequence[R], item: Callable[[R], T], row_number: Callable[[R], int]) -> Page[T]:
        """Turn the rows read into a page of items."""
        kept = rows if self._limit is None else rows[: self._limit]
        more = len(rows) > len(kept)
        return Page(tuple(map(item, kept)), self._token(row_number(kept[-1])) if more else None)

    def _token(self, row: int) -> str:
        content = self._listing + row.to_bytes(_ROW_BYTES, "big", signed=True)
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    def _row(self, token: str) -> int:
        try:
            content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if len(content) != _DIGEST_BYTES + _ROW_BYTES or content[:_DIGEST_BYTES] != self._listing:
            raise InvalidInput("The page token belongs to another listing.")
        return int.from_bytes(content[_DIGEST_BYTES:], "big", signed=True)
