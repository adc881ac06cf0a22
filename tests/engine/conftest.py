"""One engine for all engine tests, and photos drawn at test time."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mien.engine import FaceEngine

Encode = Callable[..., bytes]


@pytest.fixture(scope="session")
def engine(real_engine: FaceEngine) -> FaceEngine:
    return real_engine


@pytest.fixture(scope="session")
def scene() -> Image.Image:
    """A smooth picture without symmetry and without a face, 96 x 64."""
    y, x = np.mgrid[0:64, 0:96]
    return Image.fromarray(np.stack([x * 2, y * 3, 200 - x - y], axis=2).astype(np.uint8))


@pytest.fixture(scope="session")
def encode() -> Encode:
    def encode(image: Image.Image, form: str, **options: object) -> bytes:
        stream = BytesIO()
        image.save(stream, form, **options)
        return stream.getvalue()

    return encode
