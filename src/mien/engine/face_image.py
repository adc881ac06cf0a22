"""Cut a face out of a photo, to be shown small."""

from __future__ import annotations

import io

from PIL import Image

from mien.domain.faces import Box
from mien.engine.decode import admitted_photo

QUALITY = 85


def face_image(image: bytes, box: Box, side: int) -> bytes:
    """Return the square around a face as a JPEG.

    Args:
        image: The image file that shows the face.
        box: The face, in fractions of the upright photo.
        side: The side of the result in pixels; a smaller face is not enlarged.

    Raises ImageError for a photo that cannot be decoded any more.
    """
    with admitted_photo(image) as photo:
        _, _, extent = box.square(photo.width, photo.height)
        long_side = max(photo.width, photo.height)
        pixels = photo.pixels(min(long_side, round(side / extent * long_side) + 1))
    decoded = Image.fromarray(pixels)
    left, top, extent = box.square(*decoded.size)
    face = decoded.crop((round(left), round(top), round(left + extent), round(top + extent)))
    face.thumbnail((side, side))
    file = io.BytesIO()
    face.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
