"""Small facts handed to a client and taken back unchanged: page cursors, upload forms.

A token is the base64url of its JSON and an HMAC-SHA256 (RFC 2104) over purpose and JSON, so that it can be
neither altered nor used for another purpose.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any

from mien.domain.errors import AccessDenied, InvalidInput

UPLOAD_FORM = "upload form"  # facts: key, type, bytes
UPLOAD_FORM_PATH = "/bucket"  # where the REST API takes such forms
_MAC_BYTES = 16


class Signer:
    """Signs and checks with one secret of at least 16 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def seal(self, purpose: str, facts: dict[str, Any], expires_in: int | None = None) -> str:
        until = {} if expires_in is None else {"until": int(time.time()) + expires_in}
        body = json.dumps(facts | until, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._mac(purpose, body) + body).decode().rstrip("=")

    def open(self, purpose: str, token: str) -> dict[str, Any]:
        """Raises InvalidInput for a token that was not made for this purpose, AccessDenied for an expired one."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(purpose, body)):
            raise InvalidInput(f"This {purpose} was not made here, or was changed.")
        facts: dict[str, Any] = json.loads(body)
        until = facts.pop("until", None)
        if until is not None and until < time.time():
            raise AccessDenied(f"This {purpose} has expired.")
        return facts

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(self._secret, purpose.encode() + b"\0" + body, hashlib.sha256)[:_MAC_BYTES]
