"""Represent one validated call of an operation, and bind the page tokens that it receives and returns.

AWS does not publish the default size of a page. Here, a listing without MaxResults returns as many items as the API
allows.

Source: Amazon Rekognition API Reference, ListFaces (`MaxResults`, `NextToken`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from mien.domain.faces import Page, QualityFilter
from mien.rekognition.errors import WireError

MAX_PAGE_ITEMS = 4096
MAX_PAGE_USERS = 500
PAGE_TOKEN_PREFIX_LENGTH = 16

Answer = dict[str, Any]
"""The members of an operation's response."""


@dataclass(frozen=True, slots=True)
class Call:
    """One validated call of an operation.

    Attributes:
        operation: The operation's name, such as "IndexFaces".
        params: The parameters by name, parsed and validated.
        caller: The identity of the caller's access key.
        region: The region that the request was signed for; it stands in ARNs.
    """

    operation: str
    params: dict[str, Any]
    caller: str
    region: str

    @property
    def collection_id(self) -> str:
        """The collection that the call concerns."""
        collection_id: str = self.params["CollectionId"]
        return collection_id

    def quality_filter(self, default: QualityFilter) -> QualityFilter:
        """Return the QualityFilter parameter, or the operation's default."""
        return QualityFilter(self.params.get("QualityFilter", default))

    def page_limit(self, max_items: int) -> int:
        """Return MaxResults, or `max_items` when it is absent or 0."""
        return self.params.get("MaxResults") or max_items

    def page_token(self) -> str | None:
        """Return the gallery's token from NextToken, None for the first page.

        A NextToken is bound to operation, collection and filters; the page size may change between pages. Raises
        WireError: InvalidPaginationTokenException for the token of another listing.
        """
        token: str | None = self.params.get("NextToken")
        if token is None:
            return None
        if not token.startswith(self._page_token_prefix()) or len(token) == PAGE_TOKEN_PREFIX_LENGTH:
            raise WireError("InvalidPaginationTokenException", "Invalid pagination token")
        return token[PAGE_TOKEN_PREFIX_LENGTH:]

    def next_token(self, page: Page[Any]) -> dict[str, str]:
        """Return the NextToken member of the answer; none after the last page."""
        return {"NextToken": self._page_token_prefix() + page.next_token} if page.next_token else {}

    def _page_token_prefix(self) -> str:
        filters = sorted(
            (name, value) for name, value in self.params.items() if name not in ("MaxResults", "NextToken")
        )
        return hashlib.sha256(repr((self.operation, filters)).encode()).hexdigest()[:PAGE_TOKEN_PREFIX_LENGTH]
