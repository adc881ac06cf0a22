"""What an operation works with: the service behind all calls, and the one call.

Pages of a listing: how many at most, and the token of the next page (absent on the last).

AWS does not publish its default page sizes; here a listing without MaxResults answers as much as the API allows.
A token is bound to its listing: operation, collection and filters. The page size may change on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mien.domain.errors import NoFace
from mien.domain.faces import Page, QualityFilter
from mien.rekognition.errors import WireError
from mien.rekognition.eventual_consistency import Delay, Tokens
from mien.rekognition.images import ReadObject, image_bytes

if TYPE_CHECKING:
    from mien.engine import Face, FaceEngine
    from mien.gallery import Gallery


@dataclass(frozen=True, slots=True)
class Service:
    engine: FaceEngine
    gallery: Gallery
    read_object: ReadObject
    account: str
    tokens: Tokens
    delay: Delay

    def image(self, member: dict[str, Any]) -> bytes:
        """The bytes of an Image member. Raises WireError or ImageError."""
        return image_bytes(member, self.read_object)

    def largest_face(self, image: bytes) -> Face:
        """Raises NoFace."""
        faces = self.engine.read(image, most=1)
        if not faces:
            raise NoFace("There is no face on the photo.")
        return faces[0]


@dataclass(frozen=True, slots=True)
class Call:
    """One checked call: its parameters, who makes it, and the region that it was signed for."""

    operation: str
    params: dict[str, Any]
    caller: str
    region: str

    @property
    def collection_id(self) -> str:
        collection_id: str = self.params["CollectionId"]
        return collection_id

    def quality_filter(self, default: QualityFilter) -> QualityFilter:
        return QualityFilter(self.params.get("QualityFilter", default))


Operation = Callable[[Service, Call], dict[str, Any]]


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
