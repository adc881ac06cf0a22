"""Let Rekognition read a photo from the bucket where it can, which takes JPEG and PNG up to 15 MB there.

Everything else is sent as bytes, converted and scaled to what Rekognition takes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mien.backends.aws.clients import code
from mien.domain.results import StoredPhoto, image_bytes

if TYPE_CHECKING:
    from mien.backends.aws.image_limits import PreparedPhoto

READABLE = (".jpg", ".jpeg", ".png")
_TRY_AS_BYTES = frozenset(
    {"ImageTooLargeException", "InvalidImageFormatException", "InvalidParameterException", "InvalidS3ObjectException"}
)


class RekognitionPhoto:
    """A photo as Rekognition is to read it."""

    def __init__(self, image: bytes | StoredPhoto, bucket: str | None) -> None:
        """Take a photo; `bucket` is the bucket that Rekognition may read itself, None for none."""
        self._image = image
        self._object: dict[str, str] | None = None
        if bucket is not None and isinstance(image, StoredPhoto) and image.image_path.lower().endswith(READABLE):
            self._object = {"Bucket": bucket, "Name": image.image_path}

    def call(self, operation: Callable[..., Any], **parameters: Any) -> Any:
        """Call an operation with the photo. What Rekognition cannot read in the bucket is sent as bytes instead."""
        if self._object is not None:
            try:
                return operation(Image={"S3Object": self._object}, **parameters)
            except ClientError as error:
                if code(error) not in _TRY_AS_BYTES:
                    raise
                self._object = None
        return operation(Image={"Bytes": self.prepared.data}, **parameters)

    def check(self) -> None:
        """Look at the photo's bytes: Rekognition does not say what is wrong with a photo that is too small.

        One that is not what its name says is not left to Rekognition to read. Raises ImageError and ImageNotFound.
        """
        from mien.backends.aws.image_limits import is_accepted

        if not is_accepted(image_bytes(self._image)):
            self._object = None

    @cached_property
    def prepared(self) -> PreparedPhoto:
        """The photo within Rekognition's limits. Raises ImageError, and ImageNotFound when it has left the bucket."""
        from mien.backends.aws.image_limits import photo  # loads Pillow, which some functions never need

        return photo(image_bytes(self._image))

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the upright photo in pixels, where its bytes were read."""
        if self._object is not None and "prepared" not in self.__dict__:
            return None
        return self.prepared.width, self.prepared.height
