"""Define what every operation works with: engine, gallery and buckets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mien.domain.errors import NoFace
from mien.rekognition.call import Answer, Call
from mien.rekognition.consistency import EventualConsistency
from mien.rekognition.images import ReadObject, read_image

if TYPE_CHECKING:
    from mien.engine import Face, FaceEngine
    from mien.gallery import Gallery


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
