"""Define what every operation works with: its validated call, engine, gallery, buckets, and hidden faces.

AWS does not publish the default size of a page. Here, a listing without MaxResults returns as many items as the API
allows (Amazon Rekognition API Reference, ListFaces). Eventual consistency is simulated for people who test their
retry code, and off by default.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from mien.domain.errors import NoFace
from mien.domain.faces import Page, QualityFilter
from mien.rekognition.errors import WireError
from mien.rekognition.images import ReadObject, read_image

if TYPE_CHECKING:
    from mien.engine import Face, FaceEngine
    from mien.gallery import Gallery


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


class EventualConsistency:
    """Hides new faces from searches for some seconds, as Rekognition may; they are stored and listed at once."""

    def __init__(self, seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Hide each new face for `seconds`; 0 hides none. `clock` returns seconds that never go back."""
        self._seconds, self._clock, self._lock = seconds, clock, Lock()
        self._queue: deque[tuple[float, str]] = deque()
        self._hidden: set[str] = set()

    def hide(self, face_ids: Iterable[str]) -> None:
        """Hide faces that were stored just now."""
        if not self._seconds:
            return
        with self._lock:
            visible_at = self._clock() + self._seconds
            for face_id in face_ids:
                self._hidden.add(face_id)
                self._queue.append((visible_at, face_id))

    def hidden_faces(self) -> frozenset[str]:
        """Return the ids of the faces that no search may find yet."""
        if not self._seconds:
            return frozenset()
        with self._lock:
            while self._queue and self._queue[0][0] <= self._clock():
                self._hidden.discard(self._queue.popleft()[1])
            return frozenset(self._hidden)


@dataclass(frozen=True, slots=True)
class Service:
    """What operations work with.

    Attributes:
        engine: Detects and embeds faces.
        gallery: Stores and searches collections, faces and users.
        read_object: Reads objects of the server's own buckets.
        account: The account number in ARNs, 12 digits.
        consistency: Hides new faces from searches.
    """

    engine: FaceEngine
    gallery: Gallery
    read_object: ReadObject
    account: str
    consistency: EventualConsistency

    def read_image(self, image: dict[str, Any]) -> bytes:
        """Return the bytes of an Image parameter. Raises WireError or ImageError."""
        return read_image(image, self.read_object)

    def largest_face(self, image: bytes) -> Face:
        """Return the largest face in the photo. Raises NoFace."""
        faces = self.engine.read(image, max_faces=1)
        if not faces:
            raise NoFace("The photo shows no face.")
        return faces[0]


Operation = Callable[[Service, Call], Answer]
