"""Pages of a listing: how many at most, and the token of the next page (absent on the last).

AWS does not publish its default page sizes; here a listing without MaxResults answers as much as the API allows.
A token is bound to its listing: operation, collection and filters. The page size may change on the way.
"""

from __future__ import annotations

import hashlib
from typing import Any

from mien.model import Page
from mien.rekognition.errors import WireError
from mien.rekognition.service import Call

MOST_RESULTS = 4096
MOST_USERS = 500
MARK = 16


def page_limit(call: Call, most: int) -> int:
    """MaxResults, or `most` when it is absent or 0."""
    return call.params.get("MaxResults") or most


def page_token(call: Call) -> str | None:
    """The gallery's token within NextToken. Raises WireError for the token of another listing."""
    given: str | None = call.params.get("NextToken")
    if given is None:
        return None
    if not given.startswith(_mark(call)) or len(given) == MARK:
        raise WireError("InvalidPaginationTokenException", "Invalid pagination token")
    return given[MARK:]


def next_token(call: Call, page: Page[Any]) -> dict[str, str]:
    return {"NextToken": _mark(call) + page.next_token} if page.next_token else {}


def _mark(call: Call) -> str:
    terms = sorted((name, value) for name, value in call.params.items() if name not in ("MaxResults", "NextToken"))
    return hashlib.sha256(repr((call.operation, terms)).encode()).hexdigest()[:MARK]
