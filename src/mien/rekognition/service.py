"""Define what every operation works with: engine, gallery, buckets, and faces that searches must not find yet.

Eventual consistency is simulated for people who test their retry code, and off by default.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from mien.domain.errors import NoFace
from mien.rekognition.call import Answer, Call
from mien.rekognition.images import ReadObject, read_image

if TYPE_CHECKING:
    from mien.engine import Face, FaceEngine
    from mien.gallery import Gallery


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
