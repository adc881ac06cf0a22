"""Convert user ids to names that stores allow, and check the names of people.

A user id is any printable text of up to 80 bytes. It is for machines: in the bucket it is a folder
(`uploaded/<folder>/…`, where characters that file systems or URLs do not take are percent-encoded), in a recognizer a
word of the characters that Rekognition allows; it also stands in logs and URLs. A photo without a user is stored in
the folder `_`.

A name is for people to read and stands in the person's record only. Two ids or names that differ only in case, in
Unicode form or in characters that nobody sees look the same, and no two people may have such a pair.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import string
import unicodedata
from urllib.parse import unquote

from mien.domain.errors import InvalidInput

UPLOADED = "uploaded/"
NO_USER = "_"
MAX_USER_ID_BYTES = 80
MAX_KEY_BYTES = 1024  # as in S3
MAX_SEGMENT_BYTES = 255  # as in file systems

_MARK = "mien-"
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]+")
_UNSAFE = re.compile(r'[%/\\:*?"<>|]|^\.|\.$')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that Windows reserves for devices."""


def parse_user_id(text: str) -> str:
    """Return the text as a user id: in composed Unicode (NFC), without spaces around it.

    Raises InvalidInput for text that is empty, longer than 80 bytes in UTF-8, or not printable.
    """
    user_id = unicodedata.normalize("NFC", text).strip()
    if not user_id:
        raise InvalidInput("The user id is empty.")
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in user_id):
        raise InvalidInput("The user id has characters that cannot be printed.")
    if len(user_id.encode()) > MAX_USER_ID_BYTES:
        raise InvalidInput(f"The user id is longer than {MAX_USER_ID_BYTES} bytes.")
    return user_id


def parse_image_path(text: str) -> str:
    """Return the text if every store accepts it as the path of an uploaded photo. Raises InvalidInput."""
    segments = text.split("/")
    if not text.startswith(UPLOADED) or len(text.encode(errors="replace")) > MAX_KEY_BYTES:
        raise InvalidInput(f"An image path starts with {UPLOADED} and has at most {MAX_KEY_BYTES} bytes.")
    if not all(map(_is_safe, segments)):
        raise InvalidInput("The image path has a part that cannot be a file name.")
    return text


def upload_id(image: bytes) -> str:
    """Return the id of an upload: 32 hexadecimal digits of the photo's SHA-256, so the same photo is one upload."""
    return hashlib.sha256(image).hexdigest()[:32]


def folder(user_id: str | None) -> str:
    """Return the key prefix of everything that was uploaded for a user; None for nobody."""
    return f"{UPLOADED}{_segment(user_id)}/"


def is_possible_folder(prefix: str) -> bool:
    """Tell whether there can be a folder of `folder`: a name may be longer, once encoded, than a file's may be."""
    return _is_safe(prefix.split("/")[1])


def image_path(user_id: str | None, upload_id: str, extension: str) -> str:
    """Return the path of a photo: `uploaded/<folder of the user>/<upload id>.<extension>`."""
    return f"{folder(user_id)}{upload_id}.{extension}"


def user_id_of(path: str) -> str | None:
    """Return the user whom a photo was uploaded for, by its path; None for nobody. Raises InvalidInput."""
    segments = parse_image_path(path).split("/")
    if len(segments) < 3 or segments[1] == NO_USER:
        return None
    return parse_user_id(unquote(segments[1]))


def to_recognizer_id(user_id: str | None) -> str:
    """Write a user id in the characters that Rekognition allows: as it is, or a colon and its base64url.

    None, for nobody, is `_`.
    """
    if user_id is None:
        return NO_USER
    if _PLAIN.fullmatch(user_id) and user_id != NO_USER:
        return user_id
    return ":" + base64.urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def from_recognizer_id(recognizer_id: str) -> str | None:
    """Read what `to_recognizer_id` wrote; an id of other origin is returned as it is."""
    if recognizer_id == NO_USER:
        return None
    if not recognizer_id.startswith(":"):
        return recognizer_id
    encoded = recognizer_id[1:]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return recognizer_id


def installation_mark(installation: str) -> str:
    """Return what the external image ids of an installation's faces begin with, made from a name of its own.

    Others may keep faces in the same collection; what has the mark was stored by this installation. A word of
    `to_recognizer_id` has no colon or begins with one, so it never begins with a mark.
    """
    return f"{_MARK}{hashlib.sha256(installation.encode()).hexdigest()[:12]}:"


def without_mark(external_image_id: str) -> str:
    """Return the word of `to_recognizer_id` that follows an installation's mark; faces of the past have no mark."""
    mark, colon, word = external_image_id.partition(":")
    return word if colon and mark.startswith(_MARK) else external_image_id


def _segment(user_id: str | None) -> str:
    if user_id is None:
        return NO_USER
    if user_id == NO_USER or _DEVICES.fullmatch(user_id):
        return f"%{ord(user_id[0]):02X}{user_id[1:]}"
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", user_id)


def _is_safe(segment: str) -> bool:
    return (
        bool(segment)
        and "\\" not in segment
        and (segment.isprintable() or not any(unicodedata.category(c) in {"Cc", "Cs"} for c in segment))
        and not segment.startswith(".")
        and not segment.endswith((".", " "))
        and not _DEVICES.fullmatch(segment)
        and len(segment.encode()) <= MAX_SEGMENT_BYTES
    )


MAX_NAME_BYTES = 200
ID_PREFIX = "p-"
ID_LENGTH = 16

_ID_ALPHABET = string.ascii_lowercase + string.digits
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that are no format characters by their category and yet show nothing."""


def new_user_id() -> str:
    """Make an id that tells nothing about the person: `p-` and 16 lowercase letters and digits, at random."""
    return ID_PREFIX + "".join(secrets.choice(_ID_ALPHABET) for _ in range(ID_LENGTH))


def parse_name(text: str) -> str:
    """Return the text as a person's name: in composed Unicode (NFC), without spaces around it.

    Raises InvalidInput for text that shows nothing, is `.` or `..`, is longer than 200 bytes in UTF-8, or has
    characters that cannot be printed.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in name):
        raise InvalidInput("The name has characters that cannot be printed.")
    if fold(name) in {"", ".", ".."}:
        raise InvalidInput("The name is empty, or consists of characters that do not show.")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidInput(f"The name is longer than {MAX_NAME_BYTES} bytes.")
    return name


def parse_new_user_id(text: str) -> str:
    """Return the text as the id of a person who may be new.

    Raises InvalidInput for all that `object_keys.parse_user_id` refuses, and for `.`, `..` and invisible text, which
    data folders of earlier versions may hold.
    """
    user_id = parse_user_id(text)
    if fold(user_id) in {"", ".", ".."}:
        raise InvalidInput("The user id is empty, a dot or two, or consists of characters that do not show.")
    return user_id


def fold(text: str) -> str:
    """Return what texts that look the same have in common.

    That is the text in compatible Unicode (NFKC) and folded case, without format characters, variation selectors and
    other invisible characters, and with single spaces.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(c for c in folded if not _is_invisible(c)).split())


def claim_key(text: str) -> str:
    """Return the key under which an id or a name is reserved: 32 hexadecimal digits of the folded text's SHA-256."""
    return hashlib.sha256(fold(text).encode(errors="replace")).hexdigest()[:32]


def _is_invisible(character: str) -> bool:
    is_selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return is_selector or character in _BLANKS or unicodedata.category(character) in {"Cf", "Cc", "Cs"}
