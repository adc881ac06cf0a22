"""Signature Version 4 in a few lines, independent of the server's: botocore's takes longer than the answer."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

SIGNED = ("content-type", "host", "x-amz-date", "x-amz-target")


def sign(headers: Mapping[str, str], body: bytes, key_id: str, secret: str) -> dict[str, str]:
    """Return the headers that sign a `POST /` now: X-Amz-Date and Authorization."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    values = {**headers, "x-amz-date": stamp}
    scope = (stamp[:8], "eu-west-1", "rekognition", "aws4_request")
    names = [name for name in SIGNED if name in values]
    lines = ["POST", "/", "", *(f"{name}:{values[name]}" for name in names), "", ";".join(names)]
    canonical = "\n".join([*lines, hashlib.sha256(body).hexdigest()])
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), hashed))
    key = f"AWS4{secret}".encode()
    for part in (*scope, to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = "/".join((key_id, *scope))
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, Signature={key.hex()}"
    return {"x-amz-date": stamp, "authorization": authorization}
