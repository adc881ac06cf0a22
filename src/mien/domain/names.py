"""Check names of people, tell which look the same, and make the ids of new people.

An id is for machines: it stands in paths, in the recognizer, in logs and in URLs. A name is for people to read and
stands in the person's record only. Two ids or names that differ only in case, in Unicode form or in characters that
nobody sees look the same, and no two people may have such a pair.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import unicodedata

from mien.domain import object_keys
from mien.domain.errors import InvalidInput

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
    user_id = object_keys.parse_user_id(text)
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
