"""Ids of images and faces: UUIDs as text outside, 16 bytes inside.

An image id is a function of the image's bytes. A face id begins with the time, so that new ids lie
together in the database's index; that makes bulk loads several times faster.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def image_id(image: bytes) -> str:
    """The same bytes give the same name-based UUID (version 5)."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(image).hexdigest()))


def new_face_ids(count: int) -> list[bytes]:
    """UUIDs of version 7 (RFC 9562, 5.7): 48 bits of milliseconds, 74 random ones."""
    milliseconds = time.time_ns() // 1_000_000
    stamp = milliseconds.to_bytes(6, "big")
    random = os.urandom(10 * count)
    return [stamp + _version_7(random[i : i + 10]) for i in range(0, len(random), 10)]


def packed(identity: str) -> bytes:
    """The 16 bytes of a lower-case UUID; of any other text none, which are no face's id."""
    return bytes.fromhex(identity.replace("-", "")) if _UUID.fullmatch(identity) else b""


def unpacked(identity: bytes) -> str:
    text = identity.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _version_7(random: bytes) -> bytes:
    return bytes((0x70 | random[0] & 0x0F, random[1], 0x80 | random[2] & 0x3F)) + random[3:]
