"""Tell photos from other files: by their first bytes, and by the names that only systems and programs use.

No imaging library is loaded. What systems, network drives and programs leave in folders of photos is ignored: it is
never a person or a photo.
"""

from __future__ import annotations

import base64
import re

from mien.domain.errors import EmptyImage, InvalidInput, UnsupportedImage

_SIGNATURES = (
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg", "jpg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png", "png"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp", "webp"),
    (re.compile(rb"....ftyp(heic|heix|heim|heis|hevc|mif1|msf1)", re.DOTALL), "image/heic", "heic"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "image/avif", "avif"),
    (re.compile(rb"GIF8[79]a"), "image/gif", "gif"),
    (re.compile(rb"BM"), "image/bmp", "bmp"),
    (re.compile(rb"II[*+]\x00|MM\x00[*+]"), "image/tiff", "tiff"),
)
UNKNOWN_FORMAT = "The file is not a photo of a known format: JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF or BMP."
FACELESS_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAGAAAABgCAAAAADH8yjkAAAAPUlEQVR42u3NQQ0AAAgEoNPkRjeFDzcoQE1udQQCgUAgEAgEAoFA"
    "IBAIBAKBQCAQCAQCgUAgEAgEAsHTYAH5sQFASgoZHgAAAABJRU5ErkJggg=="
)
"""A grey image of 96 × 96 pixels, for checks that the recogniser works."""
_OTHER_EXTENSIONS = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "heif": "heic", "hif": "heic", "tif": "tiff"}
CONTENT_TYPES = {content_type: extension for _, content_type, extension in _SIGNATURES}


def extension(content_type: str) -> str:
    """Return the file extension (without a dot) of a MIME type. Raises InvalidInput when it is not an image's."""
    if content_type not in CONTENT_TYPES:
        raise InvalidInput(f"The content type is not one of {', '.join(CONTENT_TYPES)}.")
    return CONTENT_TYPES[content_type]


def of_path(path: str) -> str:
    """Return the MIME type that a file's extension stands for; `application/octet-stream` when it is not an image's."""
    extension = path.rpartition(".")[2].lower()
    extension = _OTHER_EXTENSIONS.get(extension, extension)
    types = (content_type for content_type, known in CONTENT_TYPES.items() if known == extension)
    return next(types, "application/octet-stream")


def sniff(image: bytes) -> tuple[str, str]:
    """Return the MIME type and the file extension (without a dot) of an image file.

    Raises EmptyImage or UnsupportedImage. Whether the rest of the file is intact is not checked.
    """
    if not image:
        raise EmptyImage("The photo has no bytes.")
    for signature, content_type, extension in _SIGNATURES:
        if signature.match(image):
            return content_type, extension
    raise UnsupportedImage(UNKNOWN_FORMAT)


PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".heic", ".heif", ".hif", ".avif"}
    | {".gif", ".bmp", ".tif", ".tiff"}
)
SIGNATURE_BYTES = 16


def is_photo(name: str, start: bytes) -> bool:
    """Tell whether a file is to be read as a photo: by its name or, under any other name, by its first bytes.

    Args:
        name: The file's name.
        start: Its first `SIGNATURE_BYTES`, or more.
    """
    has_suffix = name.lower().endswith(tuple(PHOTO_SUFFIXES))
    return has_suffix or any(signature.match(start) for signature, *_ in _SIGNATURES)


_FOLDERS = frozenset(
    {
        "@eadir",  # Synology
        "@recycle",  # QNAP
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "$recycle.bin",  # Windows
        "system volume information",
        "__macosx",  # zip files made by macOS
        "lost+found",
    }
)
_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})


def is_ignored(name: str) -> bool:
    """Tell whether a file or folder of this name is to be passed over; that is also true of everything hidden."""
    return name.startswith(".") or name.lower() in _FOLDERS or name.lower() in _FILES
