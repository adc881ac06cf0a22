"""What a file's name says of its content."""

from __future__ import annotations

import pytest

from mien.domain import image_types


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("uploaded/Bob/1.jpg", "image/jpeg"),
        ("uploaded/Bob/1.JPEG", "image/jpeg"),
        ("uploaded/Bob/scan.tif", "image/tiff"),
        ("uploaded/Bob/IMG_1.heif", "image/heic"),
        ("uploaded/Bob/page.html", "application/octet-stream"),
        ("uploaded/Bob/", "application/octet-stream"),
    ],
)
def test_an_extension_stands_for_a_type(path: str, content_type: str) -> None:
    assert image_types.of_path(path) == content_type
