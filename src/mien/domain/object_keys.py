"""Names people type <-> names that stores allow, both ways, in this one place.

A user id is any text of up to 80 bytes. In the bucket it is a folder (`uploaded/<folder>/…`, what a
file system or a URL cannot bear is percent-encoded); in a recognizer it is a word of the letters
that Rekognition allows. A photo without a user lies in the folder `_`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from urllib.parse import unquote

from mien.domain.errors import InvalidInput

UPLOADED = "uploaded/"
NO_USER = "_"
MAX_USER_ID_BYTES = 80
MAX_KEY_BYTES = 1024  # as in S3
MAX_SEGMENT_BYTES = 255  # as in file systems

_PLAIN = re.compile(r"[A-Za-z0-9_.\-]+")
_UNSAFE = re.compile(r'[%/\\:*?"<>|]|^\.|\.$')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def parse_user_id(text: str) -> str:
    """The text as a user id: composed Unicode without outer spaces. InvalidInput when it cannot be one."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise InvalidInput("The user id is empty.")
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in name):
        raise InvalidInput("The user id has characters that cannot be printed.")
    if len(name.encode()) > MAX_USER_ID_BYTES:
        raise InvalidInput(f"The user id is longer than {MAX_USER_ID_BYTES} bytes.")
    return name


def upload_id(image: bytes) -> str:
    """The same photo gets the same id, so that uploading it twice is one upload."""
    return hashlib.sha256(image).hexdigest()[:32]


def folder(user: str | None) -> str:
    """The key prefix of everything that was uploaded for a user (None: for nobody)."""
    return f"{UPLOADED}{_segment(user)}/"


def image_path(user: str | None, upload: str, extension: str) -> str:
    return f"{folder(user)}{upload}.{extension}"


def user_id_of(path: str) -> str | None:
    """Whom a photo was uploaded for, by its path; None when for nobody."""
    segments = parse_image_path(path).split("/")
    if len(segments) < 3 or segments[1] == NO_USER:
        return None
    return parse_user_id(unquote(segments[1]))


def parse_image_path(path: str) -> str:
    """The path, when it may name an uploaded photo in every store; else InvalidInput."""
    segments = path.split("/")
    if not path.startswith(UPLOADED) or len(path.encode(errors="replace")) > MAX_KEY_BYTES:
        raise InvalidInput(f"An image path starts with {UPLOADED} and has at most {MAX_KEY_BYTES} bytes.")
    if not all(map(_is_safe, segments)):
        raise InvalidInput("The image path has a part that cannot be a file name.")
    return path


def to_recognizer_id(user: str | None) -> str:
    """The user id in Rekognition's letters: itself when it can be, else a colon and its base64url."""
    if user is None:
        return NO_USER
    if _PLAIN.fullmatch(user) and user != NO_USER:
        return user
    return ":" + base64.urlsafe_b64encode(user.encode()).decode().rstrip("=")


def from_recognizer_id(recognizer_name: str) -> str | None:
    """The user id behind a name made by `recognizer_name`; a foreign one stands for itself."""
    if recognizer_name == NO_USER:
        return None
    if not recognizer_name.startswith(":"):
        return recognizer_name
    code = recognizer_name[1:]
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return recognizer_name


def _segment(user: str | None) -> str:
    if user is None:
        return NO_USER
    if user == NO_USER or _DEVICES.fullmatch(user):
        return f"%{ord(user[0]):02X}{user[1:]}"
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", user)


def _is_safe(segment: str) -> bool:
    return (
        bool(segment)
        and not any(c == "\\" or unicodedata.category(c) in {"Cc", "Cs"} for c in segment)
        and not segment.startswith(".")
        and not segment.endswith((".", " "))
        and not _DEVICES.fullmatch(segment)
        and len(segment.encode()) <= MAX_SEGMENT_BYTES
    )
