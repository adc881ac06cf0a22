"""What an operation works with: the service behind all calls, and the one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mien.errors import NoFace
from mien.model import QualityFilter
from mien.rekognition.delay import Delay
from mien.rekognition.idempotency import Tokens
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
