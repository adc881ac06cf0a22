"""Make ids of faces and images, and convert them: lower-case UUIDs outside, 16 bytes in the database.

A face id begins with the time, so that new ids lie together in the database's index; that makes bulk loads several
times faster.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def image_id(image: bytes) -> str:
    """Return the name-based UUID (version 5) of an image's bytes: the same bytes give the same id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(image).hexdigest()))


def new_face_ids(count: int) -> list[bytes]:
    """Make UUIDs of version 7 (RFC 9562, 5.7): 48 bits of milliseconds, 74 random ones."""
    timestamp = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    random = os.urandom(10 * count)
    return [timestamp + _version_7(random[i : i + 10]) for i in range(0, len(random), 10)]


def uuid_to_bytes(text: str) -> bytes:
    """Return the 16 bytes of a lower-case UUID; no bytes, which are nobody's id, for any other text.

    Statements call it as `uuid_blob`.
    """
    return bytes.fromhex(text.replace("-", "")) if _UUID.fullmatch(text) else b""


def bytes_to_uuid(content: bytes) -> str:
    text = content.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _version_7(random: bytes) -> bytes:
    return bytes((0x70 | random[0] & 0x0F, random[1], 0x80 | random[2] & 0x3F)) + random[3:]
