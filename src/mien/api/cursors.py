"""Sign and verify page cursors, which are the page tokens of listings as clients get them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query

from mien.domain.errors import InvalidInput
from mien.security.signing import Signer

MAX_CURSOR_LENGTH = 600
"""No cursor is longer: the longest names a person of 80 bytes, on the backend with the longest tokens."""

Cursor = Annotated[
    str | None, Query(max_length=MAX_CURSOR_LENGTH, description="The `next_cursor` of the previous page.")
]


class Cursors:
    """Signs page tokens, so that a client can neither change them nor use them for another listing.

    A client can read the token in a cursor, which names the last item of the page before. The listing's filters are
    in it as a keyed hash only.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, listing: Mapping[str, object], token: str | None) -> str | None:
        """Return the cursor of a listing's next page; None after the last one.

        Args:
            listing: The listing's name and filters.
            token: The `next_token` of the page before.
        """
        return None if token is None else self._signer.sign("cursor", {"of": self._hash(listing), "at": token})

    def verify(self, listing: Mapping[str, object], cursor: str | None) -> str | None:
        """Return the page token of a cursor; None stands for the first page.

        Raises:
            InvalidInput: The cursor was changed, or belongs to another listing.
        """
        if cursor is None:
            return None
        claims = self._signer.verify("cursor", cursor)
        if claims["of"] != self._hash(listing):
            raise InvalidInput("The cursor belongs to another listing.")
        return str(claims["at"])

    def _hash(self, listing: Mapping[str, object]) -> str:
        return self._signer.hash("&".join(f"{name}={value}" for name, value in sorted(listing.items())))
